// The floor: a single-threaded relay of length-prefixed batches over Unix sockets that knows nothing of
// records. It keeps what it forwards until the consumer has acknowledged it, in a ring of fixed size, and
// acknowledges what it has taken in: flow control and hand-over in their cheapest form.
//
//   producer --frames--> [ring 0] --frames--> worker --frames--> [ring 1] --frames--> sink
//            <--acks----           <--acks---        <--acks----          <--acks---
//
// A frame is a u32 in the machine's order and that many bytes; an acknowledgement is a u64, the bytes
// of the stream taken so far. The first byte on a connection says who is there.
#include "relay.h"

#include <poll.h>

struct counters *counters;

// Bytes [acked, read) of the stream are in the ring; [sent, framed) are whole frames yet to be forwarded.
struct hop {
  int source, target;
  uint8_t *ring;
  uint64_t read, framed, sent, acked;
  uint64_t told;      // the last acknowledgement that went to the source
  bool target_full;   // the last write did not take everything
  struct acks acks;
};

static uint8_t *at(const struct hop *hop, uint64_t position) { return hop->ring + position % WINDOW; }

// The ring's pages appear twice in a row, so that a frame which wraps around is contiguous.
static uint8_t *ring_new(void) {
  int fd = memfd_create("ring", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, WINDOW)) die(EXIT_RUNTIME, "no memory for a ring");
  uint8_t *both = mmap(NULL, 2 * WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (both == MAP_FAILED) die(EXIT_RUNTIME, "no address space for a ring");
  for (size_t half = 0; half < 2; half++) {
    uint8_t *wanted = both + half * WINDOW;
    if (mmap(wanted, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != wanted)
      die(EXIT_RUNTIME, "cannot map the ring");
  }
  close(fd);
  return both;
}

static size_t room(const struct hop *hop) { return WINDOW - (size_t)(hop->read - hop->acked); }

static bool would_block(ssize_t result) {
  if (result < 0 && errno != EAGAIN && errno != EINTR) die(EXIT_RUNTIME, "a peer went away");
  return result < 0;
}

static void tell_source(struct hop *hop) {
  if (hop->told == hop->framed) return;
  ssize_t wrote = send(hop->source, &hop->framed, sizeof hop->framed, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (would_block(wrote)) return;
  if (wrote != sizeof hop->framed) die(EXIT_RUNTIME, "half an acknowledgement was written");
  hop->told = hop->framed;
}

static void take(struct hop *hop) {
  ssize_t got = read(hop->source, at(hop, hop->read), room(hop));
  if (would_block(got)) return;
  if (!got) exit(0);
  hop->read += (uint64_t)got;
  uint32_t length;
  while (hop->read - hop->framed >= sizeof length) {
    memcpy(&length, at(hop, hop->framed), sizeof length);
    if (length > WINDOW - sizeof length) die(EXIT_RUNTIME, "a frame is larger than the window");
    if (hop->read - hop->framed - sizeof length < length) break;
    hop->framed += sizeof length + length;
  }
}

static void give(struct hop *hop) {
  hop->target_full = false;
  while (hop->sent < hop->framed) {
    ssize_t wrote = send(hop->target, at(hop, hop->sent), (size_t)(hop->framed - hop->sent), MSG_NOSIGNAL);
    if (would_block(wrote)) {
      hop->target_full = true;
      return;
    }
    hop->sent += (uint64_t)wrote;
  }
}

static void serve(struct hop *hops, size_t count) {
  struct pollfd waits[2 * HOPS];
  for (;;) {
    for (size_t i = 0; i < count; i++) {
      struct hop *hop = &hops[i];
      short take_it = room(hop) ? POLLIN : 0, tell_it = hop->told != hop->framed ? POLLOUT : 0;
      waits[2 * i] = (struct pollfd){.fd = hop->source, .events = take_it | tell_it};
      waits[2 * i + 1] = (struct pollfd){.fd = hop->target, .events = POLLIN | (hop->target_full ? POLLOUT : 0)};
    }
    if (poll(waits, 2 * count, -1) < 0) die(EXIT_RUNTIME, "poll");
    for (size_t i = 0; i < count; i++) {
      struct hop *hop = &hops[i];
      short source = waits[2 * i].revents, target = waits[2 * i + 1].revents;
      if ((source | target) & POLLERR) exit(0);
      if (target & POLLIN && !acks_read(&hop->acks, hop->target, &hop->acked, false)) exit(0);
      if (source & (POLLIN | POLLHUP)) take(hop);
      if (target & POLLOUT || !hop->target_full) give(hop);
      tell_source(hop);  // after the batch has gone on: it can wait, the batch cannot
    }
  }
}

// Waits until everybody is there, in any order.
static void relay(const struct options *o) {
  struct sockaddr_un address = socket_address(o->socket);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  unlink(o->socket);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 8))
    die(EXIT_ENVIRONMENT, o->socket);
  int peers[PEERS];
  for (int missing = PEERS; missing; missing--) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    uint8_t who = PEERS;
    if (fd < 0 || read(fd, &who, 1) != 1 || who >= PEERS) die(EXIT_RUNTIME, "a stranger connected");
    peers[who] = fd;
    fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  struct hop hops[HOPS] = {
      {.source = peers[PRODUCER], .target = peers[WORKER_IN], .ring = ring_new()},
      {.source = peers[WORKER_OUT], .target = peers[SINK], .ring = ring_new()},
  };
  serve(hops, HOPS);
}

int main(int count, char **words) {
  struct options options = options_read(count, words);
  if (!strcmp(options.role, "relay")) relay(&options);
  counters_open(options.counters);
  if (!strcmp(options.role, "producer")) produce(&options);
  else if (!strcmp(options.role, "worker")) forward(&options);
  else if (!strcmp(options.role, "sink")) drain(&options);
  else fprintf(stderr, "bench: the role is relay, producer, worker or sink, not '%s'\n", options.role);
  return EXIT_USAGE;
}
