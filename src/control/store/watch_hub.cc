// SPDX-License-Identifier: Apache-2.0
#include "control/store/watch_hub.h"

#include <algorithm>
#include <coroutine>
#include <deque>
#include <mutex>
#include <optional>
#include <unordered_set>
#include <utility>

namespace gantry::control {

namespace {

constexpr std::size_t kMaxBatchBytes = 1 << 20;
constexpr std::size_t kMaxScanned = 4096;  // events looked at under the mutex at a time
constexpr std::size_t kEventOverhead = 256;

std::size_t size_of(const StoreEvent& event) {
  std::size_t size = kEventOverhead + event.entry->key.size() + event.entry->value.size();
  if (event.previous) size += event.previous->key.size() + event.previous->value.size();
  return size;
}

}  // namespace

struct WatchHub::Place {
  Place(Loop& loop, std::string p, std::int64_t after) : here(loop), prefix(std::move(p)), cursor(after), seen(after) {}

  Loop& here;
  const std::string prefix;

  // Guarded by the log's mutex.
  std::int64_t cursor;  // everything up to it was delivered
  std::int64_t seen;    // and next() was called again
  std::int64_t progress = 0;
  bool waiting = false;
  bool closed = false;

  // Loop thread.
  std::coroutine_handle<> caller;
};

struct WatchHub::Log {
  Log(std::int64_t revision, std::size_t limit, ReadHistory read)
      : max_bytes(limit), read_history(std::move(read)), start(revision), end(revision) {}

  const std::size_t max_bytes;
  const ReadHistory read_history;
  std::mutex mutex;
  std::deque<StoreEvent> events;
  std::size_t bytes = 0;
  std::int64_t start;  // all events after it, up to end, are here
  std::int64_t end;
  bool closed = false;
  std::unordered_set<std::shared_ptr<Place>> places;

  void wake(const std::shared_ptr<Place>& place) {
    place->waiting = false;
    place->here.post([place] {
      if (place->caller) std::exchange(place->caller, {}).resume();
    });
  }

  // What there is for a place: a batch; or it has to read history (kLagging) or to wait, for which it is marked.
  enum class State { kBatch, kLagging, kWaiting, kClosed };
  State take(Place& place, EventBatch& batch) {
    std::lock_guard lock(mutex);
    place.seen = std::max(place.seen, place.cursor);
    if (closed || place.closed) return State::kClosed;
    if (place.cursor < start) return State::kLagging;
    auto at =
        std::upper_bound(events.begin(), events.end(), place.cursor,
                         [](std::int64_t revision, const StoreEvent& event) { return revision < event.revision(); });
    std::size_t size = 0;
    for (std::size_t scanned = 0; at != events.end() && scanned < kMaxScanned && size < kMaxBatchBytes;
         ++at, ++scanned) {
      place.cursor = at->revision();
      if (!at->entry->key.starts_with(place.prefix)) continue;
      size += size_of(*at);
      batch.events.push_back(*at);
    }
    if (at == events.end()) place.cursor = std::max(place.cursor, end);
    batch.revision = place.cursor;
    bool progressed = place.progress != 0 && place.cursor >= place.progress && place.cursor <= end;
    if (progressed) place.progress = 0;
    // Also when nothing of the prefix was among so many: the caller comes again, others get the mutex meanwhile.
    if (!batch.events.empty() || progressed || at != events.end()) return State::kBatch;
    place.waiting = true;
    return State::kWaiting;
  }
};

namespace {

// Suspends until the hub wakes the place.
template <typename Place>
struct Woken {
  Place& place;
  ~Woken() { place.caller = {}; }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) noexcept { place.caller = caller; }
  void await_resume() const noexcept {}
};

}  // namespace

class WatchHub::HubWatcher final : public Watcher {
 public:
  HubWatcher(std::shared_ptr<Log> log, std::shared_ptr<Place> place) : log_(std::move(log)), place_(std::move(place)) {}
  ~HubWatcher() override {
    std::lock_guard lock(log_->mutex);
    place_->closed = true;
    log_->places.erase(place_);
    if (place_->waiting) log_->wake(place_);
  }

