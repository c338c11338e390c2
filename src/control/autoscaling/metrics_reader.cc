// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/metrics_reader.h"

#include <limits>

#include "api/codec.h"
#include "api/label_selector.h"
#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"
#include "kubernetes/metrics/v1beta1/metrics.pb.h"

namespace gantry::control::autoscaling {

namespace {

namespace metrics = k8s::io::metrics::pkg::apis::metrics::v1beta1;

constexpr char kCustomGroup[] = "custom.metrics.k8s.io";
constexpr char kExternalPath[] = "/apis/external.metrics.k8s.io/v1beta1/namespaces/";
constexpr char kResourceApi[] = "unable to fetch metrics from resource metrics API";
constexpr char kCustomApi[] = "unable to fetch metrics from custom metrics API";
constexpr char kExternalApi[] = "unable to fetch metrics from external metrics API";
// Of a metric that does not say its own.
constexpr double kDefaultWindow = 60;

std::optional<std::int64_t> milli(const std::string& text) {
  const Result<api::Quantity> quantity = api::Quantity::parse(text);
  if (!quantity) return std::nullopt;
  return quantity->milli_value();
}

std::int64_t sum(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (!__builtin_add_overflow(a, b, &result)) return result;
  return a > 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
}

// What the pod uses, of that container or of all; nothing when one of them is not known.
std::optional<std::int64_t> use_of(const metrics::PodMetrics& pod, const std::string& resource,
                                   const std::string& container) {
  std::optional<std::int64_t> total;
  for (const metrics::ContainerMetrics& one : pod.containers()) {
    if (!container.empty() && one.name() != container) continue;
    const auto found = one.usage().find(resource);
    const auto used = found == one.usage().end() ? std::nullopt : milli(found->second.string());
    if (!used) return std::nullopt;
    total = sum(total.value_or(0), *used);
  }
  return total;
}

Result<std::string> metric_selector(const MetricIdentifier& metric) {
  if (!metric.has_selector()) return std::string();
  const Result<api::LabelSelector> selector = api::LabelSelector::from_value(api::encode(metric.selector()));
  if (!selector) return std::unexpected(selector.error());
  return selector->to_string();
}

// Appends "?name=value" or "&name=value", unless the value is empty.
void add_query(std::string_view name, const std::string& value, std::string* path) {
  if (value.empty()) return;
  *path += cat(path->find('?') == std::string::npos ? "?" : "&", name, "=", api::escape_query(value));
}

// A name that the object brings, as a segment of a path.
std::string segment(const std::string& name) { return api::escape_query(name); }

}  // namespace

Task<Result<PodMetrics>> MetricsReader::of_resource(std::string ns, std::string selector, std::string resource,
                                                    std::string container) {
  auto listed = co_await client_.list<metrics::PodMetrics>({.ns = ns, .label_selector = selector});
  if (!listed) co_return std::unexpected(listed.error().as_error().with_context(kResourceApi));
  if (listed->empty()) co_return fail(Code::kNotFound, "no metrics returned from resource metrics API");
  PodMetrics found;
  for (const metrics::PodMetrics& pod : *listed) {
    const std::optional<std::int64_t> used = use_of(pod, resource, container);
    if (!used) continue;
    found[pod.metadata().name()] = {.value = *used,
                                    .at = pod.timestamp().seconds(),
                                    .window_seconds = static_cast<double>(pod.window().duration()) / 1e9};
  }
  co_return found;
}

Task<Result<api::Value>> MetricsReader::ask_custom(std::string path, std::string selector, MetricIdentifier metric) {
  const api::Answer<api::Value> group = co_await client_.document("GET", cat("/apis/", kCustomGroup));
  if (!group) {
    if (group.error().is_not_found()) {
      co_return fail(Code::kNotFound, cat(kCustomApi, ": no custom metrics API (", kCustomGroup, ") registered"));
    }
    co_return std::unexpected(group.error().as_error().with_context(kCustomApi));
  }
  const api::Value* preferred = group->find("preferredVersion");
  std::string target =
      cat("/apis/", kCustomGroup, "/", preferred == nullptr ? "" : segment(preferred->text_at("version")), path);
  const Result<std::string> labels = metric_selector(metric);
  if (!labels) co_return std::unexpected(labels.error());
  add_query("labelSelector", selector, &target);
  add_query("metricLabelSelector", *labels, &target);
  api::Answer<api::Value> list = co_await client_.document("GET", target);
  if (!list) co_return std::unexpected(list.error().as_error().with_context(kCustomApi));
  co_return std::move(*list);
}

Task<Result<PodMetrics>> MetricsReader::of_pods(std::string ns, std::string selector, MetricIdentifier metric) {
  const Result<api::Value> list =
      co_await ask_custom(cat("/namespaces/", ns, "/pods/*/", segment(metric.name())), selector, metric);
  if (!list) co_return std::unexpected(list.error());
  co_return read_custom_metrics(*list);
}

Task<Result<std::int64_t>> MetricsReader::of_object(std::string ns, ObjectReference object, MetricIdentifier metric) {
  std::string path;
  if (object.kind() == "Namespace" && object.api_version().find('/') == std::string::npos) {
    path = cat("/namespaces/", ns, "/metrics/", segment(metric.name()));
  } else {
    const Result<api::Target> target = co_await resources_.find(object.api_version(), object.kind());
    if (!target) co_return std::unexpected(target.error().with_context(kCustomApi));
    const std::string resource = target->group.empty() ? target->plural : cat(target->plural, ".", target->group);
    path = cat("/namespaces/", ns, "/", resource, "/", segment(object.name()), "/", segment(metric.name()));
  }
  const Result<api::Value> list = co_await ask_custom(std::move(path), "", metric);
  if (!list) co_return std::unexpected(list.error());
  const Result<PodMetrics> found = read_custom_metrics(*list);
  if (!found) co_return std::unexpected(found.error());
  if (found->size() != 1) {
    co_return fail(Code::kFailedPrecondition,
                   cat(kCustomApi, ": the custom metrics API server returned ", found->size(),
                       " results when we asked for exactly one"));
  }
  co_return found->begin()->second.value;
}

Task<Result<std::int64_t>> MetricsReader::of_external(std::string ns, MetricIdentifier metric) {
  std::string path = cat(kExternalPath, ns, "/", segment(metric.name()));
  const Result<std::string> labels = metric_selector(metric);
  if (!labels) co_return std::unexpected(labels.error());
  add_query("labelSelector", *labels, &path);
  const api::Answer<api::Value> list = co_await client_.document("GET", path);
  if (!list) co_return std::unexpected(list.error().as_error().with_context(kExternalApi));
  co_return read_external_metrics(*list);
}

Result<PodMetrics> read_custom_metrics(const api::Value& list) {
  PodMetrics found;
  for (const api::Value& item : list.list_at("items")) {
    const api::Value* object = item.find("describedObject");
    const std::optional<std::int64_t> value = milli(item.text_at("value"));
    if (object == nullptr || !value) return invalid_argument(cat(kCustomApi, ": what it answers can't be read"));
    PodMetric metric{.value = *value, .at = 0, .window_seconds = kDefaultWindow};
    if (const Result<api::Timestamp> at = api::parse_rfc3339(item.text_at("timestamp"))) metric.at = at->seconds;
    const api::Value* window = item.find("windowSeconds");
    if (window != nullptr && window->as_int64()) metric.window_seconds = static_cast<double>(*window->as_int64());
    found[object->text_at("name")] = metric;
  }
  if (found.empty()) return fail(Code::kNotFound, "no metrics returned from custom metrics API");
  return found;
}

Result<std::int64_t> read_external_metrics(const api::Value& list) {
  const auto items = list.list_at("items");
  if (items.empty()) return fail(Code::kNotFound, "no metrics returned from external metrics API");
  std::int64_t total = 0;
  for (const api::Value& item : items) {
    const std::optional<std::int64_t> value = milli(item.text_at("value"));
    if (!value) return invalid_argument(cat(kExternalApi, ": what it answers can't be read"));
    total = sum(total, *value);
  }
  return total;
}

}  // namespace gantry::control::autoscaling
