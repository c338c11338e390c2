// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/node_lifecycle.h"

#include <algorithm>

#include "api/codec.h"
#include "base/log.h"
#include "base/text.h"
#include "control/controllers/node_taints.h"
#include "control/controllers/pods.h"
#include "kubernetes/coordination/v1/lease.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;
namespace coordination = k8s::io::api::coordination::v1;

namespace {

constexpr char kLeases[] = "kube-node-lease";
// Of what a node says; the network's is not its own.
constexpr const char* kOwnConditions[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
constexpr std::pair<const char*, const char*> kOldLabels[] = {{"kubernetes.io/os", "beta.kubernetes.io/os"},
                                                              {"kubernetes.io/arch", "beta.kubernetes.io/arch"}};

int64_t renewed_micros(const coordination::Lease& lease) {
  return lease.spec().renew_time().seconds() * 1'000'000 + lease.spec().renew_time().nanos() / 1000;
}

std::string label(const core::Node& node, const char* key) {
  const auto found = node.metadata().labels().find(key);
  return found == node.metadata().labels().end() ? "" : found->second;
}

std::string zone_of(const core::Node& node) {
  const std::string region = label(node, "topology.kubernetes.io/region");
  const std::string zone = label(node, "topology.kubernetes.io/zone");
  return region.empty() && zone.empty() ? "" : cat(region, ":", zone);
}

// What a patch of the node must find.
api::Value precondition(const core::Node& node) {
  return api::Value::object({{"uid", node.metadata().uid()}, {"resourceVersion", node.metadata().resource_version()}});
}

api::Value taint_list(const Taints& taints) {
  api::Value::List list;
  for (const core::Taint& taint : taints) list.push_back(api::encode(taint));
  return api::Value(std::move(list));
}

}  // namespace

NodeLifecycleController::NodeLifecycleController(ControllerParts parts, Options options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      events_(parts_, "node-controller"),
      health_(options_.health),
      pace_(options_.pace),
      queue_(parts_.queues(), "node-lifecycle", [this](std::string name) { return bring_taints(name); }, 4) {
  parts_.informers.of<core::Node>().on_change([this](const api::Informer::Change& change) {
    if (change.now != nullptr) queue_.add(static_cast<const core::Node&>(*change.now).metadata().name());
  });
  index_by_node(parts_.informers.of<core::Pod>());
  (void)parts_.informers.of<coordination::Lease>();
}

void NodeLifecycleController::start() {
  queue_.start();
  parts_.here.spawn(look_for_ever());
}

Task<> NodeLifecycleController::look_for_ever() {
  while (!is_stopped_) {
    const Status done = co_await look();
    if (!done && done.error().is_cancelled()) co_return;
    if (!done) log::warning("not all nodes could be looked at, retrying", {{"error", done.error()}});
    co_await parts_.here.sleep_for(options_.period);
  }
}

Task<Status> NodeLifecycleController::bring_taints(std::string name) {
  const NodePtr node = parts_.informers.of<core::Node>().find("", name);
  if (node == nullptr) co_return Status();
  api::Value metadata = precondition(*node);
  bool changed = false;
  api::Value labels = api::Value::object({});
  for (const auto& [key, old_key] : kOldLabels) {
    const std::string value = label(*node, key);
    if (value.empty() || value == label(*node, old_key)) continue;
    labels[old_key] = value;
    changed = true;
  }
  if (changed) metadata["labels"] = std::move(labels);
  api::Value patch = api::Value::object({{"metadata", std::move(metadata)}});
  if (const std::optional<Taints> taints = with_condition_taints(*node, parts_.now()); taints) {
    patch["spec"] = api::Value::object({{"taints", taint_list(*taints)}});
    changed = true;
  }
  if (!changed) co_return Status();
  co_return done_or_late(co_await parts_.client.patch<core::Node>("", name, api::PatchForm::kMerge, std::move(patch)));
}

// Its NoSchedule taints change at the same time: with what is there now it is tried again.
Task<Status> NodeLifecycleController::set_readiness_taint(Node node, std::string key) {
  constexpr int kTries = 5;
  const std::string name = node.metadata().name();
  const std::string uid = node.metadata().uid();
  for (int i = 0; i < kTries; ++i) {
    const std::optional<Taints> taints = with_readiness_taint(node, key, parts_.now());
    if (!taints || node.metadata().uid() != uid) break;
    const auto done = co_await parts_.client.patch<core::Node>(
        "", name, api::PatchForm::kMerge,
        api::Value::object(
            {{"metadata", precondition(node)}, {"spec", api::Value::object({{"taints", taint_list(*taints)}})}}));
    if (done || !done.error().is_conflict()) co_return done_or_late(done);
    api::Answer<core::Node> present = co_await parts_.client.get<core::Node>("", name);
    if (!present) co_return done_or_late(present);
    node = std::move(*present);
  }
  co_return Status();
}

// It is lost, and its conditions do not say so yet. What is known of a Lease may be old: the server knows.
Task<Result<bool>> NodeLifecycleController::is_gone(const Node& node) {
  const std::string& name = node.metadata().name();
  NodeSigns signs{.uid = node.metadata().uid(), .has_status = false, .heartbeat = 0, .renewed_micros = 0};
  for (const core::NodeCondition& condition : node.status().conditions()) {
    if (condition.type() != "Ready") continue;
    signs.has_status = true;
    signs.heartbeat = condition.last_heartbeat_time().seconds();
  }
  const auto lease = parts_.informers.of<coordination::Lease>().find(kLeases, name);
  if (lease != nullptr) signs.renewed_micros = renewed_micros(*lease);
  const bool lost = health_.is_lost(name, signs, options_.steady());
  const bool said = std::ranges::all_of(
      kOwnConditions, [&node](const char* type) { return condition_status(node, type) == "Unknown"; });
  if (!lost || said) co_return false;
  const auto live = co_await parts_.client.get<coordination::Lease>(kLeases, name);
  if (!live && !live.error().is_not_found()) co_return std::unexpected(live.error().as_error());
  if (!live || renewed_micros(*live) == signs.renewed_micros) co_return true;
  health_.heard(name, options_.steady());
  co_return false;
}

Task<Status> NodeLifecycleController::set_unknown(const Node& node) {
  const std::string now = api::format_rfc3339(parts_.now().seconds);
  api::Value::List conditions;
  for (const char* type : kOwnConditions) {
    const std::string status = condition_status(node, type);
    if (status == "Unknown") continue;
    const bool never = status.empty();
    api::Value condition = api::Value::object(
        {{"type", type},
         {"status", "Unknown"},
         {"reason", never ? "NodeStatusNeverUpdated" : "NodeStatusUnknown"},
         {"message", never ? "Kubelet never posted node status." : "Kubelet stopped posting node status."},
         {"lastTransitionTime", now}});
    if (never) {
      condition["lastHeartbeatTime"] = api::format_rfc3339(node.metadata().creation_timestamp().seconds());
    }
    conditions.push_back(std::move(condition));
  }
  if (conditions.empty()) co_return Status();
  const bool was_ready = condition_status(node, "Ready") == "True";
  const auto done = co_await parts_.client.patch<core::Node>(
      "", node.metadata().name(), api::PatchForm::kStrategicMerge,
      api::Value::object({{"metadata", precondition(node)},
                          {"status", api::Value::object({{"conditions", api::Value(std::move(conditions))}})}}),
      "status");
  if (!done) co_return done_or_late(done);
  if (was_ready) {
    events_.normal(events_.about(node), "NodeNotReady",
                   cat("Node ", node.metadata().name(), " status is now: NodeNotReady"));
  }
  co_return Status();
}

// One that cannot be marked keeps no other.
Task<Status> NodeLifecycleController::mark_pods(const Node& node) {
  Status failed;
  for (const auto& pod : parts_.informers.of<core::Pod>().by(kPodsByNode, node.metadata().name())) {
    const auto& conditions = pod->status().conditions();
    const bool is_ready = std::ranges::any_of(conditions, [](const core::PodCondition& condition) {
      return condition.type() == "Ready" && condition.status() == "True";
    });
    if (!is_ready) continue;
    api::Value::List changed;
    changed.push_back(api::Value::object(
        {{"type", "Ready"}, {"status", "False"}, {"lastTransitionTime", api::format_rfc3339(parts_.now().seconds)}}));
    const auto& metadata = pod->metadata();
    const auto done = co_await parts_.client.patch<core::Pod>(
        metadata.namespace_(), metadata.name(), api::PatchForm::kStrategicMerge,
        api::Value::object({{"metadata", api::Value::object({{"uid", metadata.uid()}})},
                            {"status", api::Value::object({{"conditions", api::Value(std::move(changed))}})}}),
        "status");
    if (Status status = done_or_late(done); !status) {
      if (status.error().is_cancelled()) co_return status;
      failed = std::move(status);
      continue;
    }
    events_.warning(events_.about(*pod), "NodeNotReady", "Node is not ready");
  }
  co_return failed;
}

// The status of the node's condition Ready, as it is now.
Task<Result<std::string>> NodeLifecycleController::look_at(NodePtr node) {
  const std::string& name = node->metadata().name();
  std::string ready = condition_status(*node, "Ready");
  Result<bool> gone = co_await is_gone(*node);
  if (!gone) co_return std::unexpected(std::move(gone.error()));
  if (*gone) {
    if (Status set = co_await set_unknown(*node); !set) co_return std::unexpected(std::move(set.error()));
    // As it is after that.
    const api::Answer<core::Node> updated = co_await parts_.client.get<core::Node>("", name);
    if (!updated) co_return std::unexpected(updated.error().as_error());
    node = std::make_shared<core::Node>(*updated);
    ready = condition_status(*node, "Ready");
  }
  Status done;
  if (ready == "Unknown") done = co_await mark_pods(*node);
  if (!done && done.error().is_cancelled()) co_return std::unexpected(std::move(done.error()));
  if (!done) {
    log::warning("not all pods of a lost node could be marked, retrying", {{"node", name}, {"error", done.error()}});
    done = Status();
  }
  if (ready.empty()) co_return ready;
  const std::string key = ready == "True" ? "" : ready == "False" ? kNotReadyTaint : kUnreachableTaint;
  const Taints taints = taints_of(*node);
  const bool is_tainted =
      has_taint(taints, kNotReadyTaint, kNoExecute) || has_taint(taints, kUnreachableTaint, kNoExecute);
  if (key.empty()) pace_.drop(name);
  if (!key.empty() && (!is_tainted || pace_.are_all_gone())) pace_.want(zone_of(*node), name);
  if (pace_.are_all_gone()) {
    // It is this side that is cut off: nobody loses his pods for it.
    done = co_await set_readiness_taint(*node, "");
  } else if (key.empty() || is_tainted) {
    done = co_await set_readiness_taint(*node, key);
  }
  if (!done) co_return std::unexpected(std::move(done.error()));
  co_return ready;
}

void NodeLifecycleController::greet(const std::vector<NodePtr>& nodes) {
  std::map<std::string, std::string> present;
  for (const NodePtr& node : nodes) {
    const std::string& name = node->metadata().name();
    present[name] = node->metadata().uid();
    if (known_.contains(name)) continue;
    events_.normal(events_.about(*node), "RegisteredNode", cat("Registered Node ", name, " in Controller"));
  }
  for (const auto& [name, uid] : known_) {
    if (present.contains(name)) continue;
    events_.normal({"v1", "Node", "", name, uid, ""}, "RemovingNode", cat("Removing Node ", name, " from Controller"));
    health_.forget(name);
    pace_.drop(name);
  }
  known_ = std::move(present);
}

Task<Status> NodeLifecycleController::follow_zones(std::map<std::string, ZoneCount> zones) {
  switch (pace_.update(zones)) {
    case ZonePace::Change::kNone:
      break;
    case ZonePace::Change::kAllGone:
      log::warning("no node answers: pods are left where they are", {});
      break;
    case ZonePace::Change::kBack:
      log::info("nodes answer again", {});
      health_.heard_all(options_.steady());
      break;
  }
  for (const std::string& name : pace_.take(options_.steady())) {
    // It may have come back since it was put in line; and of what was just written no watch may have told yet.
    const api::Answer<core::Node> node = co_await parts_.client.get<core::Node>("", name);
    if (!node && !node.error().is_not_found()) co_return std::unexpected(node.error().as_error());
    if (!node) continue;
    const std::string ready = condition_status(*node, "Ready");
    if (ready != "False" && ready != "Unknown") continue;
    Status done = co_await set_readiness_taint(*node, ready == "False" ? kNotReadyTaint : kUnreachableTaint);
    if (!done) co_return done;
  }
  co_return Status();
}

Task<Status> NodeLifecycleController::look() {
  if (looked_at_ && options_.steady() - *looked_at_ > options_.stood_still) health_.heard_all(options_.steady());
  const std::vector<NodePtr> nodes = parts_.informers.of<core::Node>().objects();
  greet(nodes);
  std::map<std::string, ZoneCount> zones;
  Status failed;
  for (const NodePtr& node : nodes) {
    const Result<std::string> ready = co_await look_at(node);
    if (!ready) {
      if (ready.error().is_cancelled()) co_return std::unexpected(ready.error());
      // One node that cannot be written must not keep the others from being looked at.
      failed = std::unexpected(ready.error());
      continue;
    }
    // One that has never said how it is has no pods to lose.
    if (ready->empty() || node->metadata().labels().contains("node.kubernetes.io/exclude-disruption")) continue;
    ZoneCount& zone = zones[zone_of(*node)];
    ++(*ready == "True" ? zone.ready : zone.not_ready);
  }
  if (Status done = co_await follow_zones(std::move(zones)); !done) failed = std::move(done);
  looked_at_ = options_.steady();
  co_return failed;
}

}  // namespace gantry::control
