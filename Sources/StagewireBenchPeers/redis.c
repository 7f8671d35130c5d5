// Redis Streams: one stream and one consumer group for each hop, everything in pipelines. A consumer has a connection of its
// own for reading, on which the next read is under way while it works on the last one. What has been acknowledged is trimmed,
// or the streams would only grow.
#include <hiredis/hiredis.h>

#include "peer.h"

struct counters *counters;

// What one read asks for, in records and in bytes.
enum { READ_RECORDS = 500, READ_BYTES = 1 << 20, DEEP = 2 };

static redisContext *redis;    // commands
static redisContext *reading;  // blocking reads

_Noreturn static void redis_fail(const char *what) {
  fprintf(stderr, "redis: %s\n", what);
  exit(EXIT_RUNTIME);
}

static redisContext *dial(const struct options *o) {
  redisContext *context = redisConnectUnix(o->socket);
  if (!context || context->err) redis_fail(context ? context->errstr : "no memory");
  return context;
}

static redisReply *reply(redisContext *context) {
  void *answer;
  if (redisGetReply(context, &answer) != REDIS_OK) redis_fail(context->errstr);
  redisReply *reply = answer;
  if (reply->type == REDIS_REPLY_ERROR) redis_fail(reply->str);
  return reply;
}

static void skip(size_t count) {
  while (count--) freeReplyObject(reply(redis));
}

static void append_add(const char *stream, const void *payload, size_t size) {
  const char *words[] = {"XADD", stream, "*", "p", payload};
  const size_t sizes[] = {4, strlen(stream), 1, 1, size};
  redisAppendCommandArgv(redis, 5, words, sizes);
}

static void write_out(redisContext *context) {
  int done = 0;
  while (!done)
    if (redisBufferWrite(context, &done) != REDIS_OK) redis_fail(context->errstr);
}

// Makes streams and groups, before anybody else is started.
static void prepare(void) {
  redisAppendCommand(redis, "XGROUP CREATE hop1 all 0 MKSTREAM");
  redisAppendCommand(redis, "XGROUP CREATE hop2 all 0 MKSTREAM");
  skip(2);
}

// ---- The producer ----

static void wait_for_room(uint64_t window) {
  for (;;) {
    redisReply *length = redisCommand(redis, "XLEN hop1");
    if (!length) redis_fail(redis->errstr);
    bool room = (uint64_t)length->integer < window;
    freeReplyObject(length);
    if (room) return;
    usleep(500);
  }
}

// Two pipelines are under way, so that the server always has one to work on.
static void produce(const struct options *o) {
  uint8_t *payload = payload_new(o);
  struct feed feed = feed_new(o);
  size_t batch = batch_records(o), under_way = 0;
  uint64_t sent = 0;
  while (feed_open(&feed)) {
    for (size_t i = 0; i < batch; i++) {
      feed_next(&feed, payload);
      append_add("hop1", payload, o->size);
    }
    write_out(redis);
    counters->emitted.value += batch;
    sent += batch;
    if (++under_way == DEEP) skip(batch), under_way--;
    // The stream has no bound of its own: what a careful author would do about it.
    if (o->window && sent >= o->window / 4) skip(under_way * batch), under_way = 0, sent = 0, wait_for_room(o->window);
  }
  skip(under_way * batch);
}

// ---- The consumers ----

static void ask(const char *stream, const struct options *o) {
  size_t most = READ_BYTES / o->size ? READ_BYTES / o->size : 1;
  redisAppendCommand(reading, "XREADGROUP GROUP all one COUNT %d BLOCK 0 STREAMS %s >",
                     (int)(most < READ_RECORDS ? most : READ_RECORDS), stream);
  write_out(reading);
}

// The entries of a reply [[stream, [[id, [name, payload]]...]]].
static redisReply *entries_of(redisReply *read) {
  if (read->type != REDIS_REPLY_ARRAY || !read->elements) redis_fail("a read without records");
  return read->element[0]->element[1];
}

// XACK of all entries and XTRIM of what lies before the last of them.
static void append_taken(const char *stream, const redisReply *entries) {
  const char *words[3 + READ_RECORDS] = {"XACK", stream, "all"};
  size_t sizes[3 + READ_RECORDS] = {4, strlen(stream), 3};
  for (size_t i = 0; i < entries->elements; i++) {
    words[3 + i] = entries->element[i]->element[0]->str;
    sizes[3 + i] = entries->element[i]->element[0]->len;
  }
  redisAppendCommandArgv(redis, (int)(3 + entries->elements), words, sizes);
  redisAppendCommand(redis, "XTRIM %s MINID ~ %s", stream, words[2 + entries->elements]);
}

static const redisReply *payload_of(const redisReply *entry) { return entry->element[1]->element[1]; }

static void forward(const struct options *o) {
  for (ask("hop1", o);;) {
    redisReply *read = reply(reading), *entries = entries_of(read);
    ask("hop1", o);
    for (size_t i = 0; i < entries->elements; i++) {
      const redisReply *payload = payload_of(entries->element[i]);
      append_add("hop2", payload->str, payload->len);
    }
    append_taken("hop1", entries);
    size_t count = entries->elements;
    skip(count + 2);
    counters->forwarded.value += count;
    freeReplyObject(read);
  }
}

static void drain(const struct options *o) {
  struct check check = check_new(o->size, o->keys);
  for (ask("hop2", o);;) {
    redisReply *read = reply(reading), *entries = entries_of(read);
    ask("hop2", o);
    for (size_t i = 0; i < entries->elements; i++) {
      const redisReply *payload = payload_of(entries->element[i]);
      received(&check, payload->str, payload->len);
    }
    append_taken("hop2", entries);
    skip(2);
    freeReplyObject(read);
  }
}

int main(int count, char **words) {
  struct options options = options_read(count, words);
  counters_open(options.counters);
  redis = dial(&options);
  reading = dial(&options);
  if (!strcmp(options.role, "prepare")) prepare();
  else if (!strcmp(options.role, "producer")) produce(&options);
  else if (!strcmp(options.role, "worker")) forward(&options);
  else if (!strcmp(options.role, "sink")) drain(&options);
  else return EXIT_USAGE;
  return 0;
}
