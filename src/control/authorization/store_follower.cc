// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/store_follower.h"

#include "base/log.h"

namespace gantry::control {

namespace {
constexpr Duration kRetry = std::chrono::seconds(1);
}

struct StoreFollower::State {
  State(Loop& home, Store& store, std::string prefix, Calls calls)
      : home(home), store(store), prefix(std::move(prefix)), calls(std::move(calls)), ready(home), ended(home) {}

  Loop& home;
  Store& store;
  std::string prefix;
  Calls calls;
  Event ready;
  Event ended;

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
    ready.set();
    co_return request.revision;
  }

  // Until the watch breaks off.
  Task<Status> follow_once() {
    Result<std::int64_t> revision = co_await read_all();
    if (!revision) co_return std::unexpected(std::move(revision.error()));
    const std::unique_ptr<Watcher> watcher = store.watch(home, prefix, *revision);
    while (!ended.is_set()) {
      Result<EventBatch> batch = co_await watcher->next();
      if (!batch) co_return std::unexpected(std::move(batch.error()));
      if (!ended.is_set() && !batch->events.empty()) calls.change(batch->events);
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

StoreFollower::~StoreFollower() { state_->ended.set(); }

bool StoreFollower::is_ready() const { return state_->ready.is_set(); }

Task<> StoreFollower::ready() {
  const std::shared_ptr<State> state = state_;
  co_await state->ready.wait();
}

}  // namespace gantry::control