  Task<Result<EventBatch>> next() override { return next(log_, place_); }

  void request_progress(std::int64_t revision) override {
    std::lock_guard lock(log_->mutex);
    place_->progress = std::max<std::int64_t>(revision, 1);
    if (place_->waiting && log_->end >= place_->progress) {
      // It has seen all that there is.
      place_->cursor = std::max(place_->cursor, log_->end);
      place_->seen = place_->cursor;
      log_->wake(place_);
    }
  }

  std::int64_t seen_through() const override {
    std::lock_guard lock(log_->mutex);
    return place_->waiting ? std::max(place_->seen, log_->end) : place_->seen;
  }

 private:
  static Task<Result<EventBatch>> next(std::shared_ptr<Log> log, std::shared_ptr<Place> place) {
    for (;;) {
      EventBatch batch;
      switch (log->take(*place, batch)) {
        case Log::State::kClosed:
          co_return fail(Code::kCancelled, "watch " + place->prefix + ": closed");
        case Log::State::kBatch:
          co_return batch;
        case Log::State::kWaiting: {
          Woken<Place> woken{*place};
          co_await woken;
          break;
        }
        case Log::State::kLagging: {
          auto old = co_await log->read_history(place->here, place->prefix, place->cursor);
          if (!old) co_return fail_with(std::move(old.error()), "watch " + place->prefix);
          {
            std::lock_guard lock(log->mutex);
            place->cursor = old->revision;
          }
          if (!old->events.empty()) co_return std::move(*old);
          break;
        }
      }
    }
  }

  std::shared_ptr<Log> log_;
  std::shared_ptr<Place> place_;
};

WatchHub::WatchHub(std::int64_t revision, std::size_t max_bytes, ReadHistory read_history)
    : log_(std::make_shared<Log>(revision, max_bytes, std::move(read_history))) {}

WatchHub::~WatchHub() { close(); }

void WatchHub::append(std::vector<StoreEvent> events) {
  if (events.empty()) return;
  std::vector<StoreEvent> dropped;  // freed outside of the mutex
  std::lock_guard lock(log_->mutex);
  std::int64_t before = log_->end;
  log_->end = events.back().revision();
  for (const auto& place : log_->places) {
    if (!place->waiting) continue;
    bool wanted = place->progress != 0 && log_->end >= place->progress;
    for (const StoreEvent& event : events) {
      if (wanted) break;
      wanted = event.revision() > place->cursor && event.entry->key.starts_with(place->prefix);
    }
    if (!wanted) continue;
    place->cursor = std::max(place->cursor, before);
    place->seen = std::max(place->seen, before);
    log_->wake(place);
  }
  for (StoreEvent& event : events) {
    log_->bytes += size_of(event);
    log_->events.push_back(std::move(event));
  }
  while (log_->bytes > log_->max_bytes && !log_->events.empty()) {
    log_->bytes -= size_of(log_->events.front());
    log_->start = log_->events.front().revision();
    dropped.push_back(std::move(log_->events.front()));
    log_->events.pop_front();
  }
}

std::int64_t WatchHub::revision() const {
  std::lock_guard lock(log_->mutex);
  return log_->end;
}

std::unique_ptr<Watcher> WatchHub::watch(Loop& here, std::string prefix, std::int64_t after) {
  auto place = std::make_shared<Place>(here, std::move(prefix), after);
  {
    std::lock_guard lock(log_->mutex);
    log_->places.insert(place);
  }
  return std::make_unique<HubWatcher>(log_, std::move(place));
}

void WatchHub::close() {
  std::lock_guard lock(log_->mutex);
  log_->closed = true;
  for (const auto& place : log_->places) {
    if (place->waiting) log_->wake(place);
  }
}

}  // namespace gantry::control
