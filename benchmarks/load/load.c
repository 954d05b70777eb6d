/* The load client: puts a relay, or an agent's pipe, under load, and prints what came as JSON.
 *
 *   load stream   one prompt in each of --sessions sessions, watched by --watchers more clients,
 *                 and by one that sleeps for --sleep seconds first
 *   load trips    --count prompts with one update each, one after another
 *   load first    --count times: connect, open a session, prompt, get the first update
 *   load attach   loads --session, which has --count updates
 *   load limit    how fast this program itself takes --count updates from a WebSocket
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "limit.h"

enum { MOST_CLIENTS = 4096, MOST_EVENTS = 256, SILENCE_MS = 1000 };

static address to = {.path = "/"};
static long count = 1000, size = 300, rate, sessions = 1, watchers, pause_ms;
static double seconds, sleep_s;
static bool mixed, closes;
static const char *session = "", *cwd = "/tmp", *watched = "";
static client clients[MOST_CLIENTS];
static long client_count;
static latencies delays;

static void out_of_time(int signal_) {
    (void)signal_;
    static const char said[] = "load: cannot finish in time\n";
    if (write(STDERR_FILENO, said, sizeof said - 1)) {}
    _exit(1);
}

/* The processor time that the watched processes have used, in seconds. */
static double cpu_s(void) {
    double total = 0;
    for (const char *at = watched; *at;) {
        char *end;
        clockid_t clock;
        struct timespec used;
        pid_t pid = strtol(at, &end, 10);
        if (!clock_getcpuclockid(pid, &clock) && !clock_gettime(clock, &used))
            total += used.tv_sec + used.tv_nsec / 1e9;
        at = *end ? end + 1 : end;
    }
    return total;
}

static void text_of_turn(char *text, size_t length) {
    int at = seconds > 0 ? snprintf(text, length, "for=%g", seconds) : snprintf(text, length, "n=%ld", count);
    snprintf(text + at, length - at, " size=%ld rate=%ld%s", size, rate, mixed ? " mixed" : "");
}

static client *join(const char *session_) {
    if (client_count == MOST_CLIENTS) fail("have so many clients");
    client *c = &clients[client_count++];
    connection_open(&c->link, &to);
    client_initialize(c);
    if (session_) {
        client_load_session(c, session_, cwd);
        client_await(c);
        client_count_anew(c);
    } else {
        client_new_session(c, cwd);
    }
    if (rate) c->delays = &delays;
    c->answers_asks = mixed && !session_;
    return c;
}

/* -- stream -- */

/* Clients of one session lie one after another; the first of them has prompted. */
static long sent_to(long which) { return clients[which - which % (1 + watchers)].sent; }

static bool all_done(void) {
    for (long i = 0; i < client_count; i++) {
        bool is_served = sent_to(i) >= 0 && clients[i].expected >= sent_to(i);
        if (!is_served && !clients[i].link.closed) return false;
    }
    return true;
}

static bool all_answered(void) {
    for (long i = 0; i < client_count; i += 1 + watchers)
        if (!clients[i].answered && !clients[i].link.closed) return false;
    return true;
}

static void listen_to(int poll, client *c) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, c->link.in, &event)) fail("poll");
}

/* Reads for all until each has what was sent, or nothing comes any more. */
static void read_all(client *sleeper, int64_t wakes_at) {
    struct epoll_event events[MOST_EVENTS];
    int poll = epoll_create1(EPOLL_CLOEXEC);
    for (client *c = clients; c < clients + client_count; c++)
        if (c != sleeper) listen_to(poll, c);
    while (sleeper || !all_done()) {
        int ready = epoll_wait(poll, events, MOST_EVENTS, SILENCE_MS);
        if (sleeper && now_ns() >= wakes_at) {
            listen_to(poll, sleeper);
            sleeper = NULL;
        } else if (!sleeper && !ready && all_answered()) {
            break; /* what did not come is lost */
        }
        for (int i = 0; i < ready; i++) {
            client *c = events[i].data.ptr;
            client_read(c);
            if (c->link.closed) epoll_ctl(poll, EPOLL_CTL_DEL, c->link.in, NULL);
        }
    }
    close(poll);
}

