// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/store_follower.h"

#include <absl/cleanup/cleanup.h>

#include <algorithm>

#include "base/log.h"

namespace gantry::control {

namespace {
constexpr Duration kRetry = std::chrono::seconds(1);
}

struct StoreFollower::State {
  State(Loop& home, Store& store, std::string prefix, Calls calls)
      : home(home), store(store), prefix(std::move(prefix)), calls(std::move(calls)), progress(home), ended(home) {}

  Loop& home;
  Store& store;
  std::string prefix;
  Calls calls;
  Watcher* watcher = nullptr;  // while it follows
  std::int64_t told = 0;       // all up to this revision
  std::int64_t wanted = 0;     // somebody waits for this one
  Event progress;              // `told` was raised
  Event ended;

  void tell(std::int64_t revision) {
    told = std::max(told, revision);
    progress.set();
  }

  Task<Result<std::int64_t>> read_all() {
    std::vector<EntryPtr> entries;
    ListRequest request{.prefix = prefix};
    while (true) {
      Result<ListAnswer> answer = co_await store.list(home, request);
      if (!answer) co_return std::unexpected(std::move(answer.error()));
      for (EntryPtr& entry : answer->entries) entries.push_back(std::move(entry));
      request.revision = answer->revision;
      if (!answer->more) break;
      request.after = entries.back()->key;
    }
    if (ended.is_set()) co_return request.revision;
    calls.reset(entries);
    tell(request.revision);
    co_return request.revision;
  }

  // Until the watch breaks off.
  Task<Status> follow_once() {
    Result<std::int64_t> revision = co_await read_all();
    if (!revision) co_return std::unexpected(std::move(revision.error()));
    const std::unique_ptr<Watcher> made = store.watch(home, prefix, *revision);
    watcher = made.get();
    const absl::Cleanup forget = [this] { watcher = nullptr; };
    if (wanted > told) watcher->request_progress(wanted);
    while (!ended.is_set()) {
      Result<EventBatch> batch = co_await watcher->next();
      if (!batch) co_return std::unexpected(std::move(batch.error()));
      if (ended.is_set()) break;
      if (!batch->events.empty()) calls.change(batch->events);
      tell(batch->revision);
    }
    co_return Status();
  }

  static Task<> follow(std::shared_ptr<State> state) {
    bool said = false;
    while (!state->ended.is_set()) {
      Status followed = co_await state->follow_once();
      if (followed || followed.error().code() == Code::kCancelled) co_return;
      if (is_compacted(followed.error())) continue;
      if (!said) {
        log::warning("the store cannot be followed, retrying every second",
                     {{"prefix", state->prefix}, {"error", followed.error()}});
      }
      said = true;
      (void)co_await state->ended.wait_for(kRetry);
    }
  }
};

StoreFollower::StoreFollower(Loop& home, Store& store, std::string prefix, Calls calls)
    : state_(std::make_shared<State>(home, store, std::move(prefix), std::move(calls))) {
  home.spawn(State::follow(state_));
}

StoreFollower::~StoreFollower() {
  state_->ended.set();
  state_->progress.set();
}

Task<> StoreFollower::ready() {
  const std::shared_ptr<State> state = state_;
  const Result<std::int64_t> now = co_await state->store.current_revision(state->home);
  if (!now) co_return;
  state->wanted = std::max(state->wanted, *now);
  if (state->watcher != nullptr) state->watcher->request_progress(state->wanted);
  while (state->told < *now && !state->ended.is_set()) {
    state->progress.reset();
    co_await state->progress.wait();
  }
}

}  // namespace gantry::control
