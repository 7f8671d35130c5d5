// What the clients of the broker and of the relay share, so that both are measured alike: counters in a
// file that the driver maps, the payload's first bytes, open-loop pacing and the sink's checks.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus  // the gRPC peer includes this, too
#define _Alignas alignas
#define _Noreturn [[noreturn]]
#endif

// Exit codes, those of the command line.
enum { EXIT_RUNTIME = 1, EXIT_USAGE = 2, EXIT_ENVIRONMENT = 3 };

// Bytes of one batch: what the clients collect for one write.
enum { BATCH = 64 * 1024 };

// ---- Counters ----

// One cache line for each, so that the processes do not slow each other down by counting.
struct counter {
  _Alignas(64) volatile uint64_t value;
};

enum { LATENCIES = 1 << 16 };

// bench.py reads this layout: nine counters 64 bytes apart, then the latencies.
struct counters {
  struct counter emitted;     // records, by the producer
  struct counter forwarded;   // by the worker
  struct counter received;    // by the sink
  struct counter wrong;       // of another size, or with an unknown key
  struct counter disordered;  // with a gap in front of them, among the records of their key
  struct counter repeated;    // that had arrived before
  struct counter stop;        // set by the driver: the producer ends its partition
  struct counter samples;     // latencies taken so far; they wrap around
  struct counter bytes;       // of the records that the sink received, with lineage and header
  volatile uint64_t latency_ns[LATENCIES];
};

extern struct counters *counters;  // defined beside main

_Noreturn static inline void die(int code, const char *what) {
  fprintf(stderr, "bench: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(code);
}

// Maps the file at `path`, or private memory when there is none.
static inline void counters_open(const char *path) {
  int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (path && (fd < 0 || ftruncate(fd, sizeof *counters))) die(EXIT_ENVIRONMENT, path);
  int flags = path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void *memory = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (memory == MAP_FAILED) die(EXIT_ENVIRONMENT, "cannot map the counters");
  counters = (struct counters *)memory;
  if (fd >= 0) close(fd);
}

// ---- Payloads ----

// The first bytes of every payload.
struct stamp {
  uint64_t sent_ns;   // CLOCK_MONOTONIC; 0: not measured
  uint64_t sequence;  // among the records of this key, from 1
  uint32_t key;
  uint32_t unused;
};

enum { SMALLEST = sizeof(struct stamp) };

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// An open loop: records are due at fixed times, whether or not the system keeps up.
struct pace {
  uint64_t interval_ns;  // 0: as fast as possible
  uint64_t due_ns;
};

// Sleeps end late, by a few dozen microseconds where the core has to be woken; the last of them are spun away.
enum { SPIN_NS = 60000 };

// Waits for the next record's time and returns it. A latency counts from there and not from the sending, so that a
// stall, whoever caused it, counts for every record that it delayed.
static inline uint64_t pace_wait(struct pace *pace) {
  if (!pace->interval_ns) return 0;
  pace->due_ns = (pace->due_ns ? pace->due_ns : now_ns()) + pace->interval_ns;
  uint64_t wake_ns = pace->due_ns - SPIN_NS;
  struct timespec wake = {(time_t)(wake_ns / 1000000000u), (long)(wake_ns % 1000000000u)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL) == EINTR) {
  }
  while (now_ns() < pace->due_ns) {
  }
  return pace->due_ns;
}

// Sleeps end within a microsecond of their time instead of 50.
static inline void precise_timers(void) { prctl(PR_SET_TIMERSLACK, 1); }

// ---- The sink's checks ----

struct check {
  size_t size;
  uint32_t keys;
  uint64_t *last;  // sequence of the latest record, by key
};

static inline struct check check_new(size_t size, uint32_t keys) {
  struct check check = {size, keys, (uint64_t *)calloc(keys, sizeof(uint64_t))};
  if (!check.last) die(EXIT_RUNTIME, "no memory for the keys");
  return check;
}

