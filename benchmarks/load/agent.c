/* A fast agent on standard input and output, as ACP wants it: one JSON-RPC message a line.
 *
 * The text of a prompt says what its turn is: `n=COUNT` updates of `size=BYTES`, or as many as go
 * into `for=SECONDS`, at `rate=PER_SECOND` or as fast as they are taken; `mixed` sends the shapes
 * of shapes.ndjson, which lies beside the program, in their order. Each message is formatted anew,
 * as an agent does, and carries its number as @@000000123@@; at a given rate also, as t=…, the
 * nanoseconds of CLOCK_MONOTONIC when it was written. The response tells how many were sent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64 * 1024, LONGEST_INPUT = 4 * 1024 * 1024, MOST_SHAPES = 4096, DIGITS = 9 };
enum { MOST_ASKS = 32, PATIENCE_MS = 5000 };

typedef struct {
    long count, size, rate;
    double seconds;
    bool mixed;
} turn;

typedef struct {
    char *text;
    size_t length, number_at, ask_at; /* ask_at is 0 in what is no request */
} shape;

static char session[64];
static char *out;
static size_t out_length, out_capacity;
static shape shapes[MOST_SHAPES];
static size_t shape_count;
static long asked, answered;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void flush_out(void) {
    size_t done = 0;
    while (done < out_length) {
        ssize_t wrote = write(STDOUT_FILENO, out + done, out_length - done);
        if (wrote < 0 && errno != EINTR) exit(0); /* nobody reads any more */
        if (wrote > 0) done += wrote;
    }
    out_length = 0;
}

static char *room(size_t length) {
    if (out_length && out_length + length > BATCH) flush_out();
    if (length > out_capacity) {
        out_capacity = length > BATCH ? length : BATCH;
        out = realloc(out, out_capacity);
        if (!out) abort();
    }
    return out + out_length;
}

/* -- what clients say -- */

/* Finds a member of a message's top level; gives its value as it is spelt, or NULL. */
static const char *member(const char *text, size_t length, const char *name, size_t *value_length) {
    size_t name_length = strlen(name), start = 0, colon = 0;
    int depth = 0;
    bool wanted = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '"') {
            size_t begin = ++i;
            while (i < length && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
            if (depth == 1 && !colon)
                wanted = i - begin == name_length && !memcmp(text + begin, name, name_length);
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == ':' && depth == 1 && !colon) {
            colon = i;
            start = i + 1;
        } else if ((c == ',' && depth == 1) || c == '}' || c == ']') {
            if (depth == 1 && wanted && colon) {
                while (start < i && text[start] == ' ') start++;
                *value_length = i - start;
                return text + start;
            }
            if (c != ',') depth--;
            if (depth == 1 && c == ',') colon = 0;
        }
    }
    return NULL;
}

static double number(const char *text, size_t length, const char *name, double otherwise) {
    const char *found = memmem(text, length, name, strlen(name));
    return found ? atof(found + strlen(name)) : otherwise;
}

/* -- what a turn says -- */

static void say_update(long number_, long size, bool timed) {
    static char *words;
    static long words_length = -1;
    char head[400], time_[40] = "";
    if (timed) snprintf(time_, sizeof time_, "t=%ld ", (long)now_ns());
    int head_length = snprintf(
        head, sizeof head,
        "{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{\"sessionId\":\"%s\","
        "\"update\":{\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":\"text\","
        "\"text\":\"@@%09ld@@ %s",
        session, number_, time_);
    long padding = size - head_length - 5;
    if (padding < 1) padding = 1;
    if (padding > words_length) {
        static const char sentence[] = "The quick brown fox jumps over the lazy dog. ";
        words = realloc(words, padding);
        if (!words) abort();
        for (long i = 0; i < padding; i++) words[i] = sentence[i % (sizeof sentence - 1)];
        words_length = padding;
    }
    char *to = room(head_length + padding + 6);
    memcpy(to, head, head_length);
    memcpy(to + head_length, words, padding);
    memcpy(to + head_length + padding, "\"}}}}\n", 6);
    out_length += head_length + padding + 6;
}

static void say_shape(long number_) {
    shape *which = &shapes[number_ % shape_count];
    char digits[24];
    snprintf(digits, sizeof digits, "%09ld", number_);
    char *to = room(which->length);
    memcpy(to, which->text, which->length);
    memcpy(to + which->number_at, digits, DIGITS);
    if (which->ask_at) {
        memcpy(to + which->ask_at, digits, DIGITS);
        asked++;
    }
    out_length += which->length;
}

static char *replaced(const char *line, const char *old, const char *new) {
    const char *at = strstr(line, old);
    char *made = malloc(strlen(line) + strlen(new) + 1);
    if (!at || !made) abort();
    sprintf(made, "%.*s%s%s", (int)(at - line), line, new, at + strlen(old));
    return made;
}

