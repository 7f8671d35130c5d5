#include "session.h"

#include <poll.h>

enum {
  VERSION = 1000,           // 1.0
  READ = 256 * 1024,        // bytes asked of the kernel at once
  COMPACT = 4 * 1024,       // a rest this small is moved to the front at once
  NEAR = 512 * 1024,        // larger ones once the buffer's end is this far: the cache holds what is in use
  RECORD_OVERHEAD = 64,     // bytes around a record: tag, length, attempt; when it is alone in it, what frames its Deliver
  LARGEST_FRAME = 8 << 20,  // what we accept: records of 4 MiB and what stands around them
  // Asked of the kernel for what the broker has not read yet, as our SDKs do. With Linux's default of 208 KiB it has to come for every
  // 200 KB, and wakes us for room each time.
  SEND_BUFFER = 1024 * 1024,
  ADDRESS_SPACE = 64 << 20  // receive buffer beyond the window; untouched pages cost nothing
};

_Noreturn void session_fail(const char *what) {
  fprintf(stderr, "bench: %s\n", what);
  exit(EXIT_RUNTIME);
}

// ---- Frames out ----

static uint8_t *frame_head(uint8_t *to, enum kind kind, size_t size) {
  uint8_t content[HEADROOM], *end = put_varint(put_number(content, 1, VERSION), (uint32_t)kind << 3 | BYTES);
  end = put_varint(end, size);
  size_t head = (size_t)(end - content), length = head + size;
  for (int shift = 24; shift >= 0; shift -= 8) *to++ = (uint8_t)(length >> shift);
  memcpy(to, content, head);
  return to + head;
}

uint8_t *frame_data(enum kind kind, uint8_t *message, size_t size) {
  uint8_t head[2 * HEADROOM];
  size_t length = (size_t)(frame_head(head, kind, size) - head);
  memcpy(message - length, head, length);
  return message - length;
}

void session_control(struct session *s, enum kind kind, const uint8_t *message, size_t size) {
  if (s->out_size + size + HEADROOM > sizeof s->out) session_write(s, NULL, 0);
  if (size + HEADROOM > sizeof s->out) session_fail("a control message is too large");
  uint8_t *to = frame_head(s->out + s->out_size, kind, size);
  if (size) memcpy(to, message, size);
  s->out_size = (size_t)(to - s->out) + size;
}

void session_write(struct session *s, const uint8_t *frame, size_t size) {
  session_write_all(s, &(struct iovec){(void *)frame, size}, 1);
}

// The broker never stops reading, so a blocking write always ends.
void session_write_all(struct session *s, const struct iovec *frames, size_t count) {
  struct iovec parts[1 + FRAMES] = {{s->out, s->out_size}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1 + count};
  size_t rest = s->out_size;
  for (size_t i = 0; i < count; i++) {
    parts[1 + i] = frames[i];
    rest += frames[i].iov_len;
  }
  s->out_size = 0;
  while (rest) {
    ssize_t wrote = sendmsg(s->fd, &message, MSG_NOSIGNAL);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      // The broker may have said why before it closed.
      while (!s->closed && session_read(s, true)) {
      }
      die(EXIT_RUNTIME, "cannot write to the broker");
    }
    rest -= (size_t)wrote;
    for (size_t i = 0; i <= count; i++) {
      size_t part = (size_t)wrote < parts[i].iov_len ? (size_t)wrote : parts[i].iov_len;
      parts[i].iov_base = (uint8_t *)parts[i].iov_base + part;
      parts[i].iov_len -= part;
      wrote -= (ssize_t)part;
    }
  }
}

// ---- Messages in ----

static void read_port(struct slice message, uint32_t *number, bool *has) {
  struct field f;
  if (*has) return;  // the first one is ours
  *has = true;
  *number = 0;
  while (next_field(&message, &f) == FIELD)
    if (f.number == 1 && f.type == VARINT) *number = (uint32_t)f.value;
}

static void read_welcome(struct session *s, struct slice message) {
  struct field f;
  while (next_field(&message, &f) == FIELD) {
    switch (f.number) {
    case 4: s->max_frame = f.value; break;
    case 5: s->max_record = f.value; break;
    case 6: s->stamp_reserve = f.value; break;
    case 7: s->max_step.records = f.value; break;
    case 8: s->max_step.bytes = f.value; break;
    case 11: s->lease_ms = f.value; break;
    case 13: read_port(f.bytes, &s->input, &s->has_input); break;
    case 14: read_port(f.bytes, &s->output, &s->has_output); break;
    default: break;
    }
  }
  s->welcomed = true;
}

static void read_credit(struct session *s, struct slice message) {
  struct field f;
  uint64_t number = 0, records = 0, bytes = 0;
  while (next_field(&message, &f) == FIELD) {
    if (f.number == 1) number = f.value;
    if (f.number == 2) records = f.value;
    if (f.number == 3) bytes = f.value;
  }
  if (number != s->output) return;
  if (records > s->granted.records) s->granted.records = records;
  if (bytes > s->granted.bytes) s->granted.bytes = bytes;
}

