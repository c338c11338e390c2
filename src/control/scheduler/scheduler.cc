// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/scheduler.h"

#include <algorithm>
#include <type_traits>

#include "api/codec.h"
#include "api/json.h"
#include "api/kinds/core/same_map.h"
#include "base/log.h"
#include "base/text.h"
#include "control/controllers/node_taints.h"
#include "control/controllers/pods.h"
#include "control/controllers/volume_matching.h"
#include "control/scheduler/volume_requests.h"
#include "kubernetes/apps/v1/replica_set.pb.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"
#include "kubernetes/core/v1/object_reference.pb.h"
#include "kubernetes/core/v1/replication_controller.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/policy/v1/policy.pb.h"
#include "kubernetes/storage/v1/volume_attachment.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control::scheduling {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;
using api::Value;
using Attachment = k8s::io::api::storage::v1::VolumeAttachment;
using Budget = k8s::io::api::policy::v1::PodDisruptionBudget;

namespace {

constexpr std::size_t kMostBindings = 64;
// After so many pods others of this thread have their turn.
constexpr unsigned kAtATime = 8;
constexpr Duration kShortest = std::chrono::milliseconds(1);
constexpr Duration kKnown = std::chrono::milliseconds(100);
constexpr Duration kLongestMaking = std::chrono::minutes(10);

bool is_ours(const core::Pod& pod) {
  return pod.spec().scheduler_name() == kProfile && !pod.metadata().has_deletion_timestamp();
}
bool is_gated(const core::Pod& pod) { return !pod.spec().scheduling_gates().empty(); }

// What has happened, as upstream's metrics say it: "NodeAdd".
std::string event_of(std::string_view kind, const api::Informer::Change& change) {
  return cat(kind, change.before == nullptr ? "Add" : change.now == nullptr ? "Delete" : "Update");
}

bool same_labels(const core::Node& a, const core::Node& b) {
  return api::same_map(a.metadata().labels(), b.metadata().labels());
}

// Whether more pods may fit on the node than before.
bool may_take_more(const core::Node& before, const core::Node& now) {
  return before.spec().unschedulable() != now.spec().unschedulable() || !same_labels(before, now) ||
         !same_taints(before, now) ||
         !api::same_map(before.status().allocatable(), now.status().allocatable(),
                        [](const auto& a, const auto& b) { return a.string() == b.string(); });
}

const core::PodCondition* scheduled_condition(const core::Pod& pod) {
  const auto& conditions = pod.status().conditions();
  const auto found = std::ranges::find(conditions, "PodScheduled", &core::PodCondition::type);
  return found == conditions.end() ? nullptr : &*found;
}

bool shares_claim(const PodInfo& pod, const PodInfo& other) {
  return std::ranges::any_of(pod.claims, [&](const PodClaim& claim) {
    return std::ranges::find(other.claims, claim.key, &PodClaim::key) != other.claims.end();
  });
}

bool is_about_volumes(const PodInfo&, RuleSet refused_by) {
  return refused_by.has(RuleId::kVolumes) || refused_by.has(RuleId::kVolumeLimits) ||
         refused_by.has(RuleId::kVolumeZone);
}

SpreadGroups::Selector labels_of(const google::protobuf::Map<std::string, std::string>& labels) {
  SpreadGroups::Selector selector;
  selector.mutable_match_labels()->insert(labels.begin(), labels.end());
  return selector;
}

bool is_spread_with(const PodInfo& pod, const PodInfo& other) {
  return pod.ns() == other.ns() && std::ranges::any_of(pod.spread, [&](const SpreadConstraint& constraint) {
           return constraint.pods.matches_map(other.pod->metadata().labels());
         });
}

}  // namespace

