// SPDX-License-Identifier: Apache-2.0
#include "cri/sandbox_pool.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "cri/ids.h"
#include "cri/retry.h"

namespace gantry::cri {
namespace {
constexpr Duration kLastRetry = std::chrono::minutes(1);
}  // namespace

void SandboxPool::fill(Duration delay) {
  while (!draining_.is_set() && ready_.size() + making_ < node_.pool_size) {
    ++making_;
    none_making_.reset();
    node_.loop.spawn(add_one(delay));
  }
}

Task<> SandboxPool::add_one(Duration delay) {
  while (!(delay > Duration::zero() ? co_await draining_.wait_for(delay) : draining_.is_set())) {
    ++trying_;
    Result<MadeSandbox> made = co_await make_one();
    --trying_;
    if (made) {
      if (draining_.is_set()) {
        co_await end(std::move(*made));
      } else {
        watch(*made);
        ready_.push_back(std::move(*made));
      }
      tried_.set();
      break;
    }
    tried_.set();
    delay = std::clamp<Duration>(delay * 2, kFirstRetry, kLastRetry);
    log::warning("no sandbox for the pool",
                 {{"error", made.error()}, {"retry_s", std::chrono::ceil<std::chrono::seconds>(delay).count()}});
  }
  --making_;
  if (making_ == 0) none_making_.set();
}

void SandboxPool::watch(const MadeSandbox& made) {
  // The client must not be destroyed within its own call.
  auto ended = [this, id = made.id] { node_.loop.post([this, id] { node_.loop.spawn(drop(id)); }); };
  // One whose connection ended is as good as dead: another one takes less than it to be asked again.
  made.shim->observe({.exited = [](const shim::ExitedEvent&) {}, .ended = ended, .lost = ended});
}

Task<> SandboxPool::drop(std::string id) {
  auto found = std::ranges::find(ready_, id, &MadeSandbox::id);
  if (found == ready_.end()) co_return;
  log::warning("a shim of the pool ended", {{"sandbox", id}});
  MadeSandbox gone = std::move(*found);
  ready_.erase(found);
  co_await end(std::move(gone));
  fill(kFirstRetry);  // not at once: what ended it may end the next one too
}

Task<> SandboxPool::end(MadeSandbox made) {
  made.shim->observe({.exited = [](const shim::ExitedEvent&) {}, .ended = [] {}});
  auto released = co_await maker_.release(made.id);
  Status removed = released ? co_await maker_.remove_folders(made.id) : Status();
  for (auto* undone : {&released, &removed}) {
    if (!*undone) log::warning("ending a sandbox of the pool", {{"sandbox", made.id}, {"error", undone->error()}});
  }
}

std::optional<MadeSandbox> SandboxPool::take_ready() {
  while (!ready_.empty()) {
    MadeSandbox made = std::move(ready_.front());
    ready_.pop_front();
    if (made.shim->is_connected() && made.mtu == node_.network.mtu()) {
      fill();
      return made;
    }
    node_.loop.spawn(end(std::move(made)));
  }
  return {};
}

Task<Result<MadeSandbox>> SandboxPool::take() {
  if (auto ready = take_ready()) co_return std::move(*ready);
  fill();
  auto made = co_await make_one();
  // The last addresses may be those of sandboxes that are on their way into the pool.
  while (!made && made.error().is_resource()) {
    if (auto ready = take_ready()) co_return std::move(*ready);
    if (trying_ == 0) break;
    tried_.reset();
    co_await tried_.wait();
  }
  co_return made;
}

Task<Result<MadeSandbox>> SandboxPool::make_one() {
  auto id = new_id();
  if (!id) co_return std::unexpected(std::move(id.error()));
  co_return co_await maker_.make(std::move(*id), SandboxKind{}, true);
}

Task<> SandboxPool::drain() {
  drained_ = true;
  return hold();
}

void SandboxPool::go_on() {
  if (drained_) return;
  draining_.reset();
  fill();
}

Task<> SandboxPool::hold() {
  draining_.set();
  while (!ready_.empty()) {
    MadeSandbox made = std::move(ready_.front());
    ready_.pop_front();
    co_await end(std::move(made));
  }
  if (making_ > 0) co_await none_making_.wait();
}

}  // namespace gantry::cri
