// SPDX-License-Identifier: Apache-2.0
#include "control/store/event_window.h"

#include <algorithm>
#include <coroutine>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gantry::control {

namespace {

constexpr std::size_t kMaxBatch = 256;
constexpr std::size_t kMaxScanned = 8192;  // events looked at under the mutex at a time
constexpr std::size_t kWokenAtOnce = 16;   // watchers, before others of their loop have a turn

// What was there before is, as a rule, another event's object; the larger one of both may be kept by this event alone.
std::size_t size_of(const CacheEvent& event) {
  return sizeof(event) + std::max(event.object->bytes(), event.previous ? event.previous->bytes() : 0);
}

}  // namespace

struct EventWindow::Place {
  Place(Loop& loop, WatchScope s, std::int64_t a) : here(loop), scope(std::move(s)), after(a) {}

  Loop& here;
  const WatchScope scope;
  const std::int64_t after;  // what is not beyond it is passed over

  // Guarded by the window's mutex.
  std::uint64_t cursor = 0;  // the number of the next event to look at
  bool too_old = false;
  bool waiting = false;
  bool progress = false;
  bool closed = false;

  // Loop thread.
  std::coroutine_handle<> caller;

  bool wants(const CacheEvent& event) const {
    const std::string& key = event.object->key();
    if (event.revision() <= after) return false;
    if (!scope.key.empty() ? key != scope.key : !key.starts_with(scope.prefix)) return false;
    return scope.topic.empty() || event.object->topic() == scope.topic ||
           (event.previous && event.previous->topic() == scope.topic);
  }
};

struct EventWindow::Inside {
  using PlacePtr = std::shared_ptr<Place>;
  using Places = std::unordered_set<PlacePtr>;

  Inside(std::size_t limit, std::function<std::int64_t()> r) : max_bytes(limit), revision(std::move(r)) {}

  const std::size_t max_bytes;
  const std::function<std::int64_t()> revision;
  mutable std::mutex mutex;
  std::deque<CacheEventPtr> events;
  std::uint64_t first = 0;  // the number of events.front()
  std::size_t bytes = 0;
  std::int64_t start = 0;
  std::int64_t end = 0;
  bool closed = false;
  std::size_t count = 0;
  // Each place is in one of these.
  std::unordered_map<std::string, Places> by_key;
  std::unordered_map<std::string, Places> by_topic;
  Places wide;

  std::uint64_t last() const { return first + events.size(); }

  Places& places_of(const WatchScope& scope) {
    if (!scope.key.empty()) return by_key[scope.key];
    return scope.topic.empty() ? wide : by_topic[scope.topic];
  }
  void remove(const PlacePtr& place) {
    places_of(place->scope).erase(place);
    if (auto found = by_key.find(place->scope.key); found != by_key.end() && found->second.empty()) by_key.erase(found);
    if (auto found = by_topic.find(place->scope.topic); found != by_topic.end() && found->second.empty()) {
      by_topic.erase(found);
    }
    --count;
  }
  template <typename Call>
  void each_place(Call&& call) {
    for (const auto& place : wide) call(place);
    for (auto* map : {&by_key, &by_topic}) {
      for (const auto& [name, places] : *map) {
        for (const auto& place : places) call(place);
      }
    }
  }

  // Wakes watchers, those of a loop some at a time: what comes to it meanwhile, as the answer to who wrote, has its
  // turn between them and not after a thousand.
  class Wakes {
   public:
    void add(const PlacePtr& place) {
      place->waiting = false;
      woken_[&place->here].push_back(place);
    }
    ~Wakes() {
      for (auto& [loop, places] : woken_) post(*loop, std::move(places), 0);
    }

   private:
    static void post(Loop& loop, std::vector<PlacePtr> places, std::size_t begin) {
      loop.post([&loop, places = std::move(places), begin]() mutable {
        const std::size_t end = std::min(begin + kWokenAtOnce, places.size());
        for (std::size_t i = begin; i < end; ++i) {
          if (places[i]->caller) std::exchange(places[i]->caller, {}).resume();
        }
        if (end < places.size()) post(loop, std::move(places), end);
      });
    }
    std::unordered_map<Loop*, std::vector<PlacePtr>> woken_;
  };

  enum class State { kBatch, kWaiting, kTooOld, kClosed };
  State take(Place& place, CacheBatch& batch) {
    std::unique_lock lock(mutex);
    std::int64_t reached = 0;
    // Who only waits for events does without the store's word of how far it is.
    if (place.progress) {
      lock.unlock();
      reached = revision();  // first: what comes meanwhile is beyond it
      lock.lock();
    }
    if (closed || place.closed) return State::kClosed;
    if (place.too_old || place.cursor < first) return State::kTooOld;
    std::uint64_t limit = std::min(last(), place.cursor + kMaxScanned);
    for (; place.cursor < limit; ++place.cursor) {
      const auto& event = events[place.cursor - first];
      // A revision is not cut in two.
      if (batch.events.size() >= kMaxBatch && event->revision() != batch.revision) break;
      batch.revision = event->revision();
      if (place.wants(*event)) batch.events.push_back(event);
    }
    bool all = place.cursor == last();
    if (all) {
      batch.revision = std::max(reached, end);
    } else if (events[place.cursor - first]->revision() == batch.revision) {
      --batch.revision;  // there is more of it
    }
    batch.revision = std::max(batch.revision, place.after);
    if (batch.events.empty() && all && !place.progress) {
      place.waiting = true;
      return State::kWaiting;
    }
    if (all) place.progress = false;
    return State::kBatch;
  }
};

