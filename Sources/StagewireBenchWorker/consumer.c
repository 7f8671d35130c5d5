// The worker forwards every record; the sink checks every record. Both settle each delivery by itself.
#include "roles.h"

// Outcomes on their way out: Settles of about BATCH bytes that are full, and behind them one that is not.
struct batch {
  uint8_t *memory, *end;
  struct iovec full[FRAMES];
  size_t frames;
  uint8_t *first;  // of the one that is not full; HEADROOM bytes stand before it
  size_t size;
};

static struct batch batch_new(size_t largest) {
  size_t capacity = FRAMES * (HEADROOM + BATCH) + HEADROOM + largest;
  struct batch b = {.memory = malloc(capacity)};
  if (!b.memory) session_fail("no memory for a batch");
  b.end = b.memory + capacity;
  b.first = b.memory + HEADROOM;
  return b;
}

static void close_frame(struct batch *b) {
  if (!b->size) return;
  uint8_t *frame = frame_data(SETTLE, b->first, b->size);
  b->full[b->frames++] = (struct iovec){frame, (size_t)(b->first - frame) + b->size};
  b->first += b->size + HEADROOM;
  b->size = 0;
}

static void flush(struct session *s, struct batch *b) {
  close_frame(b);
  if (b->frames || s->out_size) session_write_all(s, b->full, b->frames);
  b->frames = 0;
  b->first = b->memory + HEADROOM;
}

// Makes room for an outcome of `size` bytes. A large one goes out at once, for the broker to look at while the next is copied.
static void reserve(struct session *s, struct batch *b, size_t size) {
  if (b->size && b->size + size > BATCH) close_frame(b);
  if (b->frames == FRAMES || (b->frames && size > BATCH / 2) || b->first + b->size + size > b->end) flush(s, b);
  if (b->first + size > b->end) session_fail("a record above max_record");
}

// A Deliver as it is read: its records follow one another in `rest`.
struct deliver {
  struct slice rest;
  uint64_t next;  // delivery id of the next record
};

// The id stands in front of the records in every frame that the broker writes; protobuf does not promise it.
static struct deliver deliver_open(struct slice message) {
  struct deliver d = {message, 0};
  struct field f;
  while (!d.next && next_field(&message, &f) == FIELD)
    if (f.number == 2 && f.type == VARINT) d.next = f.value;
  if (!d.next) session_fail("a Deliver without ids");
  return d;
}

static bool deliver_next(struct session *s, struct deliver *d, struct slice *record) {
  struct field f;
  enum found found;
  while ((found = next_field(&d->rest, &f)) == FIELD) {
    if (f.number != 4 || f.type != BYTES) continue;
    *record = f.bytes;
    s->taken.records++;
    s->taken.bytes += slice_size(f.bytes);
    if (s->taken.records > s->offered.records || s->taken.bytes > s->offered.bytes)
      session_fail("the broker delivered more than it was granted");
    return true;
  }
  if (found == MALFORMED) session_fail("a malformed Deliver");
  return false;
}

// What the author of the record wrote: everything but its lineage, which the broker wrote in front.
static struct slice author_part(struct slice record) {
  struct slice rest = record;
  struct field f;
  if (next_field(&rest, &f) == FIELD && f.number == 1) return rest;
  return record;
}

static struct slice payload_of(struct slice record) {
  struct slice payload = {NULL, NULL};
  struct field f;
  enum found found;
  while ((found = next_field(&record, &f)) == FIELD)
    if (f.number == 3 && f.type == BYTES) payload = f.bytes;
  if (found == MALFORMED) session_fail("a malformed Record");
  return payload;
}

// ---- The worker ----

