#define _GNU_SOURCE
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_CAPACITY = 1024 * 1024, LONGEST_REQUEST = 64 * 1024 };

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void fail(const char *what) {
    fprintf(stderr, "load: cannot %s\n", what);
    exit(1);
}

static void *grown(void *old, size_t size) {
    void *new = realloc(old, size);
    if (!new) fail("get memory");
    return new;
}

static void write_all(int fd, const void *data, size_t length) {
    const char *rest = data;
    while (length) {
        ssize_t wrote = write(fd, rest, length);
        if (wrote < 0 && errno != EINTR) fail("write: the other end has closed");
        if (wrote > 0) {
            rest += wrote;
            length -= wrote;
        }
    }
}

static int dial(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&where, sizeof where)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* -- an agent's pipe -- */

static void start_agent(connection *c) {
    int to_agent[2], from_agent[2];
    if (pipe(to_agent) || pipe(from_agent)) fail("make pipes");
    c->agent = fork();
    if (c->agent < 0) fail("fork");
    if (!c->agent) {
        dup2(to_agent[0], STDIN_FILENO);
        dup2(from_agent[1], STDOUT_FILENO);
        for (int fd = 3; fd < 1024; fd++) close(fd);
        execl("/bin/sh", "sh", "-c", c->to->agent, (char *)NULL);
        _exit(127);
    }
    close(to_agent[0]);
    close(from_agent[1]);
    c->out = to_agent[1];
    c->in = from_agent[0];
}

static bool next_line(connection *c, const char **text, size_t *length) {
    unsigned char *begin = c->buffer + c->start, *end = memchr(begin, '\n', c->end - c->start);
    if (!end) return false;
    *text = (const char *)begin;
    *length = end - begin;
    c->start += *length + 1;
    return true;
}

/* -- HTTP -- */

static char *head_end(connection *c) {
    return memmem(c->buffer + c->start, c->end - c->start, "\r\n\r\n", 4);
}

static void expect_head(connection *c, const char *status) {
    char *end;
    while (!(end = head_end(c))) {
        connection_fill(c);
        if (c->closed) fail("shake hands: the other end has closed");
    }
    if (memcmp(c->buffer + c->start, status, strlen(status))) {
        fprintf(stderr, "load: the answer is %.200s\n", (char *)c->buffer + c->start);
        fail("shake hands");
    }
    c->start = end + 4 - (char *)c->buffer;
}

static void request_head(connection *c, int fd, const char *method, const char *rest) {
    char request[4096], authorization[1024] = "";
    if (c->to->bearer)
        snprintf(authorization, sizeof authorization, "Authorization: Bearer %s\r\n", c->to->bearer);
    int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n",
                          method, c->to->path, c->to->port, authorization, rest);
    write_all(fd, request, length);
}

/* Each message is posted on a connection of its own, as its answer may take as long as a turn. */
static void post(connection *c, const char *text, size_t length) {
    char rest[200];
    int fd = dial(c->to->port);
    snprintf(rest, sizeof rest, "Content-Type: application/json\r\nContent-Length: %zu\r\n", length);
    request_head(c, fd, "POST", rest);
    write_all(fd, text, length);
    if (c->in >= 0) {
        if (c->out >= 0) close(c->out);
        c->out = fd;
        return;
    }
    /* The first message makes what the stream of events is opened on. */
    c->in = fd;
    expect_head(c, "HTTP/1.1 200");
    close(fd);
    c->start = c->end = 0;
    c->in = dial(c->to->port);
    request_head(c, c->in, "GET", "Accept: text/event-stream\r\n");
    expect_head(c, "HTTP/1.1 200");
}

/* Takes a body out of its chunks, up to the next newline. */
static bool next_event_line(connection *c) {
    if (c->message_length && c->message[c->message_length - 1] == '\n') c->message_length = 0;
    while (c->start < c->end) {
        if (!c->chunk_left) {
            unsigned char *begin = c->buffer + c->start;
            while (begin < c->buffer + c->end && (*begin == '\r' || *begin == '\n')) begin++;
            unsigned char *end = memchr(begin, '\n', c->buffer + c->end - begin);
            if (!end) return false;
            c->chunk_left = strtoul((char *)begin, NULL, 16);
            c->start = end + 1 - c->buffer;
            if (!c->chunk_left) c->closed = true;
            if (c->closed) return false;
        }
        size_t there = c->end - c->start < c->chunk_left ? c->end - c->start : c->chunk_left;
        unsigned char *end = memchr(c->buffer + c->start, '\n', there);
        if (end) there = end + 1 - (c->buffer + c->start);
        if (c->message_length + there > c->message_capacity) {
            c->message_capacity = 2 * (c->message_length + there);
            c->message = grown(c->message, c->message_capacity);
        }
        memcpy(c->message + c->message_length, c->buffer + c->start, there);
        c->message_length += there;
        c->start += there;
        c->chunk_left -= there;
        if (end) return true;
    }
    return false;
}

