// SPDX-License-Identifier: Apache-2.0
#include "control/store/watch_cache.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "control/store/event_window.h"
#include "control/store/history.h"

namespace gantry::control {

namespace {

constexpr std::size_t kPage = 1000;
constexpr std::size_t kMaxSnapshots = 4096;
constexpr Duration kFirstRetry = std::chrono::milliseconds(100);
constexpr Duration kLastRetry = std::chrono::seconds(5);

std::string beyond(std::string_view prefix, std::string_view after) {
  if (after.empty() || after < prefix) return std::string(prefix);
  return std::string(after) + '\0';
}

}  // namespace

std::size_t Snapshot::count(std::string_view prefix, std::string_view after) const {
  std::size_t below = tree_.rank(beyond(prefix, after));
  return std::max(tree_.rank(end_of_prefix(prefix)), below) - below;
}

void Snapshot::visit(std::string_view prefix, std::string_view after,
                     const std::function<bool(const ObjectPtr&)>& visit) const {
  tree_.visit(beyond(prefix, after), end_of_prefix(prefix), visit);
}

struct WatchCache::State : std::enable_shared_from_this<WatchCache::State> {
  struct Waiter {
    explicit Waiter(Loop& loop) : here(loop), event(loop) {}
    Loop& here;
    Event event;  // base/loop.h's
    bool closed = false;
  };

  State(Loop& loop, Store& s, Options o)
      : home(loop), store(s), options(std::move(o)), window(options.window_bytes, [this] { return revision(); }) {}

  Loop& home;
  Store& store;
  const Options options;
  EventWindow window;
  std::atomic<bool> closed = false;

  mutable std::mutex mutex;
  ObjectTree tree;
  std::int64_t applied = 0;
  std::int64_t ready_at = 0;  // 0: it is not known yet up to where it has to read
  std::deque<Snapshot> snapshots;
  std::unique_ptr<Watcher> watcher;  // changed on `home`
  std::multimap<std::int64_t, std::shared_ptr<Waiter>> waiters;

  // With the mutex held.
  std::int64_t reached() const {
    std::int64_t reached = watcher ? std::max(applied, watcher->seen_through()) : applied;
    return ready_at != 0 && reached >= ready_at ? reached : 0;
  }
  std::int64_t revision() const {
    std::lock_guard lock(mutex);
    return reached();
  }

  Snapshot snapshot() const {
    std::lock_guard lock(mutex);
    return Snapshot(tree, std::max(applied, reached()));
  }
  struct Forget;
  static Task<Status> wait_until(std::shared_ptr<State> state, Loop& here, std::int64_t revision, Duration limit);
  static Task<Result<Snapshot>> fresh(std::shared_ptr<State> state, Loop& here, Duration limit);

  // ---- Following the store, on `home`

