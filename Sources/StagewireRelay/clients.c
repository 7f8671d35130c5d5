// The stages at the relay's ends. They do what the broker's do: batches of 64 KiB, the same stamps, the
// same checks, each record copied once by the worker.
#include "relay.h"

#include <poll.h>

static int join(const struct options *o, enum peer who) {
  int fd = socket_dial(o->socket);
  uint8_t byte = (uint8_t)who;
  if (write(fd, &byte, 1) != 1) die(EXIT_RUNTIME, "cannot reach the relay");
  return fd;
}

static void write_all(int fd, const void *bytes, size_t size) {
  const uint8_t *next = bytes;
  while (size) {
    ssize_t wrote = send(fd, next, size, MSG_NOSIGNAL);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) exit(0);  // the relay has ended
    next += wrote;
    size -= (size_t)wrote;
  }
}

void produce(const struct options *o) {
  int fd = join(o, PRODUCER);
  uint32_t length = (uint32_t)o->size;
  size_t frame = sizeof length + o->size, most = o->rate ? 1 : BATCH / frame ? BATCH / frame : 1;
  uint8_t *batch = malloc(most * frame);
  if (!batch) die(EXIT_RUNTIME, "no memory for a batch");
  memset(batch, 'x', most * frame);
  for (size_t i = 0; i < most; i++) memcpy(batch + i * frame, &length, sizeof length);

  struct pace pace = {.interval_ns = o->rate ? 1000000000u / o->rate : 0};
  struct acks acks = {.have = 0};
  uint64_t left = o->records ? o->records : UINT64_MAX, sequence = 0, sent = 0, acked = 0;
  if (o->rate) precise_timers();
  while (left && !counters->stop.value) {
    size_t count = left < most ? left : most;
    for (size_t i = 0; i < count; i++) {
      struct stamp stamp = {pace_wait(&pace), ++sequence, 0, 0};
      memcpy(batch + i * frame + sizeof length, &stamp, sizeof stamp);
    }
    write_all(fd, batch, count * frame);
    sent += count * frame;
    left -= count;
    counters->emitted.value += count;
    do {
      if (!acks_read(&acks, fd, &acked, sent - acked > WINDOW)) exit(0);
    } while (sent - acked > WINDOW);
  }
  while (acked < sent)
    if (!acks_read(&acks, fd, &acked, true)) exit(0);
  // The sink is still reading: stay until the driver ends everything.
  for (;;) pause();
}

// Bytes of the whole frames at the start of `buffer`, and how many there are.
static size_t whole_frames(const uint8_t *buffer, size_t have, size_t *records) {
  size_t end = 0;
  uint32_t length;
  for (*records = 0; have - end >= sizeof length; ++*records) {
    memcpy(&length, buffer + end, sizeof length);
    if (have - end - sizeof length < length) break;
    end += sizeof length + length;
  }
  return end;
}

struct inbox {
  uint8_t *bytes;
  size_t capacity, have;
};

static struct inbox inbox_new(const struct options *o) {
  struct inbox inbox = {.capacity = 4 * BATCH > 2 * o->size ? 4 * BATCH : 2 * o->size + BATCH};
  inbox.bytes = malloc(inbox.capacity);
  if (!inbox.bytes) die(EXIT_RUNTIME, "no memory for the inbox");
  return inbox;
}

static void inbox_read(struct inbox *inbox, int fd) {
  ssize_t got = read(fd, inbox->bytes + inbox->have, inbox->capacity - inbox->have);
  if (got <= 0) exit(0);
  inbox->have += (size_t)got;
}

static void inbox_drop(struct inbox *inbox, size_t size) {
  inbox->have -= size;
  memmove(inbox->bytes, inbox->bytes + size, inbox->have);
}

// Acknowledges its input when its output has been acknowledged: nothing is lost between the two.
void forward(const struct options *o) {
  int in = join(o, WORKER_IN), out = join(o, WORKER_OUT);
  struct inbox inbox = inbox_new(o);
  uint8_t *copy = malloc(inbox.capacity);
  if (!copy) die(EXIT_RUNTIME, "no memory for a batch");
  struct acks acks = {.have = 0};
  uint64_t acked = 0;
  for (;;) {
    struct pollfd waits[2] = {{.fd = in, .events = POLLIN}, {.fd = out, .events = POLLIN}};
    if (poll(waits, 2, -1) < 0) die(EXIT_RUNTIME, "poll");
    if (waits[1].revents) {
      uint64_t before = acked;
      if (!acks_read(&acks, out, &acked, false)) exit(0);
      if (acked != before) write_all(in, &acked, sizeof acked);
    }
    if (!waits[0].revents) continue;
    inbox_read(&inbox, in);
    size_t records, size = whole_frames(inbox.bytes, inbox.have, &records);
    uint32_t length;
    for (size_t end = 0; end < size; end += sizeof length + length) {
      memcpy(&length, inbox.bytes + end, sizeof length);
      memcpy(copy + end, inbox.bytes + end, sizeof length + length);
    }
    if (!size) continue;
    write_all(out, copy, size);
    counters->forwarded.value += records;
    inbox_drop(&inbox, size);
  }
}

void drain(const struct options *o) {
  int fd = join(o, SINK);
  struct inbox inbox = inbox_new(o);
  struct check check = check_new(o->size, 1);
  uint64_t taken = 0;
  for (;;) {
    inbox_read(&inbox, fd);
    size_t records, size = whole_frames(inbox.bytes, inbox.have, &records);
    uint32_t length;
    for (size_t end = 0; end < size; end += sizeof length + length) {
      memcpy(&length, inbox.bytes + end, sizeof length);
      check_record(&check, inbox.bytes + end + sizeof length, length);
    }
    if (!size) continue;
    taken += size;
    counters->received.value += records;
    write_all(fd, &taken, sizeof taken);
    inbox_drop(&inbox, size);
  }
}
