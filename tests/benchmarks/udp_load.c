/* Closed-loop load: 4 connected UDP sockets, WINDOW requests outstanding in all (1 = one socket, unloaded latency), random
 * handles PREFIX + 7 digits below KEYS, every reply checked (length, id, response code 1, handle repeated), lost after 300 ms.
 * It never sleeps: a generator that waits must be woken by the server it measures, and a slow server would pay for that more often.
 * Usage: udp_load PORT SECONDS WINDOW PREFIX KEYS FLAGS_HEX REPLY_SIZE CHECK_HANDLE(0|1). Prints one JSON line. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SOCKETS 4
#define PER_SOCKET 64
#define SLOT 2048
#define BUCKETS 4000000 /* of 0.1 microseconds */

struct flight { uint64_t sent_ns; uint32_t id; int waiting; };
static struct flight flights[SOCKETS][PER_SOCKET];
static unsigned char in[PER_SOCKET][SLOT], out[SOCKETS][PER_SOCKET][512];
static uint32_t histogram[BUCKETS];
static struct mmsghdr incoming[PER_SOCKET], outgoing[PER_SOCKET];
static struct iovec in_vectors[PER_SOCKET], out_vectors[PER_SOCKET];
static uint64_t seed = 88172645463325252ull;
static size_t request_size, digits_at;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
static uint64_t next_random(void) { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; return seed; }
static void put32(unsigned char *at, uint32_t value) { value = htonl(value); memcpy(at, &value, 4); }
static uint32_t get32(const unsigned char *at) { uint32_t value; memcpy(&value, at, 4); return ntohl(value); }

static void write_digits(unsigned char *at, uint32_t number) {
    for (int i = 6; i >= 0; i--) { at[i] = (unsigned char)('0' + number % 10); number /= 10; }
}

int main(int argc, char **argv) {
    if (argc != 9) return 2;
    int port = atoi(argv[1]), window = atoi(argv[3]), check_handle = atoi(argv[8]);
    double seconds = atof(argv[2]);
    const char *prefix = argv[4];
    uint32_t keys = (uint32_t)atoi(argv[5]), flags = (uint32_t)strtoul(argv[6], NULL, 16), reply_size = (uint32_t)atoi(argv[7]);
    int sockets = window == 1 ? 1 : SOCKETS, per_socket = window == 1 ? 1 : window / SOCKETS, fds[SOCKETS];
    if (per_socket < 1 || per_socket > PER_SOCKET) return 2;
    uint32_t handle_size = (uint32_t)strlen(prefix) + 7;
    unsigned char model[512] = {2, 11, 2, 11};
    request_size = 20 + 24 + 4 + handle_size + 8 + 4;
    digits_at = 48 + strlen(prefix);
    put32(model + 16, (uint32_t)request_size - 20);
    put32(model + 20, 1);
    put32(model + 28, flags);
    model[32] = model[33] = 0xff;
    put32(model + 36, 0x7fffffff);
    put32(model + 40, 4 + handle_size + 8);
    put32(model + 44, handle_size);
    memcpy(model + 48, prefix, strlen(prefix));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int s = 0; s < sockets; s++) {
        fds[s] = socket(AF_INET, SOCK_DGRAM, 0);
        int large = 8 << 20;
        if (setsockopt(fds[s], SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large)) setsockopt(fds[s], SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
        if (connect(fds[s], (struct sockaddr *)&address, sizeof address)) { perror("connect"); return 1; }
        for (int i = 0; i < PER_SOCKET; i++) memcpy(out[s][i], model, sizeof model);
    }
    for (int i = 0; i < PER_SOCKET; i++) {
        in_vectors[i] = (struct iovec){in[i], SLOT};
        incoming[i].msg_hdr = (struct msghdr){.msg_iov = &in_vectors[i], .msg_iovlen = 1};
        outgoing[i].msg_hdr = (struct msghdr){.msg_iov = &out_vectors[i], .msg_iovlen = 1};
    }
    uint64_t ok = 0, bad = 0, lost = 0, stale = 0, start = now_ns(), end = start + (uint64_t)(seconds * 1e9), last_scan = start;
    uint32_t generation = 1;
    for (int first = 1;; first = 0) {
        uint64_t now = now_ns();
        if (now >= end) break;
        int scan = first || now - last_scan > 50000000ull;
        if (scan) last_scan = now;
        for (int s = 0; s < sockets; s++) {
            int again[PER_SOCKET], waiting = 0;
            int count = first ? 0 : recvmmsg(fds[s], incoming, PER_SOCKET, MSG_DONTWAIT, NULL);
            if (count > 0) now = now_ns();
            for (int i = 0; i < count; i++) {
                uint32_t id = incoming[i].msg_len >= 52 ? get32(in[i] + 8) : 0, slot = id & 63;
                struct flight *flight = &flights[s][slot];
                if (!flight->waiting || flight->id != id) { stale++; continue; }
                int good = (!reply_size || incoming[i].msg_len == reply_size) && get32(in[i] + 16) == incoming[i].msg_len - 20
                    && get32(in[i] + 24) == 1 && (!check_handle || !memcmp(in[i] + 44, out[s][slot] + 44, 4 + handle_size));
                if (good) ok++; else bad++;
                uint64_t took = (now - flight->sent_ns) / 100;
                histogram[took < BUCKETS ? took : BUCKETS - 1]++;
                flight->waiting = 0;
                again[waiting++] = (int)slot;
            }
            if (scan)
                for (int i = 0; i < per_socket; i++) {
                    struct flight *flight = &flights[s][i];
                    int listed = 0;
                    for (int k = 0; k < waiting; k++) listed |= again[k] == i;
                    if (listed) continue;
                    if (first) again[waiting++] = i;
                    else if (flight->waiting && now - flight->sent_ns > 300000000ull) { lost++; again[waiting++] = i; }
                }
            for (int k = 0; k < waiting; k++) {
                int slot = again[k];
                unsigned char *request = out[s][slot];
                uint32_t id = (generation++ << 6) | (uint32_t)slot;
                put32(request + 8, id);
                write_digits(request + digits_at, (uint32_t)(next_random() % keys));
                out_vectors[k] = (struct iovec){request, request_size};
                flights[s][slot] = (struct flight){0, id, 1};
            }
            uint64_t sent_at = now_ns();
            for (int k = 0; k < waiting; k++) flights[s][again[k]].sent_ns = sent_at;
            for (int done = 0; done < waiting;) {
                int sent = sendmmsg(fds[s], outgoing + done, (unsigned)(waiting - done), 0);
                if (sent < 0 && errno == ECONNREFUSED) { fputs("refused\n", stderr); return 1; }
                done += sent > 0 ? sent : 1;
            }
        }
    }
    double took = (double)(now_ns() - start) / 1e9;
    uint64_t total = ok + bad, seen = 0, p50 = 0, p99 = 0;
    for (uint64_t i = 0; i < BUCKETS && total; i++) {
        seen += histogram[i];
        if (!p50 && seen * 2 >= total) p50 = i + 1;
        if (seen * 100 >= total * 99) { p99 = i + 1; break; }
    }
    printf("{\"ok\":%llu,\"bad\":%llu,\"lost\":%llu,\"stale\":%llu,\"seconds\":%.4f,\"qps\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
           (unsigned long long)ok, (unsigned long long)bad, (unsigned long long)lost, (unsigned long long)stale, took,
           (double)ok / took, (double)p50 / 10, (double)p99 / 10);
    return 0;
}