static void read_shapes(void) {
    char own[PATH_MAX] = "", path[PATH_MAX + 32], line[64 * 1024];
    if (readlink("/proc/self/exe", own, sizeof own - 1) < 0) abort();
    snprintf(path, sizeof path, "%s/shapes.ndjson", dirname(own));
    FILE *file = fopen(path, "r");
    while (file && shape_count < MOST_SHAPES && fgets(line, sizeof line, file)) {
        char *text = replaced(line, "$SESSION", session);
        char *number_ = strstr(text, "@@000000000@@"), *ask = strstr(text, "\"ask-000000000\"");
        if (!number_) abort();
        shapes[shape_count++] = (shape){text, strlen(text), number_ + 2 - text, ask ? ask + 5 - text : 0};
    }
    if (!shape_count) {
        fprintf(stderr, "cannot read %s: it has the shapes of a mixed turn\n", path);
        exit(1);
    }
    fclose(file);
}

static void sleep_until(int64_t due) {
    struct timespec at = {due / 1000000000, due % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) {}
}

/* Takes the answers to what was asked: those that are there, and as many as leave at most so many open. */
static void take_answers(long most_open) {
    static char input[LONGEST_INPUT];
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    while (asked > answered) {
        bool waits = asked - answered > most_open;
        if (poll(&in, 1, waits ? PATIENCE_MS : 0) <= 0) {
            if (waits) exit(1); /* nobody answers: the turn cannot end */
            return;
        }
        ssize_t got = read(STDIN_FILENO, input, sizeof input);
        if (got <= 0) exit(0);
        for (ssize_t i = 0; i < got; i++) answered += input[i] == '\n';
    }
}

static long take_turn(turn what) {
    int64_t begun = now_ns(), end = begun + (int64_t)(what.seconds * 1e9);
    long sent = 0;
    for (; what.seconds > 0 || sent < what.count; sent++) {
        if (what.rate > 0) {
            flush_out();
            sleep_until(begun + sent * INT64_C(1000000000) / what.rate);
        }
        if (what.seconds > 0 && sent % 100 == 0 && now_ns() >= end) break;
        if (what.mixed) {
            if (asked - answered >= MOST_ASKS) flush_out();
            if (sent % 100 == 0 || asked - answered >= MOST_ASKS) take_answers(MOST_ASKS - 1);
            say_shape(sent);
        } else {
            say_update(sent, what.size, what.rate > 0);
        }
    }
    flush_out();
    take_answers(0);
    return sent;
}

static void prompted(const char *line, size_t length, const char *id, size_t id_length) {
    char kept[256];
    snprintf(kept, sizeof kept, "%.*s", (int)id_length, id);
    turn what = {
        .count = (long)number(line, length, "n=", 1),
        .size = (long)number(line, length, "size=", 300),
        .rate = (long)number(line, length, "rate=", 0),
        .seconds = number(line, length, "for=", 0),
        .mixed = memmem(line, length, "mixed", 5) != NULL,
    };
    if (what.mixed && !shape_count) read_shapes();
    long sent = take_turn(what);
    out_length += sprintf(
        room(512),
        "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"stopReason\":\"end_turn\","
        "\"_meta\":{\"sent\":%ld}}}\n",
        kept, sent);
}

static void answer(const char *line, size_t length) {
    size_t id_length = 0, method_length = 0;
    const char *id = member(line, length, "id", &id_length);
    const char *method = member(line, length, "method", &method_length);
    if (!id || !method) return;
#define IS(name) (method_length == sizeof name + 1 && !memcmp(method + 1, name, sizeof name - 1))
    if (IS("session/prompt")) {
        prompted(line, length, id, id_length);
        return;
    }
    const char *result = "\"error\":{\"code\":-32601,\"message\":\"Method not found\"}";
    char made[512];
    if (IS("initialize")) {
        result = "\"result\":{\"protocolVersion\":1,\"agentCapabilities\":{\"loadSession\":false},"
                 "\"agentInfo\":{\"name\":\"benchmark\",\"version\":\"1\"},\"authMethods\":[]}";
    } else if (IS("session/new")) {
        snprintf(made, sizeof made, "\"result\":{\"sessionId\":\"%s\"}", session);
        result = made;
    } else if (IS("session/close")) {
        result = "\"result\":{}";
    }
    out_length += sprintf(room(1024), "{\"jsonrpc\":\"2.0\",\"id\":%.*s,%s}\n", (int)id_length, id, result);
}

int main(void) {
    static char input[LONGEST_INPUT];
    size_t length = 0;
    snprintf(session, sizeof session, "sess_%d_%ld", getpid(), (long)time(NULL));
    for (;;) {
        ssize_t got = read(STDIN_FILENO, input + length, sizeof input - length);
        if (got <= 0) return 0;
        length += got;
        char *line = input, *end;
        while ((end = memchr(line, '\n', input + length - line))) {
            answer(line, end - line);
            flush_out();
            line = end + 1;
        }
        length = input + length - line;
        memmove(input, line, length);
        if (length == sizeof input) return 1;
    }
}