// Outcome{first, kind: ACCEPTED, emissions: [{port, output}]}
static void append_forward(struct batch *b, const struct session *s, uint64_t id, struct slice output) {
  size_t size = slice_size(output);
  size_t emission = (s->output ? 1 + varint_size(s->output) : 0) + 1 + varint_size(size) + size;
  size_t outcome = 1 + varint_size(id) + 2 + 1 + varint_size(emission) + emission;
  uint8_t *end = put_head(b->first + b->size, 1, outcome);
  end = put_number(put_number(end, 1, id), 3, 1);
  end = put_head(end, 4, emission);
  if (s->output) end = put_number(end, 1, s->output);
  end = put_bytes(end, 3, output.next, size);
  b->size = (size_t)(end - b->first);
}

enum { OUTCOME_OVERHEAD = 64 };

// Waits for the credit for `output`, which is moved with `rest` when the Deliver moves.
static void await_credit(struct session *s, struct batch *b, struct slice *output, struct slice *rest) {
  // What is settled may be what frees the credit, so it goes out before we wait.
  flush(s, b);
  uint64_t charge = slice_size(*output) + s->stamp_reserve;
  while (!session_may(s, charge) && !s->closed) {
    const uint8_t *before = session_held(s);
    session_read(s, true);
    ptrdiff_t moved = session_held(s) - before;
    slice_move(output, moved);
    slice_move(rest, moved);
  }
}

static void forward_all(struct session *s, struct batch *b, struct slice message) {
  struct deliver d = deliver_open(message);
  struct slice record;
  uint64_t count = 0;
  for (; deliver_next(s, &d, &record); d.next++, count++) {
    struct slice output = author_part(record);
    size_t size = slice_size(output);
    reserve(s, b, size + OUTCOME_OVERHEAD);
    if (!session_may(s, size + s->stamp_reserve)) await_credit(s, b, &output, &d.rest);
    if (s->closed) return;
    session_use(s, 1, size + s->stamp_reserve);
    append_forward(b, s, d.next, output);
  }
  counters->forwarded.value += count;
}

void work(struct session *s, const struct options *o) {
  (void)o;
  if (!s->has_input || !s->has_output) session_fail("a worker needs an input and an output");
  struct batch b = batch_new(s->max_record + OUTCOME_OVERHEAD);
  struct slice message;
  while (!s->closed) {
    while (session_next(s, &message)) {
      forward_all(s, &b, message);
      session_done(s);
      session_grant(s);
    }
    flush(s, &b);
    if (!s->closed) session_read(s, true);
  }
}

// ---- The sink ----

static void append_accept(struct batch *b, uint64_t first, uint64_t last) {
  size_t outcome = 1 + varint_size(first) + 2 + (last > first ? 1 + varint_size(last) : 0);
  uint8_t *end = put_head(b->first + b->size, 1, outcome);
  end = put_number(end, 1, first);
  if (last > first) end = put_number(end, 2, last);
  end = put_number(end, 3, 1);
  b->size = (size_t)(end - b->first);
}

static void check_all(struct session *s, struct batch *b, struct check *check, struct slice message, bool ranges) {
  struct deliver d = deliver_open(message);
  struct slice record;
  uint64_t first = d.next;
  for (; deliver_next(s, &d, &record); d.next++) {
    struct slice payload = payload_of(record);
    check_record(check, payload.next, slice_size(payload));
    if (ranges) continue;
    reserve(s, b, OUTCOME_OVERHEAD);
    append_accept(b, d.next, d.next);
  }
  if (ranges && d.next > first) {
    reserve(s, b, OUTCOME_OVERHEAD);
    append_accept(b, first, d.next - 1);
  }
  counters->bytes.value = s->taken.bytes;
  counters->received.value += d.next - first;
}

void drain(struct session *s, const struct options *o) {
  if (!s->has_input) session_fail("a sink needs an input");
  struct batch b = batch_new(BATCH);
  struct check check = check_new(o->size, o->keys);
  struct slice message;
  while (!s->closed) {
    while (session_next(s, &message)) {
      uint64_t before = counters->received.value;
      check_all(s, &b, &check, message, o->ranges);
      if (o->slow) usleep((useconds_t)((counters->received.value - before) * 1000000 / o->slow));
      session_done(s);
      session_grant(s);
    }
    flush(s, &b);
    if (!s->closed) session_read(s, true);
  }
}
