/* The limit for streams: one core, epoll, a fixed reply per request. Usage: stream_reply PORT REPLY_FILE handle|http.
 * "handle": requests are framed by the length at offset 16, the id at offset 8 is patched in; "http": by an empty line. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS 1024
#define ROOM 65536
#define OUT (1 << 20)

static unsigned char in[PEERS][ROOM], out[OUT];
static size_t held[PEERS];

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int http = !strcmp(argv[3], "http");
    unsigned char reply[4096];
    FILE *file = fopen(argv[2], "rb");
    if (!file) return 2;
    size_t size = fread(reply, 1, sizeof reply, file);
    fclose(file);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) { perror("bind"); return 1; }
    int poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poller, events, 256, -1);
        for (int e = 0; e < count; e++) {
            int fd = events[e].data.fd;
            if (fd == listener) {
                int peer = accept4(listener, NULL, NULL, 0);
                if (peer < 0) continue;
                if (peer >= PEERS) { close(peer); continue; }
                setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                held[peer] = 0;
                event = (struct epoll_event){.events = EPOLLIN, .data.fd = peer};
                epoll_ctl(poller, EPOLL_CTL_ADD, peer, &event);
                continue;
            }
            ssize_t got = recv(fd, in[fd] + held[fd], ROOM - held[fd], 0);
            if (got <= 0) { close(fd); continue; }
            held[fd] += (size_t)got;
            size_t at = 0, made = 0;
            for (;;) {
                unsigned char *request = in[fd] + at;
                size_t left = held[fd] - at, length;
                if (http) {
                    unsigned char *end = memmem(request, left, "\r\n\r\n", 4);
                    if (!end) break;
                    length = (size_t)(end - request) + 4;
                } else {
                    uint32_t said;
                    if (left < 20) break;
                    memcpy(&said, request + 16, 4);
                    length = ntohl(said) + 20;
                    if (left < length) break;
                }
                if (made + size > OUT) break;
                memcpy(out + made, reply, size);
                if (!http) memcpy(out + made + 8, request + 8, 4);
                made += size;
                at += length;
            }
            memmove(in[fd], in[fd] + at, held[fd] - at);
            held[fd] -= at;
            for (size_t sent = 0; sent < made;) {
                ssize_t now = send(fd, out + sent, made - sent, MSG_NOSIGNAL);
                if (now <= 0) break;
                sent += (size_t)now;
            }
        }
    }
}
