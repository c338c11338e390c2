// SPDX-License-Identifier: Apache-2.0
// A watch is a stream of its own. The next message is read only while somebody waits for it, so what a slow watcher
// does not take stays with etcd, which reads its history for it then.
#include <grpcpp/grpcpp.h>

#include <optional>
#include <utility>

#include "control/store/etcd/inside.h"
#include "control/store/history.h"
#include "etcd/rpc.grpc.pb.h"

namespace gantry::control {

namespace {

// etcd answers a request for progress only when the watch has caught up; it is asked again.
constexpr Duration kProgressPace = std::chrono::milliseconds(100);

EntryPtr entry_of(const mvccpb::KeyValue& kv) {
  return std::make_shared<const Entry>(Entry{kv.key(), kv.value(), kv.create_revision(), kv.mod_revision()});
}

StoreEvent event_of(const mvccpb::Event& event) {
  bool put = event.type() == mvccpb::Event::PUT;
  return {put ? StoreEvent::Kind::kPut : StoreEvent::Kind::kRemove, entry_of(event.kv()),
          event.has_prev_kv() ? entry_of(event.prev_kv()) : nullptr};
}

class Stream final : public grpc::ClientBidiReactor<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>,
                     public std::enable_shared_from_this<Stream> {
 public:
  Stream(std::shared_ptr<EtcdClient::Inside> inside, Loop& here, std::string prefix, std::int64_t after)
      : inside_(std::move(inside)),
        endpoint_(inside_->choose()),
        prefix_(std::move(prefix)),
        here_(here),
        event_(here),
        delivered_(after) {}

  void start() {
    self_ = shared_from_this();
    if (!inside_->begin(this, [weak = weak_from_this()] {
          if (auto stream = weak.lock()) stream->close();
        })) {
      std::lock_guard lock(mutex_);
      error_ = Error(Code::kCancelled, "etcd: the store is being closed");
      self_.reset();
      return;
    }
    held_ = true;
    require_leader(context_);
    auto& create = *out_.mutable_create_request();
    create.set_key(prefix_.empty() ? std::string(1, '\0') : prefix_);
    create.set_range_end(prefix_.empty() ? std::string(1, '\0') : end_of_prefix(prefix_));
    create.set_start_revision(delivered_ + 1);
    create.set_prev_kv(true);
    create.set_fragment(true);
    create.set_progress_notify(true);
    writing_ = true;
    etcdserverpb::Watch::Stub(inside_->endpoints[endpoint_].channel).async()->Watch(&context_, this);
    AddHold();  // reads are begun from outside of the reactions
    StartWrite(&out_);
    StartCall();
  }

  static Task<Result<EventBatch>> next(std::shared_ptr<Stream> stream) {
    for (;;) {
      stream->event_.reset();
      bool wants_progress = false;
      {
        std::lock_guard lock(stream->mutex_);
        stream->seen_ = stream->delivered_;
        if (stream->ready_) {
          EventBatch batch = std::move(*stream->ready_);
          stream->ready_.reset();
          stream->delivered_ = std::max(stream->delivered_, batch.revision);
          batch.revision = stream->delivered_;
          if (stream->progress_ <= stream->delivered_) stream->progress_ = 0;
          co_return batch;
        }
        if (stream->error_) co_return std::unexpected(*stream->error_);
        if (stream->progress_ != 0 && stream->progress_ <= stream->delivered_) {
          stream->progress_ = 0;
          co_return EventBatch{{}, stream->delivered_};
        }
        stream->read();
        wants_progress = stream->progress_ != 0;
        if (wants_progress) stream->ask_progress();
      }
      if (wants_progress) {
        co_await stream->event_.wait_for(kProgressPace);
      } else {
        co_await stream->event_.wait();
      }
    }
  }

  // Loop thread.
  void request_progress(std::int64_t revision) {
    {
      std::lock_guard lock(mutex_);
      progress_ = std::max(progress_, revision);
    }
    event_.set();
  }

  std::int64_t seen() {
    std::lock_guard lock(mutex_);
    return seen_;
  }

  // Loop thread: its watcher ends, and the loop may, before the call does.
  void leave() {
    {
      std::lock_guard lock(mutex_);
      is_left_ = true;
    }
    close();
    event_.set();  // wakes who waits
  }

  // Any thread.
  void close() {
    context_.TryCancel();
    std::lock_guard lock(mutex_);
    if (!error_) error_ = Error(Code::kCancelled, "watch " + prefix_ + ": closed");
    release();
  }

  // ---- gRPC's threads

  void OnReadDone(bool ok) override {
    std::lock_guard lock(mutex_);
    reading_ = false;
    if (!ok) return release();
    take(in_);
    if (!ready_ && !error_) return read();
    if (error_) {
      context_.TryCancel();
      release();
    }
    wake();
  }

  void OnWriteDone(bool) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
  }