Scheduler::Scheduler(ControllerParts parts, std::function<Duration()> steady, SchedulerMetrics& metrics)
    : parts_(std::move(parts)),
      steady_(std::move(steady)),
      metrics_(metrics),
      events_(parts_, kProfile),
      queue_([&metrics](std::string_view event, std::string_view queue) { metrics.count_incoming(event, queue); }),
      explanations_(parts_.queues(), "scheduler_unplaced_pod", [this](std::string key) { return explain(key); }, 4),
      awake_(parts_.here),
      storage_changed_(parts_.here) {
  turns_.chance.seed(static_cast<unsigned>(steady_().count()));
  parts_.informers.of<core::Namespace>().on_change([this](const api::Informer::Change& c) { see_namespace(c); });
  parts_.informers.of<core::Node>().on_change([this](const api::Informer::Change& change) { see_node(change); });
  follow_storage();
  follow_groups();
  parts_.informers.of<Budget>().on_change([this](const api::Informer::Change& change) {
    const auto& budget = static_cast<const Budget&>(change.object());
    const std::string key = api::object_key(budget.metadata().namespace_(), budget.metadata().name());
    cluster_.budgets.erase(key);
    if (change.now != nullptr) cluster_.budgets.emplace(key, read_budget(budget));
  });
  parts_.informers.of<core::Pod>().on_change([this](const api::Informer::Change& change) {
    see_pod(std::static_pointer_cast<const core::Pod>(change.before),
            std::static_pointer_cast<const core::Pod>(change.now));
  });
}

void Scheduler::start() {
  explanations_.start();
  parts_.here.spawn(run());
}

void Scheduler::stop() {
  is_stopped_ = true;
  cluster_ = {};
  queue_ = SchedulingQueue();
  for (const auto& [key, by] : std::exchange(refused_, {})) metrics_.count_refused(by, -1);
  gated_.clear();
  tell_pending();
  assumed_.clear();
  unplaced_.clear();
  storage_changed_.set();
  awake_.set();
}

void Scheduler::see_pod(const PodPtr& before, PodPtr now) {
  const bool is_another = before != nullptr && now != nullptr && before->metadata().uid() != now->metadata().uid();
  if (now == nullptr || is_another) see_gone(key_of(*before));
  if (now == nullptr) return;
  if (has_ended(*now)) {
    see_gone(key_of(*now));
  } else if (!now->spec().node_name().empty()) {
    see_placed(std::move(now));
  } else {
    see_waiting(is_another ? nullptr : before, std::move(now));
  }
}

void Scheduler::see_gone(const std::string& key) {
  queue_.remove(key);
  note_refused(key, {});
  gated_.erase(key);
  awake_.set();
  assumed_.erase(key);
  unplaced_.erase(key);
  end_nomination(key, "");
  const PodInfoPtr pod = cluster_.find_pod(key);
  if (pod == nullptr) return;
  wake_for_gone(*pod, cluster_.remove_pod(key));
}

void Scheduler::see_placed(PodPtr pod) {
  const std::string key = key_of(*pod);
  queue_.remove(key);
  note_refused(key, {});
  gated_.erase(key);
  unplaced_.erase(key);
  const bool was_assumed = assumed_.erase(key) > 0;
  const std::string node = pod->spec().node_name();
  end_nomination(key, node);
  const PodInfoPtr before = cluster_.find_pod(key);
  const bool is_changed = before == nullptr || differs(*before->pod, *pod);
  const PodInfoPtr now = before == nullptr ? read_pod(std::move(pod)) : read_again(*before, std::move(pod));
  const std::string last_node = cluster_.remove_pod(key);
  cluster_.put_pod(now, node);
  const bool is_elsewhere = last_node != node;
  if (!is_elsewhere && (!is_changed || was_assumed)) return;
  // Where it was there is room; and where it is, it may ask for less than before.
  if (before != nullptr) wake_for_gone(*before, last_node);
  wake_for_new(*now);
}

void Scheduler::see_waiting(const PodPtr& before, PodPtr pod) {
  const std::string key = key_of(*pod);
  const bool waits_for_gates = is_ours(*pod) && is_gated(*pod);
  if (!waits_for_gates) {
    gated_.erase(key);
  } else if (gated_.insert(key).second) {
    metrics_.count_incoming("UnscheduledPodAdd", "gated");
    awake_.set();
  }
  if (!is_ours(*pod) || waits_for_gates) {
    queue_.remove(key);
    note_refused(key, {});
    unplaced_.erase(key);
    end_nomination(key, "");
    return;
  }
  // What was said of it in its status changes nothing, but for the node that is kept for it.
  const bool may_fit_now = before == nullptr || differs(*before, *pod);
  const std::string last = before == nullptr ? "" : before->status().nominated_node_name();
  const std::string kept = pod->status().nominated_node_name();
  const PodInfoPtr info = read_pod(std::move(pod));
  if (!assumed_.contains(key)) {
    const std::string node = kept != last ? kept : cluster_.nominations.node_of(key);
    if (node.empty()) {
      end_nomination(key, "");
    } else {
      nominate(info, node);
    }
  }
  queue_.put(info, may_fit_now, steady_());
  awake_.set();
}