static inline void check_record(struct check *check, const uint8_t *payload, size_t size) {
  struct stamp stamp;
  if (size != check->size) {
    counters->wrong.value++;
    return;
  }
  memcpy(&stamp, payload, sizeof stamp);
  if (stamp.key >= check->keys) {
    counters->wrong.value++;
    return;
  }
  uint64_t *last = &check->last[stamp.key];
  if (stamp.sequence == *last + 1) {
    *last = stamp.sequence;
  } else if (stamp.sequence <= *last) {
    counters->repeated.value++;
  } else {
    counters->disordered.value++;
    *last = stamp.sequence;
  }
  if (stamp.sent_ns) {
    uint64_t index = counters->samples.value;
    counters->latency_ns[index % LATENCIES] = now_ns() - stamp.sent_ns;
    counters->samples.value = index + 1;
  }
}

// ---- Options and sockets ----

struct options {
  const char *role;
  const char *socket;
  const char *counters;
  size_t size;       // payload bytes
  uint64_t records;  // to emit; 0: until the driver says stop
  uint64_t rate;     // per second; 0: as fast as possible
  uint32_t keys;
  bool header;       // schema, version and key on every record
  bool ranges;       // the sink settles a whole Deliver by one outcome
  uint64_t slow;     // records per second that the sink takes at most; 0: as many as come
  uint64_t batch;    // records that a peer's producer puts into one message or pipeline
  uint64_t window;   // records on their way at most, where a peer has no bound of its own; 0: none
};

static inline uint64_t option_number(const char *name, const char *text, uint64_t least, uint64_t most) {
  char *end;
  errno = 0;
  unsigned long long value = text ? strtoull(text, &end, 10) : 0;
  if (!text || errno || end == text || *end || value < least || value > most) {
    fprintf(stderr, "bench: %s needs a number from %llu to %llu\n", name, (unsigned long long)least,
            (unsigned long long)most);
    exit(EXIT_USAGE);
  }
  return value;
}

static inline struct options options_read(int count, char **words) {
  struct options o = {.socket = getenv("STAGEWIRE_SOCKET"), .size = 100, .keys = 1, .batch = 1};
  for (int i = 1; i < count; i++) {
    const char *word = words[i], *next = i + 1 < count ? words[i + 1] : NULL;
    if (!strcmp(word, "--header")) {
      o.header = true;
    } else if (!strcmp(word, "--ranges")) {
      o.ranges = true;
    } else if (word[0] != '-' && !o.role) {
      o.role = word;
    } else {
      if (!strcmp(word, "--socket") && next) o.socket = next;
      else if (!strcmp(word, "--counters") && next) o.counters = next;
      else if (!strcmp(word, "--size")) o.size = option_number(word, next, SMALLEST, 1 << 26);
      else if (!strcmp(word, "--records")) o.records = option_number(word, next, 0, UINT64_MAX);
      else if (!strcmp(word, "--rate")) o.rate = option_number(word, next, 0, 1000000000);
      else if (!strcmp(word, "--slow")) o.slow = option_number(word, next, 0, 1000000000);
      else if (!strcmp(word, "--batch")) o.batch = option_number(word, next, 1, 1 << 20);
      else if (!strcmp(word, "--window")) o.window = option_number(word, next, 0, 1 << 30);
      else if (!strcmp(word, "--keys")) o.keys = (uint32_t)option_number(word, next, 1, 1 << 24);
      else {
        fprintf(stderr, "bench: cannot read '%s'\n", word);
        exit(EXIT_USAGE);
      }
      i++;
    }
  }
  if (!o.role || !o.socket) {
    fprintf(stderr, "usage: %s ROLE [--socket PATH] [--counters FILE] [--size BYTES] [--records N] [--rate N]\n"
                    "       [--keys N] [--header] [--ranges] [--slow N] [--batch N] [--window N]\n", words[0]);
    exit(EXIT_USAGE);
  }
  return o;
}

static inline struct sockaddr_un socket_address(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    die(EXIT_USAGE, path);
  }
  strcpy(address.sun_path, path);
  return address;
}

// Dials for up to five seconds: the other side may be about to start.
static inline int socket_dial(const char *path) {
  struct sockaddr_un address = socket_address(path);
  for (int tries = 0;; tries++) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die(EXIT_ENVIRONMENT, "socket");
    if (!connect(fd, (struct sockaddr *)&address, sizeof address)) return fd;
    if ((errno != ENOENT && errno != ECONNREFUSED) || tries == 500) die(EXIT_ENVIRONMENT, path);
    close(fd);
    usleep(10000);
  }
}
