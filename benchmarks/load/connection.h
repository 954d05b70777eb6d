/* One ACP client's connection: over WebSocket, over HTTP with server-sent events, or an agent's pipe.
 *
 * What comes is given message by message. What messages mean is not known here.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
    const char *agent;  /* a command: its pipe is read directly */
    int port;
    const char *path;
    const char *bearer; /* a token, or NULL */
    bool events;        /* messages are posted, and come as server-sent events */
} address;

typedef struct connection {
    const address *to;
    int in, out;
    pid_t agent;
    unsigned char *buffer;
    size_t start, end, capacity;
    size_t chunk_left;       /* of a body in HTTP chunks */
    unsigned char *message;  /* what is put together from fragments or chunks */
    size_t message_length, message_capacity;
    bool closed;
    long bytes;              /* received, headers included */
} connection;

int64_t now_ns(void);
void fail(const char *what);

/* Connects, and waits until messages may be sent. */
void connection_open(connection *c, const address *to);
void connection_send(connection *c, const char *text, size_t length);

/* Reads once what is there, waiting for it if nothing is; sets `closed` at the end. */
void connection_fill(connection *c);

/* Gives the next whole message that was read; it is valid until the next call. */
bool connection_next(connection *c, const char **text, size_t *length);
void connection_close(connection *c);

#endif