void Scheduler::see_node(const api::Informer::Change& change) {
  const auto* before = static_cast<const core::Node*>(change.before.get());
  const std::string& name = static_cast<const core::Node&>(change.object()).metadata().name();
  const auto is_counted_by_nodes = [](RuleSet refused_by) {
    return refused_by.has(RuleId::kTopologySpread) || refused_by.has(RuleId::kPodAffinity);
  };
  if (change.now == nullptr) {
    cluster_.remove_node(name);
    storage_changed_.set();  // who waits for a volume there waits in vain
    wake("NodeDelete", [&](const PodInfo& pod, RuleSet refused_by) {
      return is_counted_by_nodes(refused_by) || cluster_.nominations.node_of(pod.key) == name;
    });
    return;
  }
  const auto now = std::static_pointer_cast<const core::Node>(change.now);
  cluster_.put_node(now);
  if (before != nullptr && !may_take_more(*before, *now)) return;
  const NodeState& node = *cluster_.find_node(name);
  const bool is_elsewhere = before == nullptr || !same_labels(*before, *now);
  wake(event_of("Node", change), [&](const PodInfo& pod, RuleSet refused_by) {
    return (is_elsewhere && is_counted_by_nodes(refused_by)) || may_fit(pod, node) || may_be_helped(pod, node);
  });
}

void Scheduler::see_namespace(const api::Informer::Change& change) {
  if (change.now == nullptr) {
    cluster_.remove_namespace(static_cast<const core::Namespace&>(*change.before).metadata().name());
    return;
  }
  const auto* before = static_cast<const core::Namespace*>(change.before.get());
  auto now = std::static_pointer_cast<const core::Namespace>(change.now);
  const bool same = before != nullptr && api::same_map(before->metadata().labels(), now->metadata().labels());
  cluster_.put_namespace(std::move(now));
  if (same) return;
  wake(event_of("Namespace", change),
       [](const PodInfo&, RuleSet refused_by) { return refused_by.has(RuleId::kPodAffinity); });
}

void Scheduler::follow_storage() {
  const auto follow = [this]<typename M>(StorageState::ByName<M>& known, const auto& key_of) {
    const std::string kind = parts_.client.target<M>().kind;
    parts_.informers.of<M>().on_change([this, &known, key_of, kind](const api::Informer::Change& change) {
      const std::string key = key_of(static_cast<const M&>(change.object()));
      if (change.now == nullptr) {
        known.erase(key);
      } else {
        known[key] = std::static_pointer_cast<const M>(change.now);
      }
      storage_changed_.set();
      wake(event_of(kind, change), is_about_volumes);
    });
  };
  const auto name_of = [](const auto& object) { return object.metadata().name(); };
  follow(cluster_.storage.claims, [](const Claim& claim) {
    return api::object_key(claim.metadata().namespace_(), claim.metadata().name());
  });
  follow(cluster_.storage.volumes, name_of);
  follow(cluster_.storage.classes, name_of);
  follow(cluster_.storage.csi_nodes, name_of);
  parts_.informers.of<Attachment>().on_change([this](const api::Informer::Change& change) {
    auto& attached = cluster_.storage.attached;
    const auto entry_of = [](const api::Message& object) {
      const auto& spec = static_cast<const Attachment&>(object).spec();
      return std::pair(spec.node_name(), spec.source().persistent_volume_name());
    };
    if (change.before != nullptr) {
      const auto before = entry_of(*change.before);
      const auto [begin, end] = attached.equal_range(before.first);
      const auto found = std::find_if(begin, end, [&](const auto& each) { return each.second == before.second; });
      if (found != end) attached.erase(found);
    }
    if (change.now != nullptr) attached.insert(entry_of(*change.now));
    wake(event_of("VolumeAttachment", change), is_about_volumes);
  });
}

