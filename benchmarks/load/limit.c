#define _GNU_SOURCE
#include "limit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

enum { BATCH = 64 * 1024 };

/* Writes frames that were made before, as a relay without any work would. */
static void feed(int listening, long count, long size) {
    static unsigned char batch[BATCH];
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    char request[4096];
    size_t frame = size + 4, per_batch = sizeof batch / frame;
    int fd = accept(listening, NULL, NULL);
    if (fd < 0 || !per_batch || read(fd, request, sizeof request) <= 0) _exit(1);
    for (size_t i = 0; i < per_batch; i++) {
        unsigned char *at = batch + i * frame;
        memset(at, 'x', frame);
        memcpy(at, (unsigned char[]){0x81, 126, size >> 8, size & 255}, 4);
        memcpy(at + 4 + size / 2, "@@000000000@@", 13);
    }
    if (write(fd, head, strlen(head)) < 0) _exit(1);
    for (long left = count; left > 0;) {
        size_t length = frame * (left < (long)per_batch ? left : (long)per_batch), done = 0;
        while (done < length) {
            ssize_t wrote = write(fd, batch + done, length - done);
            if (wrote < 0) _exit(1);
            done += wrote;
        }
        left -= length / frame;
    }
    shutdown(fd, SHUT_WR);
    while (read(fd, request, sizeof request) > 0) {}
    _exit(0);
}

void print_limit(long count, long size) {
    struct sockaddr_in where = {.sin_family = AF_INET};
    socklen_t length = sizeof where;
    static client c;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listening, (struct sockaddr *)&where, length) || listen(listening, 1)) fail("listen");
    getsockname(listening, (struct sockaddr *)&where, &length);
    pid_t feeder = fork();
    if (feeder < 0) fail("fork");
    if (!feeder) feed(listening, count, size);
    address to = {.port = ntohs(where.sin_port), .path = "/"};
    connection_open(&c.link, &to);
    int64_t begun = now_ns();
    while (c.got < count && !c.link.closed) client_read(&c);
    printf("{\"rate\": %.1f, \"got\": %ld}\n", c.got / ((c.last_at - begun) / 1e9), c.got);
    connection_close(&c.link);
    waitpid(feeder, NULL, 0);
}
