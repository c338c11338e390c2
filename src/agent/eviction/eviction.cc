// SPDX-License-Identifier: Apache-2.0
#include "agent/eviction/eviction.h"

#include <algorithm>
#include <utility>

#include "agent/event_recorder.h"
#include "base/log.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

using std::chrono::steady_clock;

// Of pods that a hard threshold or a limit evicts.
constexpr std::chrono::seconds kShortGrace{1};
// For which a pod that was evicted is waited for, beyond its grace, before the node is measured again.
constexpr std::chrono::seconds kPodEnd{30};

bool stays(const PodToMeasure& pod) { return pod.is_static || is_critical(*pod.pod); }

}  // namespace

struct Evictions::Impl : std::enable_shared_from_this<Impl> {
  Impl(Loop& l, std::shared_ptr<EvictionMeter> m, EvictionConfig c, Hands h)
      : loop(l), meter(std::move(m)), config(std::move(c)), hands(std::move(h)), thresholds(config), wake(l) {}

  static Task<> run(std::shared_ptr<Impl> self);
  static Task<bool> look(std::shared_ptr<Impl> self);
  Task<bool> measure();
  Task<bool> enforce_limits();
  Task<bool> relieve(Shortage shortage);
  Task<bool> is_still_short(const Shortage& shortage);
  DiskPart part_of(const Shortage& shortage) const;
  Task<> wait_for_end();
  bool has_thresholds() const { return !config.hard.empty() || !config.soft.empty(); }
  void evict(const PodToMeasure& pod, PodEviction eviction);

  Loop& loop;
  const std::shared_ptr<EvictionMeter> meter;
  const EvictionConfig config;
  const Hands hands;
  Thresholds thresholds;
  Event wake;
  std::string evicted;      // the last one's uid
  Duration grace{};         // and what it was given
  bool gives_back = false;  // it was evicted for what it has on the disk
  bool images_apart = false;
  bool stopped = false;
};

Task<bool> Evictions::Impl::measure() {
  if (!has_thresholds()) co_return false;
  auto readings = co_await meter->node();
  if (stopped) co_return false;
  if (!readings) {
    log::warning("what is left of this node can't be measured, retrying", {{"error", readings.error()}});
    co_return false;
  }
  images_apart = readings->images_apart;
  const NodePressures before = thresholds.pressures();
  thresholds.look(levels_of(*readings), steady_clock::now().time_since_epoch());
  const NodePressures now = thresholds.pressures();
  if (now == before) co_return true;
  log::info("what the node is short of", {{"memory", now.memory}, {"disk", now.disk}, {"processes", now.pids}});
  if (hands.pressures_changed) hands.pressures_changed();
  co_return true;
}

void Evictions::Impl::evict(const PodToMeasure& pod, PodEviction eviction) {
  const auto& metadata = pod.pod->metadata();
  log::warning(
      "evicting a pod",
      {{"pod", cat(metadata.namespace_(), "/", metadata.name())}, {"uid", pod.uid}, {"why", eviction.message}});
  if (hands.events != nullptr) hands.events->record(*pod.pod, EventType::kWarning, "Evicted", eviction.message);
  evicted = pod.uid;
  grace = eviction.grace;
  hands.evict(pod.uid, eviction);
}

// Of pods that have limits on disk, and nobody else is measured for them.
Task<bool> Evictions::Impl::enforce_limits() {
  std::vector<PodToMeasure> limited = hands.pods();
  std::erase_if(limited, [](const PodToMeasure& one) { return stays(one) || !has_disk_limits(*one.pod); });
  if (limited.empty()) co_return false;
  const auto uses = co_await meter->pods(limited, true);
  if (stopped) co_return false;
  bool any = false;
  for (const auto& pod : limited) {
    auto use = uses.find(pod.uid);
    if (use == uses.end()) continue;
    auto why = beyond_own_limits(*pod.pod, use->second);
    if (!why) continue;
    gives_back = true;
    evict(pod, {.message = std::move(*why), .grace = kShortGrace});
    any = true;
  }
  co_return any;
}

DiskPart Evictions::Impl::part_of(const Shortage& shortage) const {
  if (!images_apart) return DiskPart::kAll;
  return shortage.signal.starts_with("imagefs.") ? DiskPart::kImages : DiskPart::kNode;
}