void Scheduler::follow_groups() {
  parts_.informers.of<core::Service>().on_change([this](const api::Informer::Change& change) {
    const auto& service = static_cast<const core::Service&>(change.object());
    const auto& metadata = service.metadata();
    if (change.now == nullptr) {
      cluster_.groups.remove_service(metadata.namespace_(), metadata.name());
    } else {
      cluster_.groups.put_service(metadata.namespace_(), metadata.name(), labels_of(service.spec().selector()));
    }
  });
  const auto follow = [this]<typename M>(std::type_identity<M>, const auto& selector_of) {
    const api::Target target = parts_.client.target<M>();
    parts_.informers.of<M>().on_change([this, target, selector_of](const api::Informer::Change& change) {
      const auto& object = static_cast<const M&>(change.object());
      const SpreadGroups::Owner owner{target.api_version(), target.kind, object.metadata().namespace_(),
                                      object.metadata().name()};
      if (change.now == nullptr) {
        cluster_.groups.remove_owner(owner);
      } else {
        cluster_.groups.put_owner(owner, selector_of(object));
      }
    });
  };
  const auto selector = [](const auto& object) { return object.spec().selector(); };
  follow(std::type_identity<core::ReplicationController>(),
         [](const auto& object) { return labels_of(object.spec().selector()); });
  follow(std::type_identity<apps::ReplicaSet>(), selector);
  follow(std::type_identity<apps::StatefulSet>(), selector);
}

void Scheduler::wake(std::string_view event, const SchedulingQueue::MayHelp& may_help) {
  queue_.wake(event, may_help, steady_());
  awake_.set();
}

void Scheduler::wake_for_new(const PodInfo& placed) {
  wake("AssignedPodAdd", [&](const PodInfo& pod, RuleSet refused_by) {
    const bool is_wanted =
        refused_by.has(RuleId::kPodAffinity) &&
        std::ranges::any_of(pod.required_affinity, [&](const auto& term) { return cluster_.selects(term, placed); });
    return is_wanted || (refused_by.has(RuleId::kTopologySpread) && is_spread_with(pod, placed));
  });
}

void Scheduler::wake_for_gone(const PodInfo& gone, const std::string& node_name) {
  const NodeState* node = cluster_.find_node(node_name);
  const bool is_known = node != nullptr && node->node != nullptr;
  wake("AssignedPodDelete", [&](const PodInfo& pod, RuleSet refused_by) {
    const auto avoids = [&](const PodInfo& who, const PodInfo& whom) {
      return std::ranges::any_of(who.required_anti_affinity,
                                 [&](const auto& term) { return cluster_.selects(term, whom); });
    };
    if (refused_by.has(RuleId::kPodAffinity) && (avoids(pod, gone) || avoids(gone, pod))) return true;
    if (refused_by.has(RuleId::kTopologySpread) && is_spread_with(pod, gone)) return true;
    if (refused_by.has(RuleId::kVolumes) && shares_claim(pod, gone)) return true;
    if (refused_by.has(RuleId::kVolumeLimits) && !gone.claims.empty()) return true;
    const bool is_kept = cluster_.nominations.node_of(pod.key) == node_name;
    if (is_kept && is_known && !awaits_victims(pod, *node)) return true;
    const bool is_about_room = refused_by.has(RuleId::kResources) || refused_by.has(RuleId::kHostPorts);
    return is_about_room && is_known && (may_fit(pod, *node) || may_be_helped(pod, *node));
  });
}

void Scheduler::nominate(const PodInfoPtr& pod, const std::string& node) {
  end_nomination(pod->key, node);
  cluster_.nominations.put(pod, node);
}

void Scheduler::end_nomination(const std::string& key, const std::string& node) {
  const Nomination last = cluster_.nominations.remove(key);
  if (last.pod != nullptr && last.node != node) wake_for_gone(*last.pod, last.node);
}

Task<> Scheduler::run() {
  for (unsigned count = 1; !is_stopped_; ++count) {
    awake_.reset();
    const PodInfoPtr pod = bindings_ < kMostBindings ? queue_.take(steady_()) : nullptr;
    tell_pending();
    if (pod != nullptr) {
      const bool is_placed = schedule(pod);
      if (!is_placed || count % kAtATime == 0) co_await parts_.here.sleep_for(Duration::zero());
      continue;
    }
    const std::optional<Duration> next = bindings_ < kMostBindings ? queue_.next_time() : std::nullopt;
    if (next) {
      (void)co_await awake_.wait_for(std::max(*next - steady_(), kShortest));
    } else {
      co_await awake_.wait();
    }
  }
}