// Prints text from the other side with everything but printable ASCII replaced.
static void print_sentence(const char *what, uint64_t code, struct slice text) {
  fprintf(stderr, "bench: %s (%llu): ", what, (unsigned long long)code);
  for (; text.next < text.end; text.next++) fputc(*text.next >= ' ' && *text.next < 127 ? *text.next : '?', stderr);
  fputc('\n', stderr);
}

static void read_close(struct session *s, struct slice message) {
  struct field f;
  uint64_t code = 0;
  struct slice text = {NULL, NULL};
  while (next_field(&message, &f) == FIELD) {
    if (f.number == 1) code = f.value;
    if (f.number == 2) text = f.bytes;
  }
  s->closed = true;
  if (!code) return;
  print_sentence("the broker closed", code, text);
  exit(EXIT_USAGE);
}

// Claimed and Committed both begin with the partition, of which we have one.
static void read_claimed(struct session *s, struct slice message) {
  struct field f;
  while (next_field(&message, &f) == FIELD)
    if (f.number == 3 && f.type == VARINT) s->last_emit = s->committed = f.value;
  s->claimed = true;
}

static void read_committed(struct session *s, struct slice message) {
  struct field f;
  while (next_field(&message, &f) == FIELD) {
    if (f.number == 2 && f.type == VARINT && f.value > s->committed) s->committed = f.value;
    if (f.number == 3) session_fail("the broker refused an Emit");
  }
}

static void read_message(struct session *s, uint32_t kind, struct slice message) {
  struct field f;
  switch (kind) {
  case WELCOME: read_welcome(s, message); break;
  case CLOSE: read_close(s, message); break;
  case PING: session_control(s, PONG, message.next, slice_size(message)); break;  // same field, same bytes
  case CREDIT: read_credit(s, message); break;
  case COMMITTED: read_committed(s, message); break;
  case CLAIMED: read_claimed(s, message); break;
  case DRAIN:
    // 2 is a shutdown. At the input's end there is nothing to flush.
    while (next_field(&message, &f) == FIELD)
      if (f.number == 1 && f.value == 2) s->draining = true;
    break;
  default: break;  // Deliver is handled later; other kinds are not for us
  }
}

// Finds the message of the frame at `at`; returns the frame's size with its prefix, 0 when it is not complete.
static size_t frame_at(const struct session *s, size_t at, uint32_t *kind, struct slice *message) {
  if (s->tail - at < 4) return 0;
  const uint8_t *p = s->in + at;
  size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
  if (!length || length > (s->max_frame ? s->max_frame : READ)) session_fail("a frame above the limit");
  if (s->tail - at - 4 < length) return 0;
  struct slice content = {p + 4, p + 4 + length};
  struct field f;
  enum found found;
  *kind = 0;
  while ((found = next_field(&content, &f)) == FIELD) {
    if (f.number >= 2 && f.number <= 18 && f.type == BYTES) {
      *kind = f.number;
      *message = f.bytes;
    }
  }
  if (found == MALFORMED) session_fail("a malformed frame");
  return 4 + length;
}

static void scan(struct session *s) {
  uint32_t kind;
  struct slice message;
  size_t size;
  while (!s->closed && (size = frame_at(s, s->scanned, &kind, &message))) {
    if (kind) read_message(s, kind, message);
    s->scanned += size;
  }
}

// ---- Reading ----

// Moves what is held to the front: all of it, or only what is still to be handled.
static void move_down(struct session *s, bool all) {
  size_t to = 0, from = s->head, size;
  uint32_t kind;
  struct slice message;
  for (; !all && from < s->scanned; from += size) {
    size = frame_at(s, from, &kind, &message);
    if (kind != DELIVER) continue;
    memmove(s->in + to, s->in + from, size);
    to += size;
  }
  memmove(s->in + to, s->in + from, s->tail - from);
  s->scanned = to + (s->scanned - from);
  s->tail = to + (s->tail - from);
  s->head = 0;
}

// Makes room for a read of READ bytes. A Deliver in hand may move, see session_held.
//
// There is room whatever the other side sends, as long as it keeps to what it was granted: when less than READ is left, only
// Delivers and the beginning of one frame stay. The former are at most window.bytes of records and RECORD_OVERHEAD around
// each of window.records, the latter is less than max_frame; session_open sees to it that READ is left beside them.
//
// Before that, a rest is moved only where that costs no more than what was handled in front of it.
static void compact(struct session *s) {
  size_t rest = s->tail - s->head;
  if (s->head && (rest <= COMPACT || (s->tail >= NEAR && rest <= s->head))) move_down(s, true);
  if (s->capacity - s->tail < READ) move_down(s, false);
}

