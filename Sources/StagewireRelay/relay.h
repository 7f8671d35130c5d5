#pragma once
#include "bench.h"

enum { WINDOW = 1 << 20, HOPS = 2 };

// The first byte of a connection.
enum peer { PRODUCER, WORKER_IN, WORKER_OUT, SINK, PEERS };

// Cumulative acknowledgements as they come in; a read may end in the middle of one.
struct acks {
  uint8_t bytes[4096];
  size_t have;
};

// Reads what is there (with `wait` at least something) and raises `*acked` to the latest. False at the end.
static inline bool acks_read(struct acks *a, int fd, uint64_t *acked, bool wait) {
  ssize_t got;
  do {
    got = recv(fd, a->bytes + a->have, sizeof a->bytes - a->have, wait ? 0 : MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return errno == EAGAIN;
  if (!got) return false;
  a->have += (size_t)got;
  size_t whole = a->have / sizeof *acked * sizeof *acked;
  if (whole) memcpy(acked, a->bytes + whole - sizeof *acked, sizeof *acked);
  a->have -= whole;
  memmove(a->bytes, a->bytes + whole, a->have);
  return true;
}

void produce(const struct options *o);
void forward(const struct options *o);
void drain(const struct options *o);