void Scheduler::note_refused(const std::string& key, RuleSet by) {
  if (const auto found = refused_.find(key); found != refused_.end()) {
    metrics_.count_refused(found->second, -1);
    refused_.erase(found);
  }
  if (by.is_empty()) return;
  metrics_.count_refused(by, 1);
  refused_.emplace(key, by);
}

void Scheduler::tell_pending() {
  metrics_.set_pending({.active = queue_.active(),
                        .backoff = queue_.pausing(),
                        .unschedulable = queue_.resting(),
                        .gated = gated_.size()});
}

bool Scheduler::schedule(const PodInfoPtr& pod) {
  note_refused(pod->key, {});
  const Duration began = steady_();
  Placement placement = place(*pod, cluster_, &turns_);
  metrics_.count_choice(steady_() - began);
  if (placement.node.empty()) {
    refuse(pod, std::move(placement));
    metrics_.count_attempt(SchedulerMetrics::Result::kUnschedulable, steady_() - began);
    return false;
  }
  unplaced_.erase(pod->key);
  end_nomination(pod->key, placement.node);
  cluster_.put_pod(pod, placement.node);
  assumed_[pod->key] = pod;
  wake_for_new(*pod);
  ++bindings_;
  auto volumes = choose_volumes(*pod, cluster_, *cluster_.find_node(placement.node));
  parts_.here.spawn(
      bind(pod, std::move(placement.node), std::move(volumes).value_or(std::vector<VolumeChoice>()), began));
  return true;
}

bool Scheduler::is_assumed(const PodInfoPtr& pod) const {
  const auto found = assumed_.find(pod->key);
  return found != assumed_.end() && found->second == pod;
}

void Scheduler::give_up(const PodInfoPtr& pod) {
  if (!is_assumed(pod)) return;
  assumed_.erase(pod->key);
  wake_for_gone(*pod, cluster_.remove_pod(pod->key));
  queue_.retry(pod->key, steady_());
}

void Scheduler::give_turn_back() {
  --bindings_;
  awake_.set();
}

// The pod has its place on the node meanwhile; it is not kept for ever for a volume that does not come.
Task<bool> Scheduler::bring_volumes(PodInfoPtr pod, std::string node, std::vector<VolumeChoice> volumes) {
  bool are_asked_for = true;
  for (std::size_t i = 0; i < volumes.size() && are_asked_for; ++i) {
    are_asked_for = co_await bring_volume(parts_.client, volumes[i], node);
  }
  // Others are not held up by the time that it takes.
  give_turn_back();
  if (!are_asked_for) co_return false;
  const Duration until = steady_() + kLongestMaking;
  while (is_assumed(pod) && !is_stopped_ && steady_() < until) {
    const NodeState* place = cluster_.find_node(node);
    if (place == nullptr || place->node == nullptr) co_return false;
    if (has_volumes(*pod, cluster_, *place)) co_return true;
    const auto declined = [&](const VolumeChoice& choice) { return is_declined(choice, cluster_.storage, node); };
    if (std::ranges::any_of(volumes, declined)) co_return false;
    storage_changed_.reset();
    (void)co_await storage_changed_.wait_for(until - steady_());
  }
  co_return false;
}

