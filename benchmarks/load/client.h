/* An ACP client that counts: which updates came, in which order, and how long they took. */
#ifndef CLIENT_H
#define CLIENT_H

#include "connection.h"

typedef struct {
    int64_t *ns;
    size_t count, capacity;
} latencies;

typedef struct client {
    connection link;
    char session[256];
    long requests;            /* the id of the last one */
    bool answered;            /* the last one */
    char answer[4096];
    long expected, got, lost, repeated;
    long sent;                /* by the agent, as its response tells; -1 before */
    long messages;            /* with which they came; some relays put several into one */
    int64_t first_at, last_at;
    latencies *delays;        /* where updates that tell when they were written are timed */
    bool answers_asks;
    long milestone;           /* every so many updates the time is noted */
    int64_t milestones[11];
} client;

void latencies_add(latencies *all, int64_t ns);
double latencies_us(latencies *all, double quantile);

/* Takes what has come; blocks only if nothing has. */
void client_read(client *c);
void client_request(client *c, const char *method, const char *params);
void client_await(client *c);
void client_initialize(client *c);
void client_new_session(client *c, const char *cwd);
void client_load_session(client *c, const char *session, const char *cwd);

/* Begins to count anew, and sends a prompt. */
void client_prompt(client *c, const char *text);
void client_count_anew(client *c);

#endif