  void OnDone(const grpc::Status& status) override {
    const std::string& url = inside_->endpoints[endpoint_].url;
    {
      std::lock_guard lock(mutex_);
      if (!error_) {
        error_ =
            status.ok() ? Error(Code::kUnavailable, "etcd " + url + ": the watch was ended") : error_of(status, url);
      }
      if (error_->code() == Code::kUnavailable) inside_->has_failed(endpoint_);
      wake();
    }
    auto inside = inside_;
    auto self = std::exchange(self_, nullptr);
    inside->end(this);
  }

 private:
  // All with the mutex held.
  void wake() {
    if (is_left_) return;
    here_.post([self = shared_from_this()] { self->event_.set(); });
  }
  void release() {
    if (std::exchange(held_, false)) RemoveHold();
  }
  void read() {
    if (reading_ || !held_) return;
    reading_ = true;
    in_.Clear();
    StartRead(&in_);
  }
  void ask_progress() {
    if (writing_ || !held_) return;
    writing_ = true;
    out_.Clear();
    out_.mutable_progress_request();
    StartWrite(&out_);
  }
  void take(const etcdserverpb::WatchResponse& response) {
    if (response.canceled()) {
      error_ = response.compact_revision() != 0
                   ? Error(Code::kOutOfRange,
                           "watch " + prefix_ + ": history begins at " + std::to_string(response.compact_revision()))
                   : Error(Code::kUnavailable, "watch " + prefix_ + ": " + response.cancel_reason());
      return;
    }
    if (response.created()) return;
    EventBatch batch;
    for (const auto& event : response.events()) batch.events.push_back(event_of(event));
    if (batch.events.empty()) {
      batch.revision = response.header().revision();
      if (batch.revision <= delivered_) return;
    } else {
      // The header's revision may be ahead of a watch that is behind. Of a fragment's last one there may be more.
      batch.revision = batch.events.back().revision() - (response.fragment() ? 1 : 0);
    }
    ready_ = std::move(batch);
  }

  const std::shared_ptr<EtcdClient::Inside> inside_;
  const std::size_t endpoint_;
  const std::string prefix_;
  Loop& here_;
  Event event_;  // loop thread
  grpc::ClientContext context_;
  std::shared_ptr<Stream> self_;  // until OnDone

  std::mutex mutex_;
  etcdserverpb::WatchRequest out_;
  etcdserverpb::WatchResponse in_;
  bool is_left_ = false;  // here_ may be gone
  bool held_ = false;
  bool reading_ = false;
  bool writing_ = false;
  std::optional<EventBatch> ready_;
  std::optional<Error> error_;
  std::int64_t delivered_;
  std::int64_t seen_ = 0;
  std::int64_t progress_ = 0;
};

class EtcdWatcher final : public Watcher {
 public:
  explicit EtcdWatcher(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  ~EtcdWatcher() override { stream_->leave(); }
  Task<Result<EventBatch>> next() override { return Stream::next(stream_); }
  void request_progress(std::int64_t revision) override { stream_->request_progress(revision); }
  std::int64_t seen_through() const override { return stream_->seen(); }

 private:
  std::shared_ptr<Stream> stream_;
};

}  // namespace

std::unique_ptr<Watcher> watch_etcd(std::shared_ptr<EtcdClient::Inside> inside, Loop& here, std::string prefix,
                                    std::int64_t after) {
  auto stream = std::make_shared<Stream>(std::move(inside), here, std::move(prefix), after);
  stream->start();
  return std::make_unique<EtcdWatcher>(std::move(stream));
}

}  // namespace gantry::control
