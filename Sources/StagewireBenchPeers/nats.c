// NATS through its C client: core (`nats ROLE`), and JetStream (`nats ROLE --header`, for an acknowledged, stored hop).
// Neither holds a fast producer back: with --window, the sink publishes how much it has taken and the producer waits for
// it, as an application would.
#include <nats/nats.h>

#include "peer.h"

struct counters *counters;

enum { FETCH = 500, FETCH_BYTES = 1 << 20, PENDING = 4096, PENDING_BYTES = 16 << 20, PATIENCE_MS = 60000 };

static natsConnection *server;
static jsCtx *jetstream;

static void must(natsStatus status, const char *what) {
  if (status == NATS_OK) return;
  fprintf(stderr, "nats: %s: %s: %s\n", what, natsStatus_GetText(status), nats_GetLastError(NULL));
  exit(EXIT_RUNTIME);
}

static void dial(const struct options *o) {
  natsOptions *options;
  must(natsOptions_Create(&options), "options");
  must(natsOptions_SetURL(options, o->socket), "address");
  if (o->rate) must(natsOptions_SetSendAsap(options, true), "send as soon as possible");
  must(natsConnection_Connect(&server, options), o->socket);
  natsOptions_Destroy(options);
}

// ---- Core ----

static void publish(const char *subject, const void *payload, size_t size) {
  must(natsConnection_Publish(server, subject, payload, (int)size), "publish");
}

static void unlimited(natsSubscription *subscription) {
  must(natsSubscription_SetPendingLimits(subscription, -1, -1), "pending limits");
}

static void on_forward(natsConnection *connection, natsSubscription *subscription, natsMsg *message, void *closure) {
  (void)connection, (void)subscription, (void)closure;
  publish("hop2", natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
  counters->forwarded.value++;
  natsMsg_Destroy(message);
}

static struct check check;
static uint64_t told_every;

static void take(natsMsg *message) {
  received(&check, natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
  uint64_t count = counters->received.value;
  if (told_every && count % told_every == 0) publish("taken", &count, sizeof count);
}

static void on_receive(natsConnection *connection, natsSubscription *subscription, natsMsg *message, void *closure) {
  (void)connection, (void)subscription, (void)closure;
  take(message);
  natsMsg_Destroy(message);
}

static void consume(const char *subject, natsMsgHandler handler) {
  natsSubscription *subscription;
  must(natsConnection_Subscribe(&subscription, server, subject, handler, NULL), "subscribe");
  unlimited(subscription);
  must(natsConnection_Flush(server), "flush");
  puts("ready");  // what is published before this is lost
  fflush(stdout);
  for (;;) pause();
}

// ---- JetStream ----

static void open_jetstream(const struct options *o) {
  jsOptions options;
  size_t most = PENDING_BYTES / o->size;
  must(jsOptions_Init(&options), "options");
  options.PublishAsync.MaxPending = most < PENDING ? (int64_t)most : PENDING;
  options.PublishAsync.StallWait = PATIENCE_MS;
  must(natsConnection_JetStream(&jetstream, server, &options), "JetStream");
}

// One stream for each hop, emptied as its only consumer acknowledges. `--ranges`: kept in files.
static void prepare(const struct options *o) {
  const char *names[] = {"hop1", "hop2"};
  for (int i = 0; i < 2; i++) {
    jsStreamConfig stream;
    jsConsumerConfig consumer;
    must(jsStreamConfig_Init(&stream), "stream");
    stream.Name = names[i];
    stream.Subjects = &names[i];
    stream.SubjectsLen = 1;
    stream.Retention = js_InterestPolicy;
    stream.Storage = o->ranges ? js_FileStorage : js_MemoryStorage;
    must(js_AddStream(NULL, jetstream, &stream, NULL, NULL), "stream");
    must(jsConsumerConfig_Init(&consumer), "consumer");
    consumer.Durable = "all";
    consumer.AckPolicy = js_AckAll;
    consumer.MaxAckPending = 2 * FETCH;
    must(js_AddConsumer(NULL, jetstream, names[i], &consumer, NULL, NULL), "consumer");
  }
}

static void store(const char *subject, const void *payload, size_t size) {
  must(js_PublishAsync(jetstream, subject, payload, (int)size, NULL), "publish");
}

static void stored(void) { must(js_PublishAsyncComplete(jetstream, NULL), "acknowledgement"); }

static void fetch_all(const char *subject, const struct options *o, void (*each)(natsMsg *), void (*end)(void)) {
  jsSubOptions options;
  natsSubscription *subscription;
  must(jsSubOptions_Init(&options), "options");
  options.Stream = subject;
  options.Consumer = "all";
  must(js_PullSubscribe(&subscription, jetstream, subject, "all", NULL, &options, NULL), "subscribe");
  unlimited(subscription);
  size_t most = FETCH_BYTES / o->size ? FETCH_BYTES / o->size : 1;
  for (;;) {
    natsMsgList list = {NULL, 0};
    natsStatus status = natsSubscription_Fetch(&list, subscription, (int)(most < FETCH ? most : FETCH), 1000, NULL);
    if (status == NATS_TIMEOUT) continue;
    must(status, "fetch");
    for (int i = 0; i < list.Count; i++) each(list.Msgs[i]);
    if (end) end();
    if (list.Count) must(natsMsg_Ack(list.Msgs[list.Count - 1], NULL), "acknowledge");
    natsMsgList_Destroy(&list);
  }
}

static void forward_stored(natsMsg *message) {
  store("hop2", natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
  counters->forwarded.value++;
}

// ---- Roles ----

static void wait_for_room(natsSubscription *taken, uint64_t *acked, uint64_t sent, uint64_t window) {
  while (sent - *acked > window) {
    natsMsg *message;
    must(natsSubscription_NextMsg(&message, taken, PATIENCE_MS), "the sink's count");
    memcpy(acked, natsMsg_GetData(message), sizeof *acked);
    natsMsg_Destroy(message);
  }
}

static void produce(const struct options *o) {
  uint8_t *payload = payload_new(o);
  natsSubscription *taken;
  must(natsConnection_SubscribeSync(&taken, server, "taken"), "subscribe");
  struct feed feed = feed_new(o);
  uint64_t acked = 0, sent = 0;
  while (feed_open(&feed)) {
    feed_next(&feed, payload);
    if (o->header) store("hop1", payload, o->size);
    else publish("hop1", payload, o->size);
    counters->emitted.value = ++sent;
    if (o->window) wait_for_room(taken, &acked, sent, o->window);
  }
  if (o->header) stored();
  must(natsConnection_FlushTimeout(server, PATIENCE_MS), "flush");
}

int main(int count, char **words) {
  struct options options = options_read(count, words);
  counters_open(options.counters);
  dial(&options);
  if (options.header) open_jetstream(&options);
  check = check_new(options.size, options.keys);
  told_every = options.window ? options.window / 16 + 1 : 0;
  if (!strcmp(options.role, "prepare")) prepare(&options);
  else if (!strcmp(options.role, "producer")) produce(&options);
  else if (!strcmp(options.role, "worker") && options.header) fetch_all("hop1", &options, forward_stored, stored);
  else if (!strcmp(options.role, "worker")) consume("hop1", on_forward);
  else if (!strcmp(options.role, "sink") && options.header) fetch_all("hop2", &options, take, NULL);
  else if (!strcmp(options.role, "sink")) consume("hop2", on_receive);
  else return EXIT_USAGE;
  return 0;
}
