/* Closed-loop load over kept connections: CONNECTIONS, DEPTH requests outstanding on each, random handles PREFIX + 7 digits.
 * Usage: stream_load PORT SECONDS CONNECTIONS DEPTH PREFIX KEYS handle|http REPLY_SIZE. Prints one JSON line.
 * "handle": KC set, length and code of each reply checked; "http": status 200 and Content-Length. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define CONNECTIONS 256
#define DEPTHS 256
#define ROOM 262144
#define BUCKETS 4000000 /* of 0.1 microseconds */

struct peer { int fd; size_t held; uint32_t first, next; uint64_t sent_ns[DEPTHS]; unsigned char in[ROOM]; };
static struct peer peers[CONNECTIONS];
static uint32_t histogram[BUCKETS];
static uint64_t seed = 88172645463325252ull, ok, bad;
static const char *prefix;
static uint32_t keys, reply_size;
static int http;

static uint64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec; }
static uint64_t next_random(void) { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; return seed; }
static void put32(unsigned char *at, uint32_t value) { value = htonl(value); memcpy(at, &value, 4); }
static uint32_t get32(const unsigned char *at) { uint32_t value; memcpy(&value, at, 4); return ntohl(value); }

static size_t make(unsigned char *at, uint32_t id) {
    uint32_t number = (uint32_t)(next_random() % keys);
    if (http) return (size_t)sprintf((char *)at, "GET /api/handles/%s%07u HTTP/1.1\r\nHost: bench\r\n\r\n", prefix, number);
    uint32_t handle = (uint32_t)strlen(prefix) + 7, size = 20 + 24 + 4 + handle + 12;
    memset(at, 0, size);
    at[0] = at[2] = 2;
    at[1] = at[3] = 11;
    put32(at + 8, id);
    put32(at + 16, size - 20);
    put32(at + 20, 1);
    put32(at + 28, 0x1b000000);
    at[32] = at[33] = 0xff;
    put32(at + 36, 0x7fffffff);
    put32(at + 40, 12 + handle);
    put32(at + 44, handle);
    char text[512];
    sprintf(text, "%s%07u", prefix, number);
    memcpy(at + 48, text, handle);
    return size;
}

static void ask(struct peer *peer, int count) {
    static unsigned char out[DEPTHS * 512];
    size_t size = 0;
    uint64_t now = now_ns();
    for (int i = 0; i < count; i++) {
        peer->sent_ns[peer->next % DEPTHS] = now;
        size += make(out + size, peer->next++);
    }
    for (size_t sent = 0; sent < size;) {
        ssize_t got = send(peer->fd, out + sent, size - sent, MSG_NOSIGNAL);
        if (got <= 0) { perror("send"); exit(1); }
        sent += (size_t)got;
    }
}

/* The size of the first whole reply, 0 when there is none yet; *good says whether it is what was asked for. */
static size_t whole(struct peer *peer, size_t at, int *good) {
    unsigned char *reply = peer->in + at;
    size_t left = peer->held - at, size;
    if (!http) {
        if (left < 20 || left < (size = get32(reply + 16) + 20)) return 0;
        *good = size >= 48 && get32(reply + 24) == 1 && get32(reply + 8) == peer->first && (!reply_size || size == reply_size);
        return size;
    }
    unsigned char *end = memmem(reply, left, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    char *length = strcasestr((char *)reply, "content-length:");
    *end = '\r';
    if (!length) { fputs("no length\n", stderr); exit(1); }
    size = (size_t)(end - reply) + 4 + (size_t)atoi(length + 15);
    if (left < size) return 0;
    *good = !strncmp((char *)reply, "HTTP/1.1 200", 12);
    return size;
}

int main(int argc, char **argv) {
    if (argc != 9) return 2;
    int connections = atoi(argv[3]), depth = atoi(argv[4]), one = 1;
    prefix = argv[5];
    keys = (uint32_t)atoi(argv[6]);
    http = !strcmp(argv[7], "http");
    reply_size = (uint32_t)atoi(argv[8]);
    if (connections > CONNECTIONS || depth > DEPTHS) return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int poller = epoll_create1(0);
    for (int i = 0; i < connections; i++) {
        peers[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(peers[i].fd, (struct sockaddr *)&address, sizeof address)) { perror("connect"); return 1; }
        setsockopt(peers[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(poller, EPOLL_CTL_ADD, peers[i].fd, &event);
    }
    uint64_t start = now_ns(), end = start + (uint64_t)(atof(argv[2]) * 1e9);
    for (int i = 0; i < connections; i++) ask(&peers[i], depth);
    struct epoll_event events[CONNECTIONS];
    while (now_ns() < end) {
        int count = epoll_wait(poller, events, CONNECTIONS, 0);
        for (int e = 0; e < count; e++) {
            struct peer *peer = &peers[events[e].data.u32];
            ssize_t got = recv(peer->fd, peer->in + peer->held, ROOM - peer->held - 1, 0);
            if (got <= 0) { fputs("closed\n", stderr); return 1; }
            peer->held += (size_t)got;
            peer->in[peer->held] = 0;
            uint64_t now = now_ns();
            size_t at = 0, size;
            int good = 0, answered = 0;
            while ((size = whole(peer, at, &good))) {
                if (good) ok++; else bad++;
                uint64_t took = (now - peer->sent_ns[peer->first++ % DEPTHS]) / 100;
                histogram[took < BUCKETS ? took : BUCKETS - 1]++;
                at += size;
                answered++;
            }
            memmove(peer->in, peer->in + at, peer->held - at);
            peer->held -= at;
            if (answered) ask(peer, answered);
        }
    }
    double took = (double)(now_ns() - start) / 1e9;
    uint64_t total = ok + bad, seen = 0, p50 = 0, p99 = 0;
    for (uint64_t i = 0; i < BUCKETS && total; i++) {
        seen += histogram[i];
        if (!p50 && seen * 2 >= total) p50 = i + 1;
        if (seen * 100 >= total * 99) { p99 = i + 1; break; }
    }
    printf("{\"ok\":%llu,\"bad\":%llu,\"seconds\":%.4f,\"qps\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", (unsigned long long)ok,
           (unsigned long long)bad, took, (double)ok / took, (double)p50 / 10, (double)p99 / 10);
    return 0;
}
