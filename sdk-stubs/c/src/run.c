/* sw_run: arguments, environment, signals, threads. */
#include "worker.h"

#include "config.h"
#include "confirm.h"
#include "produce.h"
#include "settle.h"
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { USELESS = 2, MOST_WORKERS = 256 };

/* ---- The stage ---- */

static const char *wrong_bounds(const sw_stage *stage) {
    const sw_bounds *bounds = &stage->bounds;
    bool by_arrival = bounds->records > 0 || bounds->bytes > 0 || bounds->seconds > 0;
    if (stage->window == NULL) return NULL;
    if (!by_arrival && !(bounds->size > 0)) return "a window needs bounds: records, bytes, seconds or size";
    if (by_arrival && bounds->size > 0) return "a window by event time (size) has no other bound";
    if (bounds->size > 0 && bounds->size < 1e-6) return "a window's size is less than a microsecond";
    return NULL;
}

/* A sentence when the program's sw_stage cannot be a stage. */
static const char *wrong_stage(const sw_stage *stage) {
    int kinds = (stage->transform != NULL) + (stage->sink != NULL) + (stage->batch_sink != NULL) +
                (stage->window != NULL) + (stage->source != NULL);
    if (kinds != 1) return "sw_stage needs exactly one of transform, sink, batch_sink, window and source";
    if (stage->workers > MOST_WORKERS) return "sw_stage.workers is more than 256";
    if (stage->workers > 1 && !stage->transform && !stage->sink) return "sw_stage.workers is for transforms and sinks";
    return wrong_bounds(stage);
}

/* ---- The environment ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Reads the token and takes it out of the environment, so that no child inherits it (HS-1). */
static bool take_token(swi_worker *worker) {
    char *token = getenv("STAGEWIRE_TOKEN");
    if (token == NULL) return true;
    size_t size = strlen(token);
    bool is_good = size > 0 && size % 2 == 0 && size / 2 <= sizeof worker->token;
    for (size_t i = 0; is_good && i < size; i += 2) {
        int high = hex_digit(token[i]), low = hex_digit(token[i + 1]);
        is_good = high >= 0 && low >= 0;
        worker->token[i / 2] = (uint8_t)(high << 4 | low);
    }
    worker->token_size = size / 2;
    worker->spawned = true;
    memset(token, 0, size); /* it would be left in the process's initial environment */
    unsetenv("STAGEWIRE_TOKEN");
    return is_good;
}

static bool take_environment(swi_worker *worker) {
    const char *path = getenv("STAGEWIRE_SOCKET"), *stage = getenv("STAGEWIRE_STAGE");
    const char *instance = getenv("STAGEWIRE_INSTANCE");
    if (!take_token(worker)) {
        swi_say("STAGEWIRE_TOKEN is not what the broker gives: an even number of hexadecimal digits");
        return false;
    }
    if (stage == NULL || *stage == 0) stage = worker->stage->name;
    if (path == NULL || *path == 0) {
        swi_say("STAGEWIRE_SOCKET is not set: this program is a stage of a pipeline, which `stagewire run` starts; "
                "--test FILE tries it without one");
        return false;
    }
    if (stage == NULL || *stage == 0) {
        swi_say("STAGEWIRE_STAGE is not set: it says which stage of the pipeline this worker is");
        return false;
    }
    worker->socket = swi_duplicate(path);
    worker->stage_name = swi_duplicate(stage);
    if (instance != NULL && *instance != 0) worker->instance = swi_duplicate(instance);
    return true;
}

/* ---- Signals ---- */

static int signal_pipe = -1;
static volatile sig_atomic_t signals;

static void on_signal(int number) {
    int saved = errno;
    (void)number;
    if (++signals > 1) _exit(1); /* the second one ends the process at once */
    ssize_t ignored = write(signal_pipe, "s", 1);
    (void)ignored;
    errno = saved;
}

/* A function rather than SIG_IGN, which what a handler starts would inherit. */
static void on_nothing(int number) { (void)number; }

/* A host handles SIGINT itself: it reaches the whole foreground group of a terminal. */
static void take_signals(const swi_worker *worker) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction nothing = {.sa_handler = on_nothing, .sa_flags = SA_RESTART};
    signal_pipe = worker->wake[1];
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, worker->spawned ? &nothing : &action, NULL);
}

/* ---- Running ---- */

