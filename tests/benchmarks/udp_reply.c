/* The limit to compare with: one core, recvmmsg/sendmmsg, a fixed reply with the request's id patched in at offset 8.
 * Usage: udp_reply PORT REPLY_FILE. Prints "ready" when bound. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SLOTS 64
#define SLOT 2112 /* as in the server compared with: not a power of two */

static unsigned char in[SLOTS][SLOT], out[SLOTS][SLOT];
static struct sockaddr_in names[SLOTS];
static struct mmsghdr requests[SLOTS], replies[SLOTS];
static struct iovec in_vectors[SLOTS], out_vectors[SLOTS];

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    FILE *file = fopen(argv[2], "rb");
    if (!file) return 2;
    unsigned char reply[SLOT];
    size_t size = fread(reply, 1, sizeof reply, file);
    fclose(file);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), large = 8 << 20;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof large)) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) { perror("bind"); return 1; }
    for (int i = 0; i < SLOTS; i++) {
        in_vectors[i] = (struct iovec){in[i], SLOT};
        out_vectors[i] = (struct iovec){out[i], size};
        memcpy(out[i], reply, size);
        requests[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &in_vectors[i], .msg_iovlen = 1};
        replies[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &out_vectors[i], .msg_iovlen = 1};
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        int count = recvmmsg(fd, requests, SLOTS, MSG_WAITFORONE, NULL);
        if (count < 0) { if (errno == EINTR) continue; perror("recvmmsg"); return 1; }
        for (int i = 0; i < count; i++) memcpy(out[i] + 8, in[i] + 8, 4);
        for (int done = 0; done < count;) {
            int sent = sendmmsg(fd, replies + done, (unsigned)(count - done), 0);
            done += sent > 0 ? sent : 1;
        }
    }
}