static bool next_event(connection *c, const char **text, size_t *length) {
    while (next_event_line(c)) {
        if (c->message_length < 7 || memcmp(c->message, "data: ", 6)) continue;
        *text = (const char *)c->message + 6;
        *length = c->message_length - 7;
        return true;
    }
    return false;
}

/* -- WebSocket (RFC 6455) -- */

static void upgrade(connection *c) {
    c->in = c->out = dial(c->to->port);
    request_head(c, c->out, "GET",
                 "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    expect_head(c, "HTTP/1.1 101");
}

static void send_frame(connection *c, int opcode, const char *payload, size_t length) {
    static unsigned char frame[LONGEST_REQUEST + 32];
    if (length > LONGEST_REQUEST) fail("send so long a message");
    size_t at = 0;
    frame[at++] = 0x80 | opcode;
    if (length < 126) {
        frame[at++] = 0x80 | length;
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = length >> 8;
        frame[at++] = length & 255;
    }
    uint32_t mask;
    if (getrandom(&mask, sizeof mask, 0) != sizeof mask) fail("get a mask");
    memcpy(frame + at, &mask, sizeof mask);
    at += sizeof mask;
    const unsigned char *key = frame + at - sizeof mask;
    for (size_t i = 0; i < length; i++) frame[at + i] = payload[i] ^ key[i & 3];
    write_all(c->out, frame, at + length);
}

static void keep(connection *c, const unsigned char *payload, size_t length) {
    if (c->message_length + length > c->message_capacity) {
        c->message_capacity = 2 * (c->message_length + length);
        c->message = grown(c->message, c->message_capacity);
    }
    memcpy(c->message + c->message_length, payload, length);
    c->message_length += length;
}

static bool next_frame(connection *c, const char **text, size_t *length) {
    for (;;) {
        unsigned char *b = c->buffer + c->start;
        size_t there = c->end - c->start, header = 2;
        if (there < 2) return false;
        uint64_t size = b[1] & 127;
        if (size >= 126) {
            header = size == 126 ? 4 : 10;
            if (there < header) return false;
            size = 0;
            for (size_t i = 2; i < header; i++) size = size << 8 | b[i];
        }
        if (there < header + size) {
            if (header + size > c->capacity) {
                c->capacity = 2 * (header + size);
                c->buffer = grown(c->buffer, c->capacity);
            }
            return false;
        }
        c->start += header + size;
        int opcode = b[0] & 15;
        bool is_last = b[0] & 128;
        if (opcode == 8) {
            c->closed = true;
            return false;
        }
        if (opcode == 9) send_frame(c, 10, (char *)b + header, size);
        if (opcode > 7) continue;
        if (is_last && opcode) {
            *text = (const char *)b + header;
            *length = size;
            return true;
        }
        if (opcode) c->message_length = 0;
        keep(c, b + header, size);
        if (is_last) {
            *text = (const char *)c->message;
            *length = c->message_length;
            return true;
        }
    }
}

/* -- whichever it is -- */

void connection_open(connection *c, const address *to) {
    memset(c, 0, sizeof *c);
    c->to = to;
    c->in = c->out = -1;
    c->capacity = FIRST_CAPACITY;
    c->buffer = grown(NULL, c->capacity);
    if (to->agent) {
        start_agent(c);
    } else if (!to->events) {
        upgrade(c);
    }
}

void connection_send(connection *c, const char *text, size_t length) {
    if (c->to->agent) {
        char line[LONGEST_REQUEST];
        if (length >= sizeof line) fail("send so long a message");
        memcpy(line, text, length);
        line[length] = '\n';
        write_all(c->out, line, length + 1);
    } else if (c->to->events) {
        post(c, text, length);
    } else {
        send_frame(c, 1, text, length);
    }
}

void connection_fill(connection *c) {
    if (c->start == c->end) {
        c->start = c->end = 0;
    } else if (c->start > c->capacity / 2 || c->end == c->capacity) {
        memmove(c->buffer, c->buffer + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (c->end == c->capacity) {
        c->capacity *= 2;
        c->buffer = grown(c->buffer, c->capacity);
    }
    ssize_t got = read(c->in, c->buffer + c->end, c->capacity - c->end);
    if (got > 0) {
        c->end += got;
        c->bytes += got;
    } else if (got == 0 || errno != EINTR) {
        c->closed = true;
    }
}

bool connection_next(connection *c, const char **text, size_t *length) {
    if (c->to->agent) return next_line(c, text, length);
    return c->to->events ? next_event(c, text, length) : next_frame(c, text, length);
}

void connection_close(connection *c) {
    if (c->out >= 0 && c->out != c->in) close(c->out);
    if (c->in >= 0) close(c->in);
    if (c->agent) {
        kill(c->agent, SIGTERM);
        waitpid(c->agent, NULL, 0);
    }
    free(c->buffer);
    free(c->message);
}
