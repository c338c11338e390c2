// SPDX-License-Identifier: Apache-2.0
#include "control/resource_metrics/usage_sources.h"

#include "api/metadata.h"
#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/metrics/v1/metrics.pb.h"
#include "kubernetes/metrics/v1beta1/metrics.pb.h"

namespace gantry::control {

namespace {

namespace v1 = k8s::io::metrics::pkg::apis::metrics::v1;
namespace v1beta1 = k8s::io::metrics::pkg::apis::metrics::v1beta1;

// By these names upstream's metrics-server says what it has not.
Failure not_measured(const api::Kind& kind, std::string_view what, const std::string& name) {
  Failure failure;
  failure.code = 404;
  failure.reason = "NotFound";
  failure.message = cat(what, ".", kind.gvk.group, " \"", name, "\" not found");
  failure.name = name;
  failure.group = kind.gvk.group;
  failure.kind = what;
  return failure;
}

template <typename Usage>
void set_usage(const Use& use, Usage* usage) {
  if (use.cpu) {
    const Result<api::Quantity> cores = api::Quantity::parse(cat(*use.cpu, "n"));
    if (cores) (*usage)["cpu"].set_string(cores->to_string());
  }
  if (use.memory) {
    (*usage)["memory"].set_string(api::Quantity(*use.memory, api::Quantity::Format::kBinarySi).to_string());
  }
}

template <typename M>
void set_time(const Measured& measured, M* metrics) {
  metrics->mutable_timestamp()->set_seconds(std::chrono::floor<std::chrono::seconds>(measured.end).count());
  metrics->mutable_window()->set_duration(std::chrono::nanoseconds(measured.window).count());
}

template <typename M>
std::unique_ptr<api::Message> begin(const CachedItem& item, api::Timestamp now) {
  auto metrics = std::make_unique<M>();
  api::ObjectMeta& metadata = *metrics->mutable_metadata();
  metadata.set_name(item.name());
  metadata.set_namespace_(item.ns());
  for (const auto& [key, value] : item.labels()) (*metadata.mutable_labels())[key] = value;
  metadata.mutable_creation_timestamp()->set_seconds(now.seconds);
  return metrics;
}

template <typename M>
std::unique_ptr<api::Message> node_metrics(const CachedItem& item, const NodeUse& use, api::Timestamp now) {
  std::unique_ptr<api::Message> made = begin<M>(item, now);
  auto& metrics = static_cast<M&>(*made);
  set_time(use, &metrics);
  set_usage(*use.node, metrics.mutable_usage());
  return made;
}

template <typename M>
std::unique_ptr<api::Message> pod_metrics(const CachedItem& item, const PodUse& use, api::Timestamp now) {
  std::unique_ptr<api::Message> made = begin<M>(item, now);
  auto& metrics = static_cast<M&>(*made);
  set_time(use, &metrics);
  for (const auto& [name, container_use] : use.containers) {
    auto& container = *metrics.add_containers();
    container.set_name(name);
    set_usage(container_use, container.mutable_usage());
  }
  return made;
}

using Made = std::vector<std::unique_ptr<api::Message>>;
using MetricsOf = std::function<std::unique_ptr<api::Message>(const CachedItem& item)>;

// Of the objects of the core kind `measured`.
Outcome<std::unique_ptr<api::Message>> find_one(const UsageSourceParts& parts, const Call& call,
                                                const api::Kind& measured, const MetricsOf& metrics_of,
                                                std::string_view what) {
  const Snapshot snapshot = parts.caches.of(measured).snapshot();
  const ItemPtr item = as_item(snapshot.find(storage_key(measured, call.info.ns, call.info.name)));
  std::unique_ptr<api::Message> metrics = item == nullptr ? nullptr : metrics_of(*item);
  if (metrics != nullptr) return metrics;
  const std::string& ns = call.info.ns;
  return fail(not_measured(call.kind, what, ns.empty() ? call.info.name : cat(ns, "/", call.info.name)));
}

Made find_all(const UsageSourceParts& parts, const Call& call, const Selection& selection,
              const api::Kind& measured, const MetricsOf& metrics_of) {
  Made found;
  const Snapshot snapshot = parts.caches.of(measured).snapshot();
  snapshot.visit(storage_key(measured, call.info.ns, ""), "", [&](const ObjectPtr& object) {
    const ItemPtr item = as_item(object);
    if (item == nullptr || !item->matches(measured, selection)) return true;
    if (std::unique_ptr<api::Message> metrics = metrics_of(*item)) found.push_back(std::move(metrics));
    return true;
  });
  return found;
}

const api::Kind& core_kind(const UsageSourceParts& parts, std::string_view plural) {
  return *parts.kinds.find_resource("", "v1", plural);
}

}  // namespace

std::unique_ptr<api::Message> NodeMetricsSource::metrics_of(const api::Kind& wanted, const CachedItem& node) const {
  const std::shared_ptr<const NodeUse> use = parts_.book.of(node.name());
  if (use == nullptr || !use->node) return nullptr;
  if (wanted.gvk.version == "v1") return node_metrics<v1::NodeMetrics>(node, *use, parts_.now());
  return node_metrics<v1beta1::NodeMetrics>(node, *use, parts_.now());
}

Task<Outcome<std::unique_ptr<api::Message>>> NodeMetricsSource::get(Call& call) {
  co_return find_one(parts_, call, core_kind(parts_, "nodes"),
                     [&](const CachedItem& node) { return metrics_of(call.kind, node); }, "nodemetrics");
}

Task<Outcome<Made>> NodeMetricsSource::list(Call& call, const Selection& selection) {
  co_return find_all(parts_, call, selection, core_kind(parts_, "nodes"),
                     [&](const CachedItem& node) { return metrics_of(call.kind, node); });
}

std::unique_ptr<api::Message> PodMetricsSource::metrics_of(const api::Kind& wanted, const CachedItem& pod) const {
  // The pod's topic is its node.
  const std::shared_ptr<const NodeUse> use = parts_.book.of(std::string(pod.topic()));
  if (use == nullptr) return nullptr;
  const auto found = use->pods.find(cat(pod.ns(), "/", pod.name()));
  if (found == use->pods.end()) return nullptr;
  if (wanted.gvk.version == "v1") return pod_metrics<v1::PodMetrics>(pod, found->second, parts_.now());
  return pod_metrics<v1beta1::PodMetrics>(pod, found->second, parts_.now());
}

Task<Outcome<std::unique_ptr<api::Message>>> PodMetricsSource::get(Call& call) {
  co_return find_one(parts_, call, core_kind(parts_, "pods"),
                     [&](const CachedItem& pod) { return metrics_of(call.kind, pod); }, "podmetrics");
}

Task<Outcome<Made>> PodMetricsSource::list(Call& call, const Selection& selection) {
  co_return find_all(parts_, call, selection, core_kind(parts_, "pods"),
                     [&](const CachedItem& pod) { return metrics_of(call.kind, pod); });
}

}  // namespace gantry::control
