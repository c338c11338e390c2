// SPDX-License-Identifier: Apache-2.0
#include "agent/shutdown/node_shutdown.h"

#include <algorithm>
#include <set>
#include <utility>

#include "agent/event_recorder.h"
#include "base/log.h"

namespace gantry::agent {
namespace {

using std::chrono::steady_clock;

// For which pods that have no time at all are waited for, while they are killed.
constexpr std::chrono::seconds kLeastWait{2};
// For which the API server is waited for when pods have ended. It may have been one of them.
constexpr std::chrono::seconds kTell{5};
// For which it is waited for at the beginning: to say what pods there are.
constexpr std::chrono::seconds kLearn{10};
constexpr std::chrono::hours kEver{24 * 366};

}  // namespace

struct NodeShutdown::Impl {
  Impl(Loop& l, std::vector<ShutdownPeriod> p, Hands h)
      : loop(l), periods(std::move(p)), hands(std::move(h)), changed(l) {}

  static Task<> end_pods(std::shared_ptr<Impl> self, unsigned turn);
  static Task<> end_group(std::shared_ptr<Impl> self, unsigned turn, std::size_t group);
  void hear_logind(bool is_on);
  // That are not told to end yet.
  std::vector<std::string> pods_of(std::size_t group) const;
  bool has_untold() const;
  bool have_ended(const std::vector<std::string>& uids) const;
  bool is_over(unsigned of) const { return stopped || turn != of; }
  // False: it did not come to hold.
  Task<bool> wait(unsigned of, steady_clock::time_point until, const std::function<bool()>& holds);

  Loop& loop;
  const std::vector<ShutdownPeriod> periods;
  const Hands hands;
  std::unique_ptr<ShutdownLock> lock;
  bool is_shutting_down = false;
  unsigned turn = 0;           // counts shutdowns and their ends
  std::set<std::string> told;  // uids of pods that are to end, in this one
  bool stopped = false;
  Event changed;
};

std::vector<std::string> NodeShutdown::Impl::pods_of(std::size_t group) const {
  std::vector<std::string> uids;
  for (const auto& pod : hands.pods()) {
    if (period_of(periods, pod.priority) == group && !told.contains(pod.uid)) uids.push_back(pod.uid);
  }
  return uids;
}

bool NodeShutdown::Impl::has_untold() const {
  return std::ranges::any_of(hands.pods(), [this](const auto& pod) { return !told.contains(pod.uid); });
}

bool NodeShutdown::Impl::have_ended(const std::vector<std::string>& uids) const {
  return std::ranges::none_of(hands.pods(),
                              [&](const auto& pod) { return std::ranges::find(uids, pod.uid) != uids.end(); });
}

Task<bool> NodeShutdown::Impl::wait(unsigned of, steady_clock::time_point until, const std::function<bool()>& holds) {
  while (!is_over(of) && !holds()) {
    const auto left = until - steady_clock::now();
    if (left <= left.zero()) co_return false;
    changed.reset();
    (void)co_await changed.wait_for(left);
  }
  co_return !is_over(of);
}

Task<> NodeShutdown::Impl::end_group(std::shared_ptr<Impl> self, unsigned turn, std::size_t group) {
  const std::vector<std::string> uids = self->pods_of(group);
  if (uids.empty()) co_return;
  const ShutdownPeriod& period = self->periods[group];
  log::warning("ending pods, as the machine is shutting down",
               {{"pods", uids.size()},
                {"priority", period.priority},
                {"seconds", std::chrono::floor<std::chrono::seconds>(period.period).count()}});
  const auto began = steady_clock::now();
  for (const auto& uid : uids) {
    self->told.insert(uid);
    self->hands.end(uid, {.reason = "Terminated",
                          .message = "Pod was terminated in response to imminent node shutdown.",
                          .is_disruption = true,
                          .grace = period.period});
  }
  const auto until = began + std::max<Duration>(period.period, kLeastWait);
  if (!co_await self->wait(turn, until, [self, uids] { return self->have_ended(uids); })) {
    if (!self->is_over(turn)) log::warning("not all of them have ended in time", {{"priority", period.priority}});
    co_return;
  }
  const auto told_until = std::min(until, steady_clock::now() + kTell);
  (void)co_await self->wait(turn, told_until, [self, uids] { return std::ranges::all_of(uids, self->hands.is_told); });
}

Task<> NodeShutdown::Impl::end_pods(std::shared_ptr<Impl> self, unsigned turn) {
  (void)co_await self->wait(turn, steady_clock::now() + kLearn, self->hands.are_known);
  while (!self->is_over(turn)) {
    for (std::size_t group = 0; group < self->periods.size() && !self->is_over(turn); ++group) {
      co_await end_group(self, turn, group);
    }
    if (self->is_over(turn)) co_return;
    log::info("the machine may go down");
    self->lock->release();
    (void)co_await self->wait(turn, steady_clock::now() + kEver, [self] { return self->has_untold(); });
  }
}

void NodeShutdown::Impl::hear_logind(bool is_on) {
  is_shutting_down = is_on;
  ++turn;
  told.clear();
  log::warning(is_on ? "the machine is shutting down" : "the machine is not shutting down any more");
  if (hands.events != nullptr) {
    hands.events->record_node(
        EventType::kNormal, "NodeShutdown",
        is_on ? "Shutdown manager detected shutdown event" : "Shutdown manager detected shutdown cancellation");
  }
  changed.set();
  if (hands.changed) hands.changed();
}

NodeShutdown::NodeShutdown(Loop& loop, Pool& disk, std::vector<ShutdownPeriod> periods, ShutdownLock::Options lock,
                           Hands hands)
    : impl_(std::make_shared<Impl>(loop, std::move(periods), std::move(hands))) {
  if (impl_->periods.empty()) return;
  lock.delay = sum_of(impl_->periods);
  impl_->lock =
      std::make_unique<ShutdownLock>(loop, disk, std::move(lock), [weak = std::weak_ptr<Impl>(impl_)](bool on) {
        auto impl = weak.lock();
        if (!impl || impl->stopped || impl->is_shutting_down == on) return;
        impl->hear_logind(on);
        if (on) impl->loop.spawn(Impl::end_pods(impl, impl->turn));
      });
}

NodeShutdown::~NodeShutdown() { stop(); }

void NodeShutdown::start() {
  if (impl_->lock) impl_->lock->start();
}

void NodeShutdown::stop() {
  impl_->stopped = true;
  impl_->changed.set();
  if (impl_->lock) impl_->lock->stop();
}

bool NodeShutdown::is_shutting_down() const { return impl_->is_shutting_down; }

void NodeShutdown::hear() { impl_->changed.set(); }

}  // namespace gantry::agent
