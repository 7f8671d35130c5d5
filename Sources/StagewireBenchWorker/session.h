// One connection to the broker: frames, handshake, credit in both directions. Blocking, one thread.
#pragma once
#include "bench.h"
#include "slices.h"

#include <sys/uio.h>

// Envelope kinds, by field number.
enum kind {
  HELLO = 2, WELCOME = 3, CLOSE = 4, PING = 5, PONG = 6, CREDIT = 7, DELIVER = 8, SETTLE = 9, EMIT = 10,
  COMMITTED = 11, EXTEND = 13, DRAIN = 14, CLAIM = 16, CLAIMED = 17, FINISHED = 18
};

// Room in front of a data message for what frames it: 4 (length), 3 (version), 6 (kind).
enum { HEADROOM = 16 };

// Data frames that go out in one write at most: with BATCH bytes each, as many as the relay's worker forwards at once.
enum { FRAMES = 4 };

struct amount {
  uint64_t records, bytes;
};

struct session {
  int fd;
  // Received bytes: [head, scanned) are whole frames of which only Deliver is still to be handled,
  // [scanned, tail) has not been looked at.
  uint8_t *in;
  size_t capacity, head, scanned, tail;
  bool pinned;        // the Deliver at head is in hand
  uint8_t out[8192];  // control frames that go out in front of the next data frame
  size_t out_size;

  // From Welcome.
  uint64_t max_frame, max_record, stamp_reserve, lease_ms;
  struct amount max_step;
  uint32_t input, output;
  bool has_input, has_output, welcomed;

  // Towards the broker: what it granted, and what we used. From the broker: what we granted, what
  // arrived, and what a full window is.
  struct amount granted, used;
  struct amount offered, taken, window;

  uint64_t last_emit, committed;  // of the one partition
  bool claimed, draining;
  bool leaving;  // we wrote Close: the end of the stream is no surprise
  bool closed;
};

// Dials, says Hello and waits for Welcome. Exits with the broker's sentence when it is refused.
void session_open(struct session *s, const struct options *o);

// Reads what is there; with `wait` at least something. False when nothing came. A Deliver in hand may move.
bool session_read(struct session *s, bool wait);

// The next Deliver in the order of arrival.
bool session_next(struct session *s, struct slice *deliver);
// The Deliver that session_next returned has been handled.
void session_done(struct session *s);
// Where the Deliver in hand lies: slices of it are to be moved as far as session_read has moved this.
static inline const uint8_t *session_held(const struct session *s) { return s->in + s->head; }

// Writes control frames that wait, then `size` bytes of `frame` (0: none).
void session_write(struct session *s, const uint8_t *frame, size_t size);
// The same with several frames, FRAMES at most.
void session_write_all(struct session *s, const struct iovec *frames, size_t count);

// Puts the frame's head in front of a message of `size` bytes, which has HEADROOM bytes before it.
uint8_t *frame_data(enum kind kind, uint8_t *message, size_t size);
// Appends a control frame to those that wait.
void session_control(struct session *s, enum kind kind, const uint8_t *message, size_t size);

// Whether one more record of `bytes` (as charged) may be sent now.
static inline bool session_may(const struct session *s, uint64_t bytes) {
  return s->granted.records > s->used.records && s->granted.bytes - s->used.bytes >= bytes;
}
static inline void session_use(struct session *s, uint64_t records, uint64_t bytes) {
  s->used.records += records;
  s->used.bytes += bytes;
}

// Grants the broker what has left the receive buffer, once it is half a window.
void session_grant(struct session *s);

_Noreturn void session_fail(const char *what);