  static Task<> follow(std::shared_ptr<State> state);
  Task<Status> load();
  Task<Result<std::int64_t>> read_all(std::int64_t at, std::vector<ObjectPtr>& objects);
  Task<Status> follow_events();
  void begin_watch();
  CacheEventPtr event_of(ObjectTree& next, const StoreEvent& event) const;
  void apply(const EventBatch& batch);
  void wake_waiters();
};

Task<> WatchCache::State::follow(std::shared_ptr<State> state) {
  Duration retry = kFirstRetry;
  bool loaded = false;
  for (;;) {
    Status done;
    if (!loaded) done = co_await state->load();
    if (done) {
      loaded = true;
      retry = kFirstRetry;
      done = co_await state->follow_events();
      if (!done && is_compacted(done.error())) loaded = false;
    }
    if (state->closed) co_return;
    log::warning("watch cache: following the store failed, trying again",
                 {{"prefix", state->options.prefix}, {"error", done.error()}});
    co_await state->home.sleep_for(retry);
    if (state->closed) co_return;
    retry = std::min(retry * 2, kLastRetry);
  }
}

// Reads everything, if it can be as it was a while ago, so that the events since are in the window.
Task<Status> WatchCache::State::load() {
  auto now = co_await store.current_revision(home);
  if (!now) co_return std::unexpected(std::move(now.error()));
  std::vector<ObjectPtr> objects;
  Result<std::int64_t> at = fail(Code::kOutOfRange, "");
  if (!closed && options.replay > 0) at = co_await read_all(std::max<std::int64_t>(*now - options.replay, 1), objects);
  if (!closed && !at && (is_compacted(at.error()) || is_ahead(at.error()))) at = co_await read_all(0, objects);
  if (closed) co_return fail(Code::kCancelled, "closed");
  if (!at) co_return std::unexpected(std::move(at.error()));
  window.reset(*at);
  std::lock_guard lock(mutex);
  tree = ObjectTree::from_sorted(objects);
  applied = *at;
  ready_at = std::max(*now, *at);
  snapshots.assign(1, Snapshot(tree, applied));
  co_return Status();
}

Task<Result<std::int64_t>> WatchCache::State::read_all(std::int64_t at, std::vector<ObjectPtr>& objects) {
  objects.clear();
  ListRequest request{.prefix = options.prefix, .limit = kPage, .revision = at};
  for (;;) {
    auto page = co_await store.list(home, request);
    if (!page) co_return std::unexpected(std::move(page.error()));
    if (closed) co_return fail(Code::kCancelled, "closed");
    request.revision = page->revision;
    if (!page->entries.empty()) request.after = page->entries.back()->key;
    bool more = page->more && !page->entries.empty();
    for (auto& entry : page->entries) {
      if (auto object = options.make(std::move(entry))) objects.push_back(std::move(object));
    }
    if (!more) co_return page->revision;
  }
}

void WatchCache::State::begin_watch() {
  auto fresh = store.watch(home, options.prefix, applied);
  std::lock_guard lock(mutex);
  watcher = std::move(fresh);
  if (ready_at > applied) watcher->request_progress(ready_at);
}

Task<Status> WatchCache::State::follow_events() {
  begin_watch();
  for (;;) {
    wake_waiters();
    auto batch = co_await watcher->next();
    if (closed) co_return fail(Code::kCancelled, "closed");
    if (!batch) {
      std::unique_ptr<Watcher> ended;
      std::lock_guard lock(mutex);
      ended = std::move(watcher);
      co_return std::unexpected(std::move(batch.error()));
    }
    apply(*batch);
  }
}

CacheEventPtr WatchCache::State::event_of(ObjectTree& next, const StoreEvent& event) const {
  ObjectPtr previous = next.find(event.entry->key);
  ObjectPtr object = event.kind == StoreEvent::Kind::kPut ? options.make(event.entry) : nullptr;
  if (object) {
    next = next.insert(object);
    auto kind = previous ? CacheEvent::Kind::kModified : CacheEvent::Kind::kAdded;
    return std::make_shared<const CacheEvent>(CacheEvent{kind, std::move(object), std::move(previous)});
  }
  if (!previous) return nullptr;
  next = next.erase(event.entry->key);
  Entry last = previous->entry();
  last.mod_revision = event.revision();
  object = options.make(std::make_shared<const Entry>(std::move(last)));
  if (!object) return nullptr;
  return std::make_shared<const CacheEvent>(
      CacheEvent{CacheEvent::Kind::kRemoved, std::move(object), std::move(previous)});
}

void WatchCache::State::apply(const EventBatch& batch) {
  ObjectTree next = tree;  // only this thread changes it
  std::vector<CacheEventPtr> events;
  std::deque<Snapshot> steps;
  for (const StoreEvent& event : batch.events) {
    auto made = event_of(next, event);
    if (!made) continue;
    events.push_back(std::move(made));
    if (!steps.empty() && steps.back().revision() == event.revision()) steps.pop_back();
    steps.emplace_back(next, event.revision());
  }
  // First the window, then the tree: who reads a revision here finds all events up to it there.
  window.append(std::move(events), batch.revision);
  std::int64_t start = window.start();
  std::deque<Snapshot> dropped;  // freed outside of the mutex
  std::lock_guard lock(mutex);
  std::swap(tree, next);
  std::ranges::move(steps, std::back_inserter(snapshots));
  applied = std::max(applied, batch.revision);
  while (snapshots.size() > 1 && (snapshots.front().revision() < start || snapshots.size() > kMaxSnapshots)) {
    dropped.push_back(std::move(snapshots.front()));
    snapshots.pop_front();
  }
}

// Those whose revision is there; for the others the store is asked to say when it is.
void WatchCache::State::wake_waiters() {
  std::lock_guard lock(mutex);
  std::int64_t now = reached();
  while (!waiters.empty() && now != 0 && waiters.begin()->first <= now) {
    auto waiter = waiters.begin()->second;
    waiters.erase(waiters.begin());
    waiter->here.post([waiter] { waiter->event.set(); });
  }
  if (watcher && !waiters.empty()) watcher->request_progress(std::max(waiters.begin()->first, ready_at));
}

// ---- Waiting

// Takes a waiter out again, unless that was done.
struct WatchCache::State::Forget {
  std::shared_ptr<State> state;
  std::int64_t revision;
  std::shared_ptr<Waiter> waiter;
  ~Forget() {
    const std::lock_guard lock(state->mutex);
    for (auto [at, end] = state->waiters.equal_range(revision); at != end; ++at) {
      if (at->second != waiter) continue;
      state->waiters.erase(at);
      return;
    }
  }
};

Task<Status> WatchCache::State::wait_until(std::shared_ptr<State> state, Loop& here, std::int64_t revision,
                                           Duration limit) {
  auto waiter = std::make_shared<Waiter>(here);
  {
    std::lock_guard lock(state->mutex);
    if (std::int64_t now = state->reached(); now != 0 && now >= revision) co_return Status();
    if (state->closed) co_return fail(Code::kCancelled, "watch cache: closed");
    state->waiters.emplace(revision, waiter);
  }
  // However this ends, dropped with its loop too: nobody may find the waiter then.
  const Forget forget{state, revision, waiter};
  state->home.post([state] { state->wake_waiters(); });
  bool woken = co_await waiter->event.wait_for(limit);
  if (woken && waiter->closed) co_return fail(Code::kCancelled, "watch cache: closed");
  if (woken) co_return Status();
  co_return fail(Code::kDeadlineExceeded, "watch cache of " + state->options.prefix + ": revision " +
                                              std::to_string(revision) + " did not come in time, it is at " +
                                              std::to_string(state->revision()));
}

Task<Result<Snapshot>> WatchCache::State::fresh(std::shared_ptr<State> state, Loop& here, Duration limit) {
  auto now = co_await state->store.current_revision(here);
  if (!now) co_return std::unexpected(std::move(now.error()));
  if (auto waited = co_await wait_until(state, here, *now, limit); !waited) {
    co_return std::unexpected(std::move(waited.error()));
  }
  co_return state->snapshot();
}

// ---- The cache

WatchCache::WatchCache(Loop& home, Store& store, Options options)
    : state_(std::make_shared<State>(home, store, std::move(options))) {
  home.spawn(State::follow(state_));
}

WatchCache::~WatchCache() {
  std::unique_ptr<Watcher> ended;
  state_->window.close();
  std::lock_guard lock(state_->mutex);
  state_->closed = true;
  ended = std::move(state_->watcher);
  for (auto& [revision, waiter] : std::exchange(state_->waiters, {})) {
    waiter->here.post([waiter] {
      waiter->closed = true;
      waiter->event.set();
    });
  }
}

bool WatchCache::is_ready() const { return revision() != 0; }
std::int64_t WatchCache::revision() const { return state_->revision(); }

Snapshot WatchCache::snapshot() const { return state_->snapshot(); }

std::optional<Snapshot> WatchCache::snapshot_at(std::int64_t revision) const {
  std::lock_guard lock(state_->mutex);
  if (revision > state_->reached()) return std::nullopt;
  auto later = std::upper_bound(state_->snapshots.begin(), state_->snapshots.end(), revision,
                                [](std::int64_t wanted, const Snapshot& each) { return wanted < each.revision(); });
  if (later == state_->snapshots.begin()) return std::nullopt;
  Snapshot then = *std::prev(later);
  return Snapshot(then.tree(), revision);
}

Task<Status> WatchCache::wait_until(Loop& here, std::int64_t revision, Duration limit) {
  return State::wait_until(state_, here, revision, limit);
}

Task<Result<Snapshot>> WatchCache::fresh(Loop& here, Duration limit) { return State::fresh(state_, here, limit); }

std::unique_ptr<CacheWatcher> WatchCache::watch(Loop& here, WatchScope scope, std::int64_t after) {
  return state_->window.watch(here, std::move(scope), after, state_);
}

std::size_t WatchCache::watchers() const { return state_->window.watchers(); }

}  // namespace gantry::control