Task<> Scheduler::bind(PodInfoPtr pod, std::string node, std::vector<VolumeChoice> volumes, Duration began) {
  // Once it is bound, the queue forgets it.
  const SchedulingQueue::Attempts attempts = queue_.attempts_of(pod->key);
  const auto count = [&](SchedulerMetrics::Result result) { metrics_.count_attempt(result, steady_() - began); };
  if (!volumes.empty()) {
    awaiting_volumes_.insert(pod->key);
    const bool are_there = co_await bring_volumes(pod, node, std::move(volumes));
    awaiting_volumes_.erase(pod->key);
    if (!are_there) {
      count(SchedulerMetrics::Result::kError);
      give_up(pod);
      co_return;
    }
    ++bindings_;
  }
  const auto& metadata = pod->pod->metadata();
  core::Binding binding;
  binding.mutable_metadata()->set_namespace_(metadata.namespace_());
  binding.mutable_metadata()->set_name(metadata.name());
  binding.mutable_metadata()->set_uid(metadata.uid());
  binding.mutable_target()->set_kind("Node");
  binding.mutable_target()->set_name(node);
  const std::string path =
      parts_.client.target<core::Pod>().path(metadata.namespace_(), metadata.name(), "binding");
  const api::Answer<Value> done =
      co_await parts_.client.document("POST", path, "application/json", api::write_json(api::encode(binding)));
  give_turn_back();
  if (done) {
    count(SchedulerMetrics::Result::kScheduled);
    metrics_.count_bound(attempts.count, steady_() - attempts.first);
    events_.normal(events_.about(*pod->pod), "Scheduled", cat("Successfully assigned ", pod->key, " to ", node));
    co_return;
  }
  // It may have been bound all the same: then that is told by the informer, and what is asked again is refused.
  if (done.error().is_cancelled()) co_return;
  if (!is_assumed(pod)) co_return;
  count(SchedulerMetrics::Result::kError);
  give_up(pod);
  if (done.error().is_not_found() || done.error().is_conflict()) co_return;
  log::warning("a pod could not be given its node, retrying",
               {{"pod", pod->key}, {"node", node}, {"error", done.error().message}});
  events_.warning(events_.about(*pod->pod), "FailedScheduling", cat("binding rejected: ", done.error().message));
}

void Scheduler::refuse(const PodInfoPtr& pod, Placement placement) {
  Preemption preemption;
  std::string reason = std::move(placement.reason);
  if (!cluster_.nodes().empty()) {
    metrics_.count_preemption();
    preemption = preempt(*pod, placement, cluster_, parts_.now().seconds, &turns_);
    if (!preemption.node.empty()) metrics_.count_victims(preemption.victims.size());
    reason += cat(" ", preemption.told);
  }
  queue_.refuse(pod->key, placement.refused_by, steady_());
  note_refused(pod->key, placement.refused_by);
  events_.warning(events_.about(*pod->pod), "FailedScheduling", reason);
  unplaced_[pod->key] = std::move(reason);
  if (preemption.node.empty()) {
    if (!preemption.keeps_nomination) end_nomination(pod->key, "");
    explanations_.add(pod->key);
    return;
  }
  nominate(pod, preemption.node);
  queue_.hold(pod->key);
  parts_.here.spawn([](Scheduler& here, PodInfoPtr pod, Preemption preemption) -> Task<> {
    const bool done = co_await here.make_room(pod, std::move(preemption));
    if (here.is_stopped_) co_return;
    here.queue_.release(pod->key, !done, here.steady_());
    here.awake_.set();
  }(*this, pod, std::move(preemption)));
}

bool Scheduler::is_nominated(const PodInfo& pod, const std::string& node) const {
  const auto now = parts_.informers.of<core::Pod>().find_key(pod.key);
  return !is_stopped_ && now != nullptr && now->metadata().uid() == pod.uid() &&
         cluster_.nominations.node_of(pod.key) == node;
}

Task<bool> Scheduler::make_room(PodInfoPtr pod, Preemption plan) {
  for (;;) {
    const api::Answer<void> told = co_await tell(pod->key);
    if (!is_nominated(*pod, plan.node)) co_return false;
    if (told) break;
    if (!told.error().is_conflict()) {
      if (!told.error().is_cancelled()) {
        log::warning("a pod could not be told for which node others shall leave, retrying",
                     {{"pod", pod->key}, {"node", plan.node}, {"error", told.error().message}});
      }
      co_return false;
    }
    // What somebody else changed is known soon.
    co_await parts_.here.sleep_for(kKnown);
  }
  // Who is less important, and was to come there, finds another place sooner than it would find out.
  for (const PodInfoPtr& other : cluster_.nominations.below(*pod, plan.node)) {
    cluster_.nominations.remove(other->key);
    explanations_.add(other->key);
    queue_.wake_one("UnscheduledPodUpdate", other->key, steady_());
  }
  awake_.set();
  for (const PodInfoPtr& victim : plan.victims) {
    const bool done = co_await evict(victim, pod->uid(), plan.node);
    if (!done || !is_nominated(*pod, plan.node)) co_return false;
  }
  co_return true;
}

