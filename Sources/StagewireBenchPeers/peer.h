// What the programs of all peers share, on top of bench.h: the next record to send, and how many make a batch.
#pragma once
#include "bench.h"

// Bytes of one batch at most, so that a batch of large records is not a burst.
enum { PEER_BATCH = 256 * 1024 };

// The records of a producer, in turns over the keys.
struct feed {
  struct pace pace;
  uint64_t left, round;
  uint32_t key, keys;
};

static inline struct feed feed_new(const struct options *o) {
  struct feed feed = {{o->rate ? 1000000000u / o->rate : 0, 0}, o->records ? o->records : UINT64_MAX, 1, 0, o->keys};
  if (o->rate) precise_timers();
  return feed;
}

static inline bool feed_open(const struct feed *feed) { return feed->left && !counters->stop.value; }

// Waits for the next record's time and writes its stamp to the payload's start.
static inline void feed_next(struct feed *feed, uint8_t *payload) {
  struct stamp stamp = {pace_wait(&feed->pace), feed->round, feed->key, 0};
  memcpy(payload, &stamp, sizeof stamp);
  if (++feed->key == feed->keys) feed->key = 0, feed->round++;
  feed->left--;
}

// Records of one batch: one at a fixed rate, for there is nothing to wait for.
static inline size_t batch_records(const struct options *o) {
  size_t most = PEER_BATCH / o->size ? PEER_BATCH / o->size : 1;
  return o->rate ? 1 : o->batch < most ? o->batch : most;
}

static inline uint8_t *payload_new(const struct options *o) {
  uint8_t *payload = (uint8_t *)malloc(o->size);
  if (!payload) die(EXIT_RUNTIME, "no memory for a payload");
  memset(payload, 'x', o->size);
  return payload;
}

static inline void received(struct check *check, const void *payload, size_t size) {
  check_record(check, (const uint8_t *)payload, size);
  counters->bytes.value += size;
  counters->received.value++;
}
