#define _GNU_SOURCE
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MARKER = 13 }; /* @@000000123@@ */

void latencies_add(latencies *all, int64_t ns) {
    if (all->count == all->capacity) {
        all->capacity = all->capacity ? 2 * all->capacity : 4096;
        all->ns = realloc(all->ns, all->capacity * sizeof *all->ns);
        if (!all->ns) fail("get memory");
    }
    all->ns[all->count++] = ns;
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double latencies_us(latencies *all, double quantile) {
    if (!all->count) return 0;
    qsort(all->ns, all->count, sizeof *all->ns, by_size);
    return all->ns[(size_t)(quantile * (all->count - 1))] / 1e3;
}

static void count_update(client *c, const char *marker, const char *end) {
    long number = atol(marker + 2);
    if (!c->got) c->first_at = now_ns();
    c->got++;
    if (number > c->expected) c->lost += number - c->expected;
    if (number < c->expected) {
        c->repeated++;
        return;
    }
    c->expected = number + 1;
    if (c->milestone && c->expected % c->milestone == 0 && c->expected / c->milestone <= 10)
        c->milestones[c->expected / c->milestone] = now_ns();
    if (c->delays && end - marker > MARKER + 3 && !memcmp(marker + MARKER, " t=", 3))
        latencies_add(c->delays, now_ns() - atoll(marker + MARKER + 3));
}

/* Counts every update of a message: some relays put several lines into one. */
static long count_updates(client *c, const char *text, size_t length) {
    const char *at = text, *end = text + length;
    long before = c->got;
    /* `memchr` looks at many bytes at a time, `memmem` at each. */
    while ((at = memchr(at, '@', end - at))) {
        if (end - at >= MARKER && at[1] == '@' && at[11] == '@' && at[12] == '@') {
            count_update(c, at, end);
            at += MARKER;
        } else {
            at++;
        }
    }
    return c->got - before;
}

static void answer_ask(client *c, const char *text, size_t length) {
    static const char id_name[] = "\"id\":", option_name[] = "\"optionId\":";
    if (!memmem(text, length, "\"session/request_permission\"", 28)) return;
    const char *id = memmem(text, length, id_name, strlen(id_name));
    const char *option = memmem(text, length, option_name, strlen(option_name));
    if (!id || !option) fail("read a permission request");
    id += strlen(id_name);
    option += strlen(option_name);
    size_t id_length = strcspn(id, ",}"), option_length = strcspn(option, ",}");
    char answer[1024];
    int answer_length = snprintf(
        answer, sizeof answer,
        "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"outcome\":{\"outcome\":\"selected\",\"optionId\":%.*s}}}",
        (int)id_length, id, (int)option_length, option);
    connection_send(&c->link, answer, answer_length);
}

static bool is_answer(client *c, const char *text, size_t length) {
    if (!memmem(text, length, "\"result\"", 8) && !memmem(text, length, "\"error\"", 7)) return false;
    if (memmem(text, length, "\"method\"", 8)) return false;
    char wanted[2][40];
    snprintf(wanted[0], sizeof wanted[0], "\"id\":%ld", c->requests);
    snprintf(wanted[1], sizeof wanted[1], "\"id\": %ld", c->requests);
    for (int i = 0; i < 2; i++) {
        const char *found = memmem(text, length, wanted[i], strlen(wanted[i]));
        if (found && !strchr("0123456789", found[strlen(wanted[i])])) return true;
    }
    return false;
}

static void take_line(client *c, const char *text, size_t length) {
    /* Each message is looked through for both, as a client has to tell what it has got. */
    if (count_updates(c, text, length) && c->answers_asks) answer_ask(c, text, length);
    if (!is_answer(c, text, length)) return;
    size_t kept = length < sizeof c->answer ? length : sizeof c->answer - 1;
    memcpy(c->answer, text, kept);
    c->answer[kept] = '\0';
    c->answered = true;
    const char *sent = strstr(c->answer, "\"sent\":");
    if (sent) c->sent = atol(sent + 7);
}

void client_read(client *c) {
    const char *text;
    size_t length;
    connection_fill(&c->link);
    while (connection_next(&c->link, &text, &length)) {
        c->messages++;
        const char *last = memrchr(text, '\n', length);
        const char *line = last && last + 1 < text + length ? last + 1 : text;
        if (line != text) count_updates(c, text, line - text);
        take_line(c, line, text + length - line);
    }
    c->last_at = now_ns();
}

void client_request(client *c, const char *method, const char *params) {
    char text[8192];
    int length = snprintf(text, sizeof text,
                          "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"method\":\"%s\",\"params\":%s}",
                          ++c->requests, method, params);
    c->answered = false;
    connection_send(&c->link, text, length);
}

void client_await(client *c) {
    while (!c->answered) {
        if (c->link.closed) fail("get an answer: the other end has closed");
        client_read(c);
    }
    if (strstr(c->answer, "\"error\"")) {
        fprintf(stderr, "load: the answer is %s\n", c->answer);
        fail("go on");
    }
}

void client_initialize(client *c) {
    client_request(c, "initialize",
                   "{\"protocolVersion\":1,\"clientCapabilities\":{\"fs\":{\"readTextFile\":false,"
                   "\"writeTextFile\":false},\"terminal\":false},"
                   "\"clientInfo\":{\"name\":\"load\",\"version\":\"1\"}}");
    client_await(c);
}

void client_new_session(client *c, const char *cwd) {
    char params[1024];
    snprintf(params, sizeof params, "{\"cwd\":\"%s\",\"mcpServers\":[]}", cwd);
    client_request(c, "session/new", params);
    client_await(c);
    const char *found = strstr(c->answer, "\"sessionId\"");
    if (!found || sscanf(found + 11, " : \"%255[^\"]", c->session) != 1) fail("read the session's id");
}

void client_load_session(client *c, const char *session, const char *cwd) {
    char params[1024];
    snprintf(c->session, sizeof c->session, "%s", session);
    snprintf(params, sizeof params, "{\"sessionId\":\"%s\",\"cwd\":\"%s\",\"mcpServers\":[]}", session, cwd);
    client_request(c, "session/load", params);
}

void client_count_anew(client *c) {
    c->expected = c->got = c->lost = c->repeated = c->messages = 0;
    c->sent = -1;
}

void client_prompt(client *c, const char *text) {
    char params[1024];
    client_count_anew(c);
    snprintf(params, sizeof params,
             "{\"sessionId\":\"%s\",\"prompt\":[{\"type\":\"text\",\"text\":\"%s\"}]}", c->session, text);
    client_request(c, "session/prompt", params);
}
