// ZeroMQ, PUSH to PULL through a proxy for each hop. One record a message: libzmq joins small messages into one write
// by itself. Nothing is acknowledged; the high-water mark (1,000 messages, libzmq's default) is what holds a fast producer back.
#include <pthread.h>
#include <zmq.h>

#include "peer.h"

struct counters *counters;

static void *context;

static void zmq_must(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "zeromq: %s: %s\n", what, zmq_strerror(zmq_errno()));
  exit(EXIT_RUNTIME);
}

// End `number` of the path: 0 and 1 are the proxy of the first hop, 2 and 3 that of the second.
static void *end_open(const struct options *o, int number, int type, bool bind) {
  char address[200];
  snprintf(address, sizeof address, "ipc://%s-%d", o->socket, number);
  void *end = zmq_socket(context, type);
  if (!end) zmq_must(-1, "socket");
  zmq_must(bind ? zmq_bind(end, address) : zmq_connect(end, address), address);
  return end;
}

struct hop {
  void *in, *out;
};

static void *proxy(void *argument) {
  struct hop *hop = argument;
  zmq_proxy(hop->in, hop->out, NULL);  // returns when the context ends
  return NULL;
}

static void serve(const struct options *o) {
  struct hop hops[2];
  pthread_t second;
  for (int i = 0; i < 2; i++) hops[i] = (struct hop){end_open(o, 2 * i, ZMQ_PULL, true), end_open(o, 2 * i + 1, ZMQ_PUSH, true)};
  if (pthread_create(&second, NULL, proxy, &hops[1])) die(EXIT_RUNTIME, "thread");
  proxy(&hops[0]);
}

static void produce(const struct options *o) {
  void *out = end_open(o, 0, ZMQ_PUSH, false);
  uint8_t *payload = payload_new(o);
  struct feed feed = feed_new(o);
  while (feed_open(&feed)) {
    feed_next(&feed, payload);
    zmq_must(zmq_send(out, payload, o->size, 0), "send");
    counters->emitted.value++;
  }
  // A peer that goes away takes with it what the proxy has not read yet: stay until the driver ends everything.
  for (;;) pause();
}

static void forward(const struct options *o) {
  void *in = end_open(o, 1, ZMQ_PULL, false), *out = end_open(o, 2, ZMQ_PUSH, false);
  zmq_msg_t message;
  zmq_msg_init(&message);
  for (;;) {
    zmq_must(zmq_msg_recv(&message, in, 0), "receive");
    zmq_must(zmq_msg_send(&message, out, 0), "send");
    counters->forwarded.value++;
  }
}

static void drain(const struct options *o) {
  void *in = end_open(o, 3, ZMQ_PULL, false);
  struct check check = check_new(o->size, o->keys);
  zmq_msg_t message;
  zmq_msg_init(&message);
  for (;;) {
    zmq_must(zmq_msg_recv(&message, in, 0), "receive");
    received(&check, zmq_msg_data(&message), zmq_msg_size(&message));
  }
}

int main(int count, char **words) {
  struct options options = options_read(count, words);
  counters_open(options.counters);
  context = zmq_ctx_new();
  if (!strcmp(options.role, "broker")) serve(&options);
  else if (!strcmp(options.role, "producer")) produce(&options);
  else if (!strcmp(options.role, "worker")) forward(&options);
  else if (!strcmp(options.role, "sink")) drain(&options);
  else return EXIT_USAGE;
  return 0;
}