static void print_clients(int64_t begun, client *sleeper, double cpu) {
    long deliveries = 0, sent = 0, lost = 0, repeated = 0, messages = 0;
    int64_t first = INT64_MAX, last = begun;
    for (long i = 0; i < client_count; i++) {
        client *c = &clients[i];
        long due = sent_to(i) < 0 ? count : sent_to(i);
        lost += c->lost + (due > c->expected ? due - c->expected : 0);
        repeated += c->repeated;
        if (c == sleeper) continue;
        sent += i % (1 + watchers) == 0 ? due : 0;
        deliveries += c->got;
        messages += c->messages;
        if (c->got && c->first_at < first) first = c->first_at;
        if (c->last_at > last) last = c->last_at;
    }
    double took = (last - begun) / 1e9;
    printf("{\"sent\": %ld, \"deliveries\": %ld, \"messages\": %ld, \"seconds\": %.6f, \"rate\": %.1f, "
           "\"sent_rate\": %.1f, \"lost\": %ld, \"repeated\": %ld, \"first_ms\": %.3f, \"cpu_s\": %.6f, \"session\": \"%s\"",
           sent, deliveries, messages, took, deliveries / took, sent / took, lost, repeated,
           deliveries ? (first - begun) / 1e6 : 0, cpu, clients[0].session);
    if (delays.count)
        printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f", latencies_us(&delays, 0.5),
               latencies_us(&delays, 0.99), latencies_us(&delays, 1));
    if (clients[0].milestone) {
        printf(", \"tenths\": [");
        for (int i = 1; i <= 10; i++) {
            int64_t from = i > 1 ? clients[0].milestones[i - 1] : clients[0].first_at;
            int64_t took = clients[0].milestones[i] - from; /* nothing, where updates were lost */
            printf("%s%.1f", i > 1 ? ", " : "", took > 0 ? clients[0].milestone * 1e9 / took : 0);
        }
        printf("]");
    }
    puts("}");
}

static void stream(void) {
    char text[200];
    client *sleeper = NULL;
    text_of_turn(text, sizeof text);
    for (long i = 0; i < sessions; i++) {
        client *first = join(NULL);
        for (long k = 0; k < watchers; k++) join(first->session);
    }
    if (sleep_s > 0) sleeper = &clients[client_count - 1];
    if (!seconds && count >= 10) clients[0].milestone = count / 10;
    double cpu = cpu_s();
    int64_t begun = now_ns();
    for (long i = 0; i < client_count; i += 1 + watchers) client_prompt(&clients[i], text);
    read_all(sleeper, begun + (int64_t)(sleep_s * 1e9));
    cpu = cpu_s() - cpu;
    for (long i = 0; i < client_count; i += 1 + watchers)
        if (!clients[i].answered) fail("get an answer: the other end has closed");
    print_clients(begun, sleeper, cpu);
}

/* -- trips, first, attach -- */

static void print_times(const char *name, latencies *all) {
    printf("\"%s_p50_us\": %.1f, ", name, latencies_us(all, 0.5));
    printf("\"%s_p99_us\": %.1f", name, latencies_us(all, 0.99));
}

static void trips(void) {
    latencies updates = {0}, answers = {0};
    char text[64];
    client *c = join(NULL);
    snprintf(text, sizeof text, "n=1 size=%ld", size);
    double cpu = cpu_s();
    int64_t until = seconds > 0 ? now_ns() + (int64_t)(seconds * 1e9) : INT64_MAX;
    for (long i = -count / 10; i < count && (now_ns() < until || !answers.count); i++) {
        int64_t begun = now_ns();
        client_prompt(c, text);
        client_await(c);
        if (i < 0 && now_ns() < until - (int64_t)(seconds * 0.9e9)) continue; /* warming up */
        latencies_add(&answers, now_ns() - begun);
        if (c->got) latencies_add(&updates, c->first_at - begun);
    }
    printf("{");
    print_times("update", &updates);
    printf(", ");
    print_times("answer", &answers);
    printf(", \"cpu_s\": %.6f, \"lost\": %zu}\n", cpu_s() - cpu, answers.count - updates.count);
}

