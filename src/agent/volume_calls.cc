// SPDX-License-Identifier: Apache-2.0
#include "agent/volume_calls.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace gantry::agent {
namespace {

// What threads refer to, which may outlive all else.
struct Shared {
  std::mutex mutex;
  std::condition_variable ended;
  Loop* loop = nullptr;  // null: nobody is told any more
  std::size_t running = 0;
};

}  // namespace

struct VolumeCalls::Impl : std::enable_shared_from_this<Impl> {
  struct Entry {
    std::shared_ptr<Call> call;
    std::set<std::string> keys;
    Work work;  // until it runs
    std::function<void()> done;
    bool runs = false;
  };
  using Entries = std::list<Entry>;  // in the order in which they came

  bool may_run(const Entry& entry) const;
  void advance();
  void run(Entry& entry);
  void conclude(const Call* call, VolumeOutcome outcome);

  std::shared_ptr<Shared> shared = std::make_shared<Shared>();
  std::size_t most = 1;
  Duration leave{};
  std::size_t running = 0;
  Entries entries;
};

bool VolumeCalls::Impl::may_run(const Entry& entry) const {
  return std::ranges::none_of(entries, [&](const Entry& other) {
    return other.runs && std::ranges::any_of(entry.keys, [&](const auto& key) { return other.keys.contains(key); });
  });
}

void VolumeCalls::Impl::advance() {
  for (auto& entry : entries) {
    if (running >= most) return;
    if (!entry.runs && may_run(entry)) run(entry);
  }
}

void VolumeCalls::Impl::run(Entry& entry) {
  entry.runs = true;
  ++running;
  {
    std::lock_guard lock(shared->mutex);
    ++shared->running;
  }
  const Call* call = entry.call.get();
  auto conclude = [weak = weak_from_this(), call](VolumeOutcome outcome) {
    if (auto self = weak.lock()) self->conclude(call, std::move(outcome));
  };
  auto serve = [shared = shared, conclude, work = std::move(entry.work)]() mutable {
    sigset_t all;  // signals are the loop thread's matter
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    VolumeOutcome outcome = work();
    work = nullptr;
    std::lock_guard lock(shared->mutex);
    --shared->running;
    if (shared->loop != nullptr) {
      shared->loop->post([conclude, outcome = std::move(outcome)]() mutable { conclude(std::move(outcome)); });
    }
    shared->ended.notify_all();
  };
  try {
    std::thread(std::move(serve)).detach();
  } catch (const std::system_error& error) {
    std::lock_guard lock(shared->mutex);
    --shared->running;
    if (shared->loop == nullptr) return;
    VolumeOutcome outcome{.status = fail(Code::kResourceExhausted, std::string("start a thread: ") + error.what())};
    shared->loop->post([conclude, outcome = std::move(outcome)]() mutable { conclude(std::move(outcome)); });
  }
}

void VolumeCalls::Impl::conclude(const Call* call, VolumeOutcome outcome) {
  auto entry = std::ranges::find(entries, call, [](const Entry& one) { return one.call.get(); });
  if (entry == entries.end()) return;
  entry->call->is_done = true;
  entry->call->outcome = std::move(outcome);
  auto done = std::move(entry->done);
  entries.erase(entry);
  --running;
  advance();
  done();
}

VolumeCalls::VolumeCalls(Loop& loop, std::size_t most, Duration leave) : impl_(std::make_shared<Impl>()) {
  impl_->shared->loop = &loop;
  impl_->most = most;
  impl_->leave = leave;
}

VolumeCalls::~VolumeCalls() { close(); }

std::shared_ptr<VolumeCalls::Call> VolumeCalls::begin(std::set<std::string> keys, Work work,
                                                      std::function<void()> done) {
  auto call = std::make_shared<Call>();
  impl_->entries.push_back({.call = call, .keys = std::move(keys), .work = std::move(work), .done = std::move(done)});
  impl_->advance();
  return call;
}

bool VolumeCalls::give_up(const Call& call) {
  return std::erase_if(impl_->entries, [&](const auto& entry) { return entry.call.get() == &call && !entry.runs; }) > 0;
}

void VolumeCalls::close() {
  impl_->entries.clear();
  std::unique_lock lock(impl_->shared->mutex);
  impl_->shared->loop = nullptr;
  impl_->shared->ended.wait_for(lock, impl_->leave, [this] { return impl_->shared->running == 0; });
}

}  // namespace gantry::agent
