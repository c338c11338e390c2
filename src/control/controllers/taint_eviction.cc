// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/taint_eviction.h"

#include "base/text.h"
#include "control/controllers/node_taints.h"
#include "control/controllers/pods.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr Duration kPeriod = std::chrono::seconds(1);

EventRecorder::About subject_of(const std::string& key, const std::string& uid) {
  auto [ns, name] = api::split_key(key);
  return {"v1", "Pod", std::move(ns), std::move(name), uid, ""};
}

std::string no_execute_text(const core::Node& node) {
  std::string text;
  for (const core::Taint& taint : node.spec().taints()) {
    if (taint.effect() == kNoExecute) text += cat(taint.key(), "=", taint.value(), ";");
  }
  return text;
}

}  // namespace

TaintEvictionController::TaintEvictionController(ControllerParts parts, std::function<Duration()> steady)
    : parts_(std::move(parts)),
      steady_(std::move(steady)),
      events_(parts_, "taint-eviction-controller"),
      nodes_(parts_.queues(), "noexec_taint_node", [this](std::string name) { return consider_node(name); }),
      evictions_(parts_.queues(), "noexec_taint_pod", [this](std::string key) { return evict(key); }, 4) {
  auto& pods = parts_.informers.of<core::Pod>();
  index_by_node(pods);
  pods.on_change([this](const api::Informer::Change& change) {
    const auto& pod = static_cast<const core::Pod&>(change.object());
    if (change.now == nullptr) {
      let_stay(key_of(pod));
      return;
    }
    const auto* before = static_cast<const core::Pod*>(change.before.get());
    const bool same = before != nullptr && before->spec().node_name() == pod.spec().node_name() &&
                      before->spec().tolerations_size() == pod.spec().tolerations_size() &&
                      before->metadata().uid() == pod.metadata().uid();
    if (!same) consider(pod);
  });
  parts_.informers.of<core::Node>().on_change([this](const api::Informer::Change& change) {
    if (change.now == nullptr) return;
    const auto& node = static_cast<const core::Node&>(*change.now);
    const std::string before =
        change.before == nullptr ? "" : no_execute_text(static_cast<const core::Node&>(*change.before));
    if (before != no_execute_text(node)) nodes_.add(node.metadata().name());
  });
}

void TaintEvictionController::start() {
  nodes_.start();
  evictions_.start();
  parts_.here.spawn(watch_clock());
}

Task<> TaintEvictionController::watch_clock() {
  for (;;) {
    co_await parts_.here.sleep_for(kPeriod);
    if (is_stopped_) co_return;
    remove_due();
  }
}

void TaintEvictionController::remove_due() {
  const Duration now = steady_();
  while (!due_.empty() && due_.begin()->first <= now) {
    const std::string key = due_.begin()->second;
    due_.erase(due_.begin());
    evictions_.add(key);
  }
}

void TaintEvictionController::let_stay(const std::string& key) {
  const auto found = waiting_.find(key);
  if (found == waiting_.end()) return;
  due_.erase({found->second.due, key});
  waiting_.erase(found);
}

Task<Status> TaintEvictionController::consider_node(std::string name) {
  for (const auto& pod : parts_.informers.of<core::Pod>().by(kPodsByNode, name)) consider(*pod);
  co_return Status();
}

void TaintEvictionController::consider(const core::Pod& pod) {
  const std::string key = key_of(pod);
  const auto node = parts_.informers.of<core::Node>().find("", pod.spec().node_name());
  const Stay stay = node == nullptr ? Stay{.forever = true} : stay_of(pod, taints_of(*node));
  const auto found = waiting_.find(key);
  const std::string& uid = pod.metadata().uid();
  if (stay.forever) {
    if (found != waiting_.end() && found->second.uid == uid) {
      events_.normal(subject_of(key, uid), "TaintManagerEviction", cat("Cancelling deletion of Pod ", key));
    }
    let_stay(key);
    return;
  }
  const Duration due = steady_() + std::chrono::seconds(stay.seconds);
  // Who waits already keeps his time, unless he is to go at once.
  if (found != waiting_.end() && found->second.uid == uid && stay.seconds > 0) return;
  let_stay(key);
  waiting_[key] = {uid, due};
  if (stay.seconds == 0) {
    evictions_.add(key);
  } else {
    due_.emplace(due, key);
  }
}

Task<Status> TaintEvictionController::evict(std::string key) {
  const auto found = waiting_.find(key);
  const auto pod = parts_.informers.of<core::Pod>().find_key(key);
  if (found == waiting_.end() || pod == nullptr || pod->metadata().uid() != found->second.uid) co_return Status();
  // Its time may have begun anew while this waited for its turn.
  if (pod->metadata().has_deletion_timestamp() || found->second.due > steady_()) co_return Status();
  const std::string uid = found->second.uid;
  const auto& [ns, name] = api::split_key(key);
  events_.normal(subject_of(key, uid), "TaintManagerEviction", cat("Marking for deletion Pod ", key));
  api::Value::List conditions;
  conditions.push_back(api::Value::object({{"type", "DisruptionTarget"},
                                           {"status", "True"},
                                           {"reason", "DeletionByTaintManager"},
                                           {"message", "Taint manager: deleting due to NoExecute taint"},
                                           {"lastTransitionTime", api::format_rfc3339(parts_.now().seconds)}}));
  const auto marked = co_await parts_.client.patch<core::Pod>(
      ns, name, api::PatchForm::kStrategicMerge,
      api::Value::object({{"metadata", api::Value::object({{"uid", uid}})},
                          {"status", api::Value::object({{"conditions", api::Value(std::move(conditions))}})}}),
      "status");
  // A conflict is tried again: another uid is seen then.
  if (!marked && marked.error().is_not_found()) co_return Status();
  if (!marked) co_return std::unexpected(marked.error().as_error());
  co_return done_or_late(co_await parts_.client.remove<core::Pod>(ns, name, {.uid = uid}));
}

}  // namespace gantry::control