Task<bool> Scheduler::evict(PodInfoPtr victim, std::string uid, std::string node) {
  const auto pod = parts_.informers.of<core::Pod>().find_key(victim->key);
  if (pod == nullptr || pod->metadata().uid() != victim->uid() || pod->metadata().has_deletion_timestamp()) {
    co_return true;
  }
  const std::string told = cat("Preempted by pod ", uid, " on node ", node);
  if (is_assumed(victim) && awaiting_volumes_.contains(victim->key)) {
    // It need not be deleted: it is not there yet.
    give_up(victim);
    storage_changed_.set();
    events_.normal(events_.about(*pod), "Preempted", cat(told, " (in kube-scheduler memory)."));
    co_return true;
  }
  const auto& metadata = pod->metadata();
  Value condition =
      Value::object({{"type", "DisruptionTarget"},
                     {"status", "True"},
                     {"reason", "PreemptionByScheduler"},
                     {"message", cat(kProfile, ": preempting to accommodate a higher priority pod")},
                     {"lastTransitionTime", api::format_rfc3339(parts_.now().seconds)}});
  if (metadata.generation() > 0) condition["observedGeneration"] = metadata.generation();
  const auto failed = [&](const api::ApiError& error) {
    if (error.is_not_found() || error.is_conflict()) return false;
    if (!error.is_cancelled()) {
      log::warning("a pod that is to leave for a more important one could not be deleted, retrying",
                   {{"pod", victim->key}, {"node", node}, {"error", error.message}});
    }
    return true;
  };
  const auto marked = co_await parts_.client.patch<core::Pod>(
      metadata.namespace_(), metadata.name(), api::PatchForm::kStrategicMerge,
      Value::object({{"metadata", Value::object({{"uid", metadata.uid()}})},
                     {"status", Value::object({{"conditions", Value(Value::List{std::move(condition)})}})}}),
      "status");
  if (!marked) co_return !failed(marked.error());
  const auto removed =
      co_await parts_.client.remove<core::Pod>(metadata.namespace_(), metadata.name(), {.uid = metadata.uid()});
  if (!removed) co_return !failed(removed.error());
  events_.normal(events_.about(*pod), "Preempted", told);
  co_return true;
}

Task<Status> Scheduler::explain(std::string key) {
  const api::Answer<void> told = co_await tell(key);
  // Somebody else changed the pod: it is told as soon as that is known, if it has no node by then.
  if (!told && told.error().is_conflict()) explanations_.add_after(key, kKnown);
  co_return done_or_late(told);
}

Task<api::Answer<void>> Scheduler::tell(std::string key) {
  const auto pod = parts_.informers.of<core::Pod>().find_key(key);
  if (pod == nullptr || !pod->spec().node_name().empty() || assumed_.contains(key)) co_return api::Answer<void>();
  Value status = Value::object({});
  const std::string node = cluster_.nominations.node_of(key);
  if (node != pod->status().nominated_node_name()) {
    status["nominatedNodeName"] = node.empty() ? Value() : Value(node);
  }
  if (const auto found = unplaced_.find(key); found != unplaced_.end()) {
    const core::PodCondition* before = scheduled_condition(*pod);
    const bool was_false = before != nullptr && before->status() == "False";
    if (!was_false || before->reason() != "Unschedulable" || before->message() != found->second) {
      Value condition = Value::object(
          {{"type", "PodScheduled"}, {"status", "False"}, {"reason", "Unschedulable"}, {"message", found->second}});
      if (!was_false) condition["lastTransitionTime"] = api::format_rfc3339(parts_.now().seconds);
      if (pod->metadata().generation() > 0) condition["observedGeneration"] = pod->metadata().generation();
      status["conditions"] = Value(Value::List{std::move(condition)});
    }
  }
  if (status.as_object()->empty()) co_return api::Answer<void>();
  const auto& metadata = pod->metadata();
  const auto told = co_await parts_.client.patch<core::Pod>(
      metadata.namespace_(), metadata.name(), api::PatchForm::kStrategicMerge,
      Value::object(
          {{"metadata", Value::object({{"uid", metadata.uid()}, {"resourceVersion", metadata.resource_version()}})},
           {"status", std::move(status)}}),
      "status");
  if (!told) co_return api::fail(told.error());
  co_return api::Answer<void>();
}

}  // namespace gantry::control::scheduling