class EventWindow::WindowWatcher final : public CacheWatcher {
 public:
  WindowWatcher(std::shared_ptr<Inside> inside, std::shared_ptr<Place> place, std::shared_ptr<const void> owner)
      : inside_(std::move(inside)), place_(std::move(place)), owner_(std::move(owner)) {}
  ~WindowWatcher() override {
    std::lock_guard lock(inside_->mutex);
    place_->closed = true;
    inside_->remove(place_);
    if (place_->waiting) Inside::Wakes().add(place_);
  }

  Task<Result<CacheBatch>> next() override { return next(inside_, place_, owner_); }

  void request_progress() override {
    std::lock_guard lock(inside_->mutex);
    place_->progress = true;
    if (!place_->waiting) return;
    place_->cursor = inside_->last();
    Inside::Wakes().add(place_);
  }

 private:
  struct Woken {
    Place& place;
    ~Woken() { place.caller = {}; }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> caller) noexcept { place.caller = caller; }
    void await_resume() const noexcept {}
  };

  static Task<Result<CacheBatch>> next(std::shared_ptr<Inside> inside, std::shared_ptr<Place> place,
                                       std::shared_ptr<const void> /*owner: kept alive*/) {
    for (;;) {
      CacheBatch batch;
      switch (inside->take(*place, batch)) {
        case Inside::State::kBatch:
          co_return batch;
        case Inside::State::kClosed:
          co_return fail(Code::kCancelled, "watch: closed");
        case Inside::State::kTooOld:
          co_return fail(Code::kOutOfRange, "watch: the events after its revision are no longer kept");
        case Inside::State::kWaiting: {
          Woken woken{*place};
          co_await woken;
        }
      }
    }
  }

  std::shared_ptr<Inside> inside_;
  std::shared_ptr<Place> place_;
  std::shared_ptr<const void> owner_;
};

EventWindow::EventWindow(std::size_t max_bytes, std::function<std::int64_t()> revision)
    : inside_(std::make_shared<Inside>(max_bytes, std::move(revision))) {}

EventWindow::~EventWindow() { close(); }

void EventWindow::reset(std::int64_t revision) {
  std::deque<CacheEventPtr> dropped;  // freed outside of the mutex
  Inside::Wakes wakes;
  std::lock_guard lock(inside_->mutex);
  inside_->first = inside_->last();
  dropped.swap(inside_->events);
  inside_->bytes = 0;
  // Whoever came before the first event has missed none, unless its revision is below.
  bool begins = inside_->end == 0;
  inside_->start = inside_->end = revision;
  inside_->each_place([&](const auto& place) {
    if (begins && (place->after == 0 || place->after >= revision)) return;
    place->too_old = true;
    if (place->waiting) wakes.add(place);
  });
}

void EventWindow::append(std::vector<CacheEventPtr> events, std::int64_t revision) {
  std::vector<CacheEventPtr> dropped;
  Inside::Wakes wakes;
  std::lock_guard lock(inside_->mutex);
  std::uint64_t before = inside_->last();
  inside_->end = std::max(inside_->end, revision);
  for (auto& event : events) {
    auto wake = [&](const Inside::Places& places) {
      for (const auto& place : places) {
        if (!place->waiting || !place->wants(*event)) continue;
        place->cursor = before;
        wakes.add(place);
      }
    };
    auto wake_of = [&](const auto& map, std::string_view name) {
      if (map.empty() || name.empty()) return;
      if (auto found = map.find(std::string(name)); found != map.end()) wake(found->second);
    };
    wake(inside_->wide);
    wake_of(inside_->by_key, event->object->key());
    wake_of(inside_->by_topic, event->object->topic());
    if (event->previous) wake_of(inside_->by_topic, event->previous->topic());
    inside_->bytes += size_of(*event);
    inside_->events.push_back(std::move(event));
  }
  while (inside_->bytes > inside_->max_bytes && !inside_->events.empty()) {
    auto& front = inside_->events.front();
    inside_->bytes -= size_of(*front);
    inside_->start = front->revision();
    dropped.push_back(std::move(front));
    inside_->events.pop_front();
    ++inside_->first;
  }
}

std::int64_t EventWindow::start() const {
  std::lock_guard lock(inside_->mutex);
  return inside_->start;
}

std::size_t EventWindow::watchers() const {
  std::lock_guard lock(inside_->mutex);
  return inside_->count;
}

std::unique_ptr<CacheWatcher> EventWindow::watch(Loop& here, WatchScope scope, std::int64_t after,
                                                 std::shared_ptr<const void> owner) {
  std::lock_guard lock(inside_->mutex);
  auto place = std::make_shared<Place>(here, std::move(scope), after);
  auto begin = inside_->events.end();
  if (after != 0) {
    place->too_old = after < inside_->start;
    begin = std::upper_bound(inside_->events.begin(), inside_->events.end(), after,
                             [](std::int64_t revision, const CacheEventPtr& e) { return revision < e->revision(); });
  }
  place->cursor = inside_->first + static_cast<std::uint64_t>(begin - inside_->events.begin());
  inside_->places_of(place->scope).insert(place);
  ++inside_->count;
  return std::make_unique<WindowWatcher>(inside_, std::move(place), std::move(owner));
}

void EventWindow::close() {
  Inside::Wakes wakes;
  std::lock_guard lock(inside_->mutex);
  inside_->closed = true;
  inside_->each_place([&](const auto& place) {
    if (place->waiting) wakes.add(place);
  });
}

}  // namespace gantry::control