static void first(void) {
    latencies taken = {0};
    for (long i = 0; i < count; i++) {
        client_count = 0;
        memset(&clients[0], 0, sizeof clients[0]);
        int64_t begun = now_ns();
        client *c = join(NULL);
        client_prompt(c, "n=1");
        while (!c->got && !c->link.closed) client_read(c);
        if (!c->got) fail("get an update: the other end has closed");
        latencies_add(&taken, c->first_at - begun);
        client_await(c);
        if (closes) {
            char params[300];
            snprintf(params, sizeof params, "{\"sessionId\":\"%s\"}", c->session);
            client_request(c, "session/close", params);
            client_await(c);
        }
        connection_close(&c->link);
        usleep(pause_ms * 1000);
    }
    client_count = 0;
    printf("{");
    print_times("first", &taken);
    puts("}");
}

static void attach(void) {
    client *c = &clients[client_count++];
    connection_open(&c->link, &to);
    client_initialize(c);
    int64_t begun = now_ns();
    client_count_anew(c);
    client_load_session(c, session, cwd);
    client_await(c);
    printf("{\"first_ms\": %.3f, \"seconds\": %.6f, \"rate\": %.1f, \"lost\": %ld, \"repeated\": %ld}\n",
           (c->first_at - begun) / 1e6, (c->last_at - begun) / 1e9,
           c->got / ((c->last_at - c->first_at) / 1e9), c->lost + count - c->expected, c->repeated);
}

static void limit(void) { print_limit(count, size); }

/* -- the command -- */

static const struct option options[] = {
    {"agent", 1, 0, 'a'},    {"port", 1, 0, 'p'},     {"path", 1, 0, 'u'},   {"bearer", 1, 0, 'b'},
    {"events", 0, 0, 'e'},   {"count", 1, 0, 'n'},    {"size", 1, 0, 's'},   {"rate", 1, 0, 'r'},
    {"seconds", 1, 0, 't'},  {"sessions", 1, 0, 'k'}, {"watchers", 1, 0, 'w'}, {"sleep", 1, 0, 'z'},
    {"mixed", 0, 0, 'm'},    {"close", 0, 0, 'c'},    {"session", 1, 0, 'S'}, {"cwd", 1, 0, 'd'},
    {"watch", 1, 0, 'W'},    {"pause-ms", 1, 0, 'P'}, {"limit-s", 1, 0, 'l'},  {0, 0, 0, 0}};

int main(int argc, char **argv) {
    unsigned limit_s = 60;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'a': to.agent = optarg; break;
        case 'p': to.port = atoi(optarg); break;
        case 'u': to.path = optarg; break;
        case 'b': to.bearer = optarg; break;
        case 'e': to.events = true; break;
        case 'n': count = atol(optarg); break;
        case 's': size = atol(optarg); break;
        case 'r': rate = atol(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'k': sessions = atol(optarg); break;
        case 'w': watchers = atol(optarg); break;
        case 'z': sleep_s = atof(optarg); break;
        case 'm': mixed = true; break;
        case 'c': closes = true; break;
        case 'S': session = optarg; break;
        case 'd': cwd = optarg; break;
        case 'W': watched = optarg; break;
        case 'P': pause_ms = atol(optarg); break;
        case 'l': limit_s = atoi(optarg); break;
        default: return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, out_of_time);
    alarm(limit_s);
    static const struct { const char *name; void (*run)(void); } modes[] = {
        {"stream", stream}, {"trips", trips}, {"first", first}, {"attach", attach}, {"limit", limit}};
    for (size_t i = 0; optind < argc && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[optind], modes[i].name)) continue;
        modes[i].run();
        for (long k = 0; k < client_count; k++) connection_close(&clients[k].link);
        return 0;
    }
    fprintf(stderr, "usage: load stream|trips|first|attach|limit [--port N …]\n");
    return 2;
}