// Waits for input; while deliveries are held (pinned), says every third of the lease that we are alive.
//
// In poll and not in recv, which Linux wakes whenever the other side has read something, too (unix_write_space): twice as many
// wakings, and the other side pays for them.
static void await(struct session *s) {
  int timeout = s->pinned && s->lease_ms ? (int)(s->lease_ms / 3 + 1) : -1;
  struct pollfd readable = {.fd = s->fd, .events = POLLIN};
  int ready;
  while ((ready = poll(&readable, 1, timeout)) == 0) {
    session_control(s, EXTEND, NULL, 0);
    session_write(s, NULL, 0);
  }
  if (ready < 0 && errno != EINTR) die(EXIT_RUNTIME, "cannot wait for the broker");
}

bool session_read(struct session *s, bool wait) {
  compact(s);
  if (s->capacity - s->tail < READ) session_fail("the broker sent more than it was granted");
  if (wait && s->out_size) session_write(s, NULL, 0);
  ssize_t got;
  while ((got = recv(s->fd, s->in + s->tail, READ, MSG_DONTWAIT)) < 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) break;
    if (!wait) return false;
    await(s);
  }
  if (got < 0 && errno != ECONNRESET) die(EXIT_RUNTIME, "cannot read from the broker");
  if (got <= 0 && !s->leaving) session_fail("the broker went away without a Close");
  if (got <= 0) {
    s->closed = true;
    return false;
  }
  s->tail += (size_t)got;
  scan(s);
  return true;
}

bool session_next(struct session *s, struct slice *deliver) {
  uint32_t kind;
  while (s->head < s->scanned) {
    size_t size = frame_at(s, s->head, &kind, deliver);
    if (kind == DELIVER) {
      s->pinned = true;
      return true;
    }
    s->head += size;
  }
  return false;
}

void session_done(struct session *s) {
  uint32_t kind;
  struct slice message;
  s->pinned = false;
  s->head += frame_at(s, s->head, &kind, &message);
}

void session_grant(struct session *s) {
  struct amount due = {s->taken.records + s->window.records, s->taken.bytes + s->window.bytes};
  if (due.records - s->offered.records < s->window.records / 2 && due.bytes - s->offered.bytes < s->window.bytes / 2)
    return;
  uint8_t message[32], *end = message;
  if (s->input) end = put_number(end, 1, s->input);
  end = put_number(put_number(end, 2, due.records), 3, due.bytes);
  session_control(s, CREDIT, message, (size_t)(end - message));
  s->offered = due;
}

// ---- Handshake ----

static size_t token(uint8_t bytes[64]) {
  const char *hex = getenv("STAGEWIRE_TOKEN");
  size_t size = 0;
  unsigned byte;
  while (hex && size < 64 && sscanf(hex + 2 * size, "%2x", &byte) == 1) bytes[size++] = (uint8_t)byte;
  unsetenv("STAGEWIRE_TOKEN");
  return size;
}

static uint8_t *put_text(uint8_t *to, uint8_t field, const char *text) {
  return text && *text ? put_bytes(to, field, text, strlen(text)) : to;
}

static void say_hello(struct session *s, const char *role) {
  const char *stage = getenv("STAGEWIRE_STAGE"), *instance = getenv("STAGEWIRE_INSTANCE");
  if (strlen(stage ? stage : role) > 128 || (instance && strlen(instance) > 128)) session_fail("a name is too long");
  uint8_t message[1024], secret[64], *end = put_number(put_number(message, 1, VERSION), 2, VERSION);
  end = put_text(end, 3, stage ? stage : role);
  end = put_text(end, 4, instance);
  end = put_text(end, 5, "1");
  end = put_text(end, 6, "single-threaded");
  end = put_number(end, 8, LARGEST_FRAME);
  size_t size = token(secret);
  if (size) end = put_bytes(end, 9, secret, size);
  end = put_text(put_text(end, 10, "bench"), 11, "c");
  session_control(s, HELLO, message, (size_t)(end - message));
}

void session_open(struct session *s, const struct options *o) {
  *s = (struct session){.fd = socket_dial(o->socket), .window = {16384, 2 << 20}};
  (void)setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));  // less is no fault
  s->capacity = ADDRESS_SPACE;
  s->in = mmap(NULL, s->capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (s->in == MAP_FAILED) die(EXIT_RUNTIME, "no memory for the receive buffer");
  say_hello(s, o->role);
  while (!s->welcomed && !s->closed) session_read(s, true);
  // Half a window has to hold a record of the largest size, for it is what may be left before a grant.
  if (s->window.bytes < 2 * s->max_record) s->window.bytes = 2 * s->max_record;
  if (s->window.bytes + s->window.records * RECORD_OVERHEAD + s->max_frame + READ > s->capacity)
    session_fail("the pipeline's max_record is above what this program has room for");
  if (s->has_input) session_grant(s);
}
