// gRPC C++ over a Unix socket: a broker with two bounded hops between bidirectional streams. Its server is the synchronous
// one, which gives each stream a thread. As in the C relay, a hop holds at most 1 MiB that its consumer has not
// taken, and a producer is at most 1 MiB ahead of what the broker has taken; counts go back every 128 KiB.
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "peer.h"
#include "relay.grpc.pb.h"

struct counters *counters;

namespace {

using stagewire::bench::Batch;
using stagewire::bench::Relay;
using stagewire::bench::Taken;

constexpr size_t WINDOW = 1 << 20, TOLD_EVERY = WINDOW / 8;

size_t bytes_of(const Batch &batch) {
  size_t bytes = 0;
  for (const std::string &record : batch.records()) bytes += record.size();
  return bytes;
}

// A count of records that goes back to the other side now and then.
template <class Stream>
class Teller {
 public:
  explicit Teller(Stream *stream) : stream_(stream) {}

  bool took(uint64_t records, size_t bytes) {
    taken_.set_records(taken_.records() + records);
    untold_ += bytes;
    if (untold_ < TOLD_EVERY) return true;
    untold_ = 0;
    return stream_->Write(taken_);
  }

 private:
  Stream *stream_;
  Taken taken_;
  size_t untold_ = 0;
};

// What is under way, by number of the last record of each batch, and what may be.
class Window {
 public:
  void add(uint64_t records, size_t bytes) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return held_ < WINDOW; });
    sent_ += records;
    held_ += bytes;
    parts_.emplace_back(sent_, bytes);
  }

  void taken(uint64_t records) {
    std::lock_guard lock(mutex_);
    while (!parts_.empty() && parts_.front().first <= records) {
      held_ -= parts_.front().second;
      parts_.pop_front();
    }
    room_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable room_;
  std::deque<std::pair<uint64_t, size_t>> parts_;
  uint64_t sent_ = 0;
  size_t held_ = 0;
};

// Writes batches on. Single records under load go through a queue and a thread of its own, so that the transport can join
// those that wait into one write (the buffer hint); everything else is written by the thread that has read it, which is
// cheaper and sooner.
template <class Stream>
class Outlet {
 public:
  Outlet(Stream *stream, bool queued) : stream_(stream), queued_(queued) {
    if (queued_) thread_ = std::thread([this] { run(); });
  }
  ~Outlet() { close(); }

  bool write(Batch &&batch) {
    if (!queued_) return stream_->Write(batch);
    std::lock_guard lock(mutex_);
    batches_.push_back(std::move(batch));
    if (batches_.size() == 1) ready_.notify_one();
    return open_;
  }

  // Writes what is queued and ends the thread.
  void close() {
    if (!thread_.joinable()) return;
    {
      std::lock_guard lock(mutex_);
      open_ = false;
      ready_.notify_one();
    }
    thread_.join();
  }

 private:
  // With gRPC 1.51, hinted writes among the first 64 KiB of a stream did not complete.
  static constexpr size_t UNHINTED = 128 << 10;

  void run() {
    std::deque<Batch> taken;
    for (size_t bytes = 0;;) {
      {
        std::unique_lock lock(mutex_);
        ready_.wait(lock, [&] { return !batches_.empty() || !open_; });
        if (batches_.empty()) return;
        taken.swap(batches_);
      }
      for (size_t i = 0; i < taken.size(); i++) {
        grpc::WriteOptions options;
        if (i + 1 < taken.size() && bytes > UNHINTED) options.set_buffer_hint();
        if (!stream_->Write(taken[i], options)) return;
        bytes += bytes_of(taken[i]);
      }
      taken.clear();
    }
  }

  Stream *stream_;
  bool queued_, open_ = true;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Batch> batches_;
  std::thread thread_;
};

bool queued(const options &o) { return o.batch == 1 && !o.rate; }

// ---- The broker ----

class Broker final : public Relay::Service {
  using PutStream = grpc::ServerReaderWriter<Taken, Batch>;
  using GetStream = grpc::ServerReaderWriter<Batch, Taken>;

  struct Hop {
    Window window;
    std::promise<GetStream *> consumer;
    std::shared_future<GetStream *> target = consumer.get_future().share();
  };

 public:
  explicit Broker(bool queued) : queued_(queued) {}

 private:

  Hop &hop(const grpc::ServerContext *context) {
    auto found = context->client_metadata().find("hop");
    return hops_[found != context->client_metadata().end() && found->second == "1"];
  }

