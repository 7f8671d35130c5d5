// A source with one partition: as fast as credit allows, or at a fixed rate with time stamps.
#include "roles.h"

// The emissions of one Emit, all of the same size and filled in before the first is sent: for each record
// only its stamp and key change. The frame's head and the Emit's first fields are written in front of them.
struct template {
  uint8_t *first;
  size_t count;    // emissions that fit a batch
  size_t size;     // bytes of one, tag and length included
  size_t payload;  // where the payload begins in it
  size_t key;      // where the header's key begins; 0: no header
  uint64_t charge;
};

enum { FRONT = HEADROOM + 32 };

static size_t put_record(uint8_t *to, const struct options *o, size_t *key, size_t *payload) {
  uint8_t *end = to;
  *key = 0;
  if (o->header) {
    uint8_t header[64], number[4] = {0};
    uint8_t *h = put_number(put_bytes(header, 1, "bench.record", 12), 2, 1);
    h = put_bytes(h, 3, number, sizeof number);
    end = put_bytes(end, 2, header, (size_t)(h - header));
    *key = (size_t)(end - to) - sizeof number;
  }
  end = put_head(end, 3, o->size);
  *payload = (size_t)(end - to);
  memset(end, 'x', o->size);
  return *payload + o->size;
}

static struct template template_new(const struct session *s, const struct options *o) {
  struct template t;
  uint8_t *one = malloc(o->size + 256), *record = one + 128;
  if (!one) session_fail("no memory for a record");
  size_t size = put_record(record, o, &t.key, &t.payload);
  uint8_t head[64], *end = head;
  size_t port = s->output ? 1 + varint_size(s->output) : 0;
  end = put_head(end, 3, port + 1 + varint_size(size) + size);
  if (s->output) end = put_number(end, 1, s->output);
  end = put_head(end, 3, size);
  size_t front = (size_t)(end - head);
  t.size = front + size;
  t.payload += front;
  if (t.key) t.key += front;
  t.charge = size + s->stamp_reserve;
  if (t.charge > s->max_record || t.charge > s->max_step.bytes) session_fail("--size is above the pipeline's limits");
  t.count = BATCH / t.size ? BATCH / t.size : 1;
  if (t.count > s->max_step.records) t.count = s->max_step.records;
  if (t.count > s->max_step.bytes / t.charge) t.count = s->max_step.bytes / t.charge;
  uint8_t *memory = malloc(FRONT + t.count * t.size);
  if (!memory) session_fail("no memory for a batch");
  t.first = memory + FRONT;
  for (size_t i = 0; i < t.count; i++) {
    memcpy(t.first + i * t.size, head, front);
    memcpy(t.first + i * t.size + front, record, size);
  }
  free(one);
  return t;
}

static void write_emit(struct session *s, const struct template *t, size_t count) {
  uint8_t front[32], *end = put_bytes(front, 1, "0", 1);
  end = put_number(end, 2, ++s->last_emit);
  size_t size = (size_t)(end - front);
  uint8_t *message = t->first - size;
  memcpy(message, front, size);
  size_t length = size + count * t->size;
  uint8_t *frame = frame_data(EMIT, message, length);
  session_write(s, frame, (size_t)(message - frame) + length);
  session_use(s, count, count * t->charge);
}

// How many records may go into the next Emit.
static size_t affordable(const struct session *s, const struct template *t, uint64_t left) {
  uint64_t count = t->count;
  uint64_t bytes = (s->granted.bytes - s->used.bytes) / t->charge, records = s->granted.records - s->used.records;
  if (count > bytes) count = bytes;
  if (count > records) count = records;
  return count > left ? left : count;
}

static void finish(struct session *s) {
  while (s->committed < s->last_emit && !s->closed) session_read(s, true);
  if (s->draining) {
    session_control(s, CLOSE, NULL, 0);
    s->leaving = true;
  } else {
    const uint8_t partition[] = {1 << 3 | BYTES, 1, '0'};
    session_control(s, FINISHED, partition, sizeof partition);
  }
  session_write(s, NULL, 0);
  while (!s->closed) session_read(s, true);
}

void produce(struct session *s, const struct options *o) {
  if (!s->has_output) session_fail("a producer needs an output");
  const uint8_t partition[] = {1 << 3 | BYTES, 1, '0'};
  session_control(s, CLAIM, partition, sizeof partition);
  while (!s->claimed && !s->closed) session_read(s, true);

  struct template t = template_new(s, o);
  struct pace pace = {.interval_ns = o->rate ? 1000000000u / o->rate : 0};
  uint64_t left = o->records ? o->records : UINT64_MAX, round = 1;
  uint32_t key = 0;
  if (o->rate) precise_timers();
  while (left && !s->closed && !s->draining && !counters->stop.value) {
    uint64_t due = pace_wait(&pace);
    size_t count;
    while (!(count = affordable(s, &t, o->rate ? 1 : left)) && !s->closed && !s->draining) session_read(s, true);
    for (size_t i = 0; i < count; i++) {
      uint8_t *record = t.first + i * t.size;
      struct stamp stamp = {due, round, key, 0};
      memcpy(record + t.payload, &stamp, sizeof stamp);
      if (t.key) memcpy(record + t.key, &key, sizeof key);
      if (++key == o->keys) key = 0, round++;
    }
    if (count) write_emit(s, &t, count);
    left -= count;
    counters->emitted.value += count;
    session_read(s, false);
  }
  finish(s);
}
