// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/pod_gc.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "control/controllers/node_taints.h"
#include "control/controllers/pods.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;
using api::Value;

namespace {

constexpr char kOutOfService[] = "node.kubernetes.io/out-of-service";

// Those that go first: evicted ones, then the oldest.
bool goes_first(const std::shared_ptr<const core::Pod>& a, const std::shared_ptr<const core::Pod>& b) {
  const auto rank = [](const core::Pod& pod) {
    const bool evicted = pod.status().phase() == "Failed" && pod.status().reason() == "Evicted";
    return std::make_tuple(!evicted, pod.metadata().creation_timestamp().seconds(), pod.metadata().name());
  };
  return rank(*a) < rank(*b);
}

}  // namespace

PodGc::PodGc(ControllerParts parts, PodGcOptions options) : parts_(std::move(parts)), options_(options) {
  parts_.informers.of<core::Pod>();
  parts_.informers.of<core::Node>();
}

void PodGc::start() { parts_.here.spawn(run()); }

Task<> PodGc::run() {
  while (!stopped_) {
    co_await look();
    co_await parts_.here.sleep_for(options_.period);
  }
}

bool PodGc::is_out_of_service(const std::string& name) const {
  const auto node = parts_.informers.of<core::Node>().find("", name);
  if (node == nullptr) return false;
  return condition_status(*node, "Ready") != "True" &&
         std::ranges::any_of(node->spec().taints(),
                             [](const core::Taint& taint) { return taint.key() == kOutOfService; });
}

// The nodes that have been missing for as long as that takes.
std::vector<std::string> PodGc::missing_nodes(const std::vector<PodPtr>& pods) {
  std::set<std::string> missing;
  for (const PodPtr& pod : pods) {
    const std::string& node = pod->spec().node_name();
    if (!node.empty() && parts_.informers.of<core::Node>().find("", node) == nullptr) missing.insert(node);
  }
  std::erase_if(missing_since_, [&](const auto& entry) { return !missing.contains(entry.first); });
  const Duration now = std::chrono::steady_clock::now().time_since_epoch();
  std::vector<std::string> out;
  for (const std::string& node : missing) {
    const auto [entry, is_new] = missing_since_.try_emplace(node, now);
    if (now - entry->second >= options_.quarantine) out.push_back(node);
  }
  return out;
}

Task<> PodGc::look() {
  const std::vector<PodPtr> pods = parts_.informers.of<core::Pod>().objects();
  std::vector<PodPtr> ended;
  for (const PodPtr& pod : pods) {
    const bool deleting = pod->metadata().has_deletion_timestamp();
    const std::string& node = pod->spec().node_name();
    if (deleting && node.empty()) {
      co_await remove(pod, nullptr);
    } else if (deleting && is_out_of_service(node)) {
      co_await remove(pod, nullptr);
    } else if (has_ended(*pod)) {
      ended.push_back(pod);
    }
  }
  if (options_.terminated_limit > 0 && ended.size() > options_.terminated_limit) {
    std::ranges::sort(ended, goes_first);
    ended.resize(ended.size() - options_.terminated_limit);
    for (const PodPtr& pod : ended) co_await remove(pod, nullptr);
  }
  co_await remove_orphans(pods);
}

Task<> PodGc::remove_orphans(std::vector<PodPtr> pods) {
  for (const std::string& node : missing_nodes(pods)) {
    // What a watch has not told yet is no reason to end a pod.
    const api::Answer<core::Node> live = co_await parts_.client.get<core::Node>("", node);
    if (live || !live.error().is_not_found()) continue;
    for (const PodPtr& pod : pods) {
      if (pod->spec().node_name() == node) co_await remove(pod, "PodGC: node no longer exists");
    }
  }
}

Task<> PodGc::remove(PodPtr pod, const char* why) {
  const core::Pod& gone = *pod;
  const auto& metadata = gone.metadata();
  const auto failed = [&](const api::ApiError& error) {
    if (error.is_not_found() || error.is_cancelled()) return;
    log::warning("a pod that nobody else deletes could not be deleted, retrying",
                 {{"pod", api::object_key(metadata.namespace_(), metadata.name())}, {"error", error.message}});
  };
  if (!has_ended(gone)) {
    Value status = Value::object({{"phase", "Failed"}});
    if (metadata.generation() > 0) status["observedGeneration"] = metadata.generation();
    if (why != nullptr) {
      Value condition = Value::object({{"type", "DisruptionTarget"},
                                       {"status", "True"},
                                       {"reason", "DeletionByPodGC"},
                                       {"message", why},
                                       {"lastTransitionTime", api::format_rfc3339(parts_.now().seconds)}});
      status["conditions"] = Value(Value::List{std::move(condition)});
    }
    const Value change =
        Value::object({{"metadata", Value::object({{"uid", metadata.uid()}})}, {"status", std::move(status)}});
    const api::Answer<core::Pod> marked = co_await parts_.client.patch<core::Pod>(
        metadata.namespace_(), metadata.name(), api::PatchForm::kStrategicMerge, change, "status");
    if (!marked) {
      failed(marked.error());
      co_return;
    }
  }
  const api::Answer<void> removed = co_await parts_.client.remove<core::Pod>(
      metadata.namespace_(), metadata.name(), {.uid = metadata.uid(), .grace_period = 0});
  if (!removed) failed(removed.error());
}

}  // namespace gantry::control