  grpc::Status Put(grpc::ServerContext *context, PutStream *stream) override {
    Hop &hop = this->hop(context);
    Teller<PutStream> teller(stream);
    Outlet<GetStream> outlet(hop.target.get(), queued_);
    Batch batch;
    while (stream->Read(&batch)) {
      uint64_t records = static_cast<uint64_t>(batch.records_size());
      size_t bytes = bytes_of(batch);
      hop.window.add(records, bytes);
      if (!outlet.write(std::move(batch)) || !teller.took(records, bytes)) break;
    }
    return grpc::Status::OK;
  }

  // The one consumer of the hop: its stream has to outlast the producer's, so it ends with the process.
  grpc::Status Get(grpc::ServerContext *context, GetStream *stream) override {
    Hop &hop = this->hop(context);
    hop.consumer.set_value(stream);
    Taken taken;
    while (stream->Read(&taken)) hop.window.taken(taken.records());
    exit(0);
  }

  bool queued_;
  Hop hops_[2];
};

void serve(const options &o) {
  Broker broker(queued(o));
  grpc::ServerBuilder builder;
  builder.AddListeningPort(std::string("unix:") + o.socket, grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&broker);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) die(EXIT_ENVIRONMENT, o.socket);
  server->Wait();
}

// ---- The clients ----

class Client {
 public:
  explicit Client(const options &o) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(std::string("unix:") + o.socket, grpc::InsecureChannelCredentials(), arguments);
    stub_ = Relay::NewStub(channel_);
    context_.set_wait_for_ready(true);
  }

  auto put(int hop) { return named(hop), stub_->Put(&context_); }
  auto get(int hop) { return named(hop), stub_->Get(&context_); }

 private:
  void named(int hop) { context_.AddMetadata("hop", hop ? "1" : "0"); }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Relay::Stub> stub_;
  grpc::ClientContext context_;
};

void produce(const options &o) {
  Client client(o);
  auto stream = client.put(0);
  Window window;
  std::thread takes([&] {
    Taken taken;
    while (stream->Read(&taken)) window.taken(taken.records());
  });
  feed feed = feed_new(&o);
  size_t records = batch_records(&o);
  Outlet<std::remove_reference_t<decltype(*stream)>> outlet(stream.get(), queued(o));
  Batch batch;
  for (size_t i = 0; i < records; i++) batch.add_records(std::string(o.size, 'x'));
  while (feed_open(&feed)) {
    for (std::string &record : *batch.mutable_records()) feed_next(&feed, reinterpret_cast<uint8_t *>(record.data()));
    window.add(records, records * o.size);
    if (!(queued(o) ? outlet.write(Batch(batch)) : stream->Write(batch))) break;
    counters->emitted.value = counters->emitted.value + records;
  }
  outlet.close();
  stream->WritesDone();
  takes.join();
}

void forward(const options &o) {
  Client source(o), target(o);
  auto in = source.get(0);
  auto out = target.put(1);
  // Its input is taken when its output has been: nothing is lost between the two.
  std::thread takes([&] {
    Taken taken;
    while (out->Read(&taken) && in->Write(taken)) {
    }
  });
  Outlet<std::remove_reference_t<decltype(*out)>> outlet(out.get(), queued(o));
  Batch batch;
  while (in->Read(&batch)) {
    counters->forwarded.value = counters->forwarded.value + static_cast<uint64_t>(batch.records_size());
    if (!outlet.write(std::move(batch))) break;
  }
  takes.join();
}

void drain(const options &o) {
  Client client(o);
  auto stream = client.get(1);
  Teller<std::remove_reference_t<decltype(*stream)>> teller(stream.get());
  check check = check_new(o.size, o.keys);
  Batch batch;
  while (stream->Read(&batch)) {
    for (const std::string &record : batch.records()) received(&check, record.data(), record.size());
    if (!teller.took(static_cast<uint64_t>(batch.records_size()), bytes_of(batch))) break;
  }
}

}  // namespace

int main(int count, char **words) {
  options options = options_read(count, words);
  counters_open(options.counters);
  std::string role = options.role;
  if (role == "broker") serve(options);
  else if (role == "producer") produce(options);
  else if (role == "worker") forward(options);
  else if (role == "sink") drain(options);
  else return EXIT_USAGE;
  return 0;
}