swi_worker *swi_worker_make(const sw_stage *stage) {
    swi_worker *worker = swi_allocate_zeroed(1, sizeof *worker);
    pthread_condattr_t monotonic;
    double timeout = stage->timeout == 0 ? 300 : stage->timeout;
    worker->stage = stage;
    worker->is_source = stage->source != NULL;
    worker->needs_feature = stage->window ? "holds" : NULL;
    worker->timeout_ms = timeout > 0 && timeout < 1e12 && !worker->is_source ? (int64_t)(timeout * 1000) + 1 : 0;
    worker->call_count = stage->workers > 1 ? stage->workers : 1;
    worker->calls = swi_allocate_zeroed(worker->call_count, sizeof *worker->calls);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&worker->mutex, NULL);
    if (pipe2(worker->wake, O_CLOEXEC | O_NONBLOCK) != 0) {
        swi_say("cannot make a pipe: %s", strerror(errno));
        swi_worker_free(worker);
        return NULL;
    }
    if (worker->is_source) worker->producer = swi_producer_make(worker);
    else worker->settler = swi_settler_make(worker), worker->confirmations = swi_confirmations_make();
    return worker;
}

void swi_worker_free(swi_worker *worker) {
    while (worker->first != NULL || worker->recycled != NULL) {
        swi_item **list = worker->first ? &worker->first : &worker->recycled, *item = *list;
        *list = item->next;
        free(item);
    }
    if (worker->producer != NULL) swi_producer_free(worker->producer);
    if (worker->settler != NULL) swi_settler_free(worker->settler);
    if (worker->confirmations != NULL) swi_confirmations_free(worker->confirmations);
    if (worker->wake[1] > 0) {
        close(worker->wake[0]);
        close(worker->wake[1]);
    }
    pthread_mutex_destroy(&worker->mutex);
    pthread_cond_destroy(&worker->changed);
    free(worker->calls);
    free(worker->socket);
    free(worker->stage_name);
    free(worker->instance);
    free(worker->config);
    free(worker->given_instance);
    free(worker);
}

/* Waits for the configuration of the first Welcome; false: the link has ended without one. */
static bool wait_for_config(swi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    while (worker->config == NULL && !worker->finished) pthread_cond_wait(&worker->changed, &worker->mutex);
    bool has_config = worker->config != NULL;
    pthread_mutex_unlock(&worker->mutex);
    return has_config;
}

static void handle_all(swi_worker *worker, void *user) {
    const sw_stage *stage = worker->stage;
    if (stage->source != NULL) swi_produce(worker, user);
    else if (stage->window != NULL) swi_consume_windows(worker, user);
    else if (stage->workers > 1) swi_consume_pool(worker, user);
    else swi_consume(worker, user);
}

/* Sets up, handles until the link has ended, tears down. */
static int run_connected(swi_worker *worker) {
    sw_config *config = NULL;
    void *user = worker->stage->user;
    bool is_wrong = false;
    if (wait_for_config(worker)) {
        config = swi_config_make(worker->config);
        user = swi_set_up(worker->stage, config, &is_wrong);
        if (is_wrong) { /* nothing was granted or claimed yet, so there is nothing to give back */
            fflush(NULL);
            _exit(USELESS);
        }
        handle_all(worker, user);
        if (worker->stage->teardown != NULL) worker->stage->teardown(user);
    }
    pthread_join(worker->link, NULL);
    if (config != NULL) swi_config_free(config);
    return worker->exit_code;
}

static int run_worker(const sw_stage *stage) {
    swi_worker *worker = swi_worker_make(stage);
    int exit_code = USELESS;
    if (worker == NULL) return exit_code;
    if (take_environment(worker)) {
        take_signals(worker);
        if (pthread_create(&worker->link, NULL, swi_link_run, worker) == 0) exit_code = run_connected(worker);
        else swi_say("cannot start a thread");
    }
    signal(SIGTERM, SIG_DFL); /* before the pipe is closed that the handler writes to */
    swi_worker_free(worker);
    return exit_code;
}

int sw_run(int argc, char **argv, const sw_stage *stage) {
    const char *wrong = wrong_stage(stage);
    if (wrong != NULL) {
        swi_say("%s", wrong);
        return USELESS;
    }
    if (swi_is_trial(argc, argv)) return swi_trial(argc, argv, stage);
    return run_worker(stage);
}