// When all was removed that nobody needs.
Task<bool> Evictions::Impl::is_still_short(const Shortage& shortage) {
  co_await hands.reclaim_disk(part_of(shortage) != DiskPart::kNode);
  if (stopped) co_return false;
  const auto readings = co_await meter->node();
  if (stopped || !readings) co_return false;
  co_return thresholds.is_short_of(shortage.signal, levels_of(*readings)) &&
      (evicted.empty() || hands.has_given_back(evicted));
}

Task<bool> Evictions::Impl::relieve(Shortage shortage) {
  const std::string resource(resource_of(shortage.signal));
  log::warning("the node is short of something",
               {{"signal", shortage.signal}, {"available", shortage.available}, {"threshold", shortage.threshold}});
  if (hands.events != nullptr) {
    hands.events->record_node(EventType::kWarning, "EvictionThresholdMet", cat("Attempting to reclaim ", resource));
  }
  const bool is_disk = resource == "ephemeral-storage" || resource == "inodes";
  if (is_disk && !co_await is_still_short(shortage)) co_return false;
  std::vector<PodToMeasure> pods = hands.pods();
  std::erase_if(pods, stays);
  if (pods.empty()) co_return false;
  const auto uses = co_await meter->pods(pods, is_disk);
  // Without them it would be the first one that comes.
  if (stopped || uses.empty()) co_return false;
  std::vector<PodWithUse> ranked;
  for (const auto& pod : pods) {
    auto use = uses.find(pod.uid);
    ranked.push_back({pod.pod.get(), use == uses.end() ? nullptr : &use->second});
  }
  rank(&ranked, resource, part_of(shortage));
  const auto first = std::ranges::find(pods, ranked.front().pod, [](const auto& one) { return one.pod.get(); });
  const Duration grace = shortage.is_hard ? Duration(kShortGrace) : std::chrono::seconds(config.max_pod_grace_seconds);
  gives_back = is_disk;
  evict(*first, {.message = eviction_message(ranked.front(), shortage), .is_disruption = true, .grace = grace});
  co_return true;
}

// One resource and one pod at a time: what a pod was worth is seen when it has ended.
Task<bool> Evictions::Impl::look(std::shared_ptr<Impl> self) {
  const bool is_measured = co_await self->measure();
  if (self->stopped) co_return false;
  if (co_await self->enforce_limits()) co_return true;
  if (self->stopped || !is_measured || self->thresholds.shortages().empty()) co_return false;
  const std::vector<Shortage> shortages = self->thresholds.shortages();
  for (const Shortage& shortage : shortages) {
    if (co_await self->relieve(shortage)) co_return true;
    if (self->stopped) break;
  }
  co_return false;
}

Task<> Evictions::Impl::wait_for_end() {
  const auto until = steady_clock::now() + grace + kPodEnd;
  while (!stopped && steady_clock::now() < until) {
    wake.reset();
    if (gives_back ? hands.has_given_back(evicted) : hands.has_ended(evicted)) co_return;
    (void)co_await wake.wait_for(until - steady_clock::now());
  }
}

Task<> Evictions::Impl::run(std::shared_ptr<Impl> self) {
  bool is_first = true;
  while (!self->stopped) {
    const auto next = steady_clock::now() + self->config.period;
    while (!self->stopped && !is_first && steady_clock::now() < next) {
      self->wake.reset();
      (void)co_await self->wake.wait_for(next - steady_clock::now());
    }
    is_first = false;
    while (!self->stopped && co_await look(self)) co_await self->wait_for_end();
  }
}

Evictions::Evictions(Loop& loop, std::shared_ptr<EvictionMeter> meter, EvictionConfig config, Hands hands)
    : impl_(std::make_shared<Impl>(loop, std::move(meter), std::move(config), std::move(hands))) {}

Evictions::~Evictions() { stop(); }

Task<> Evictions::measure() {
  auto impl = impl_;
  (void)co_await impl->measure();
}

Task<bool> Evictions::look() { return Impl::look(impl_); }

void Evictions::start() { impl_->loop.spawn(Impl::run(impl_)); }

void Evictions::stop() {
  impl_->stopped = true;
  impl_->wake.set();
}

void Evictions::hear() { impl_->wake.set(); }

NodePressures Evictions::pressures() const { return impl_->thresholds.pressures(); }

}  // namespace gantry::agent
