// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/autoscaling/hpa.h"
#include "base/text.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::api {

namespace {

namespace v2 = k8s::io::api::autoscaling::v2;

constexpr size_t kMetricsShown = 2;

// "current/target", of an amount or an average.
std::string amounts_text(const v2::MetricTarget& target, const v2::MetricValueStatus* current) {
  const bool average = target.has_average_value();
  std::string now(kUnknownText);
  if (current != nullptr && average && current->has_average_value()) now = current->average_value().string();
  if (current != nullptr && !average) now = current->has_value() ? current->value().string() : "0";
  const std::string& wanted = average ? target.average_value().string() : target.value().string();
  return cat(now, "/", wanted, average ? " (avg)" : "");
}

// "cpu: 12%/80%"
std::string resource_text(const std::string& name, const v2::MetricTarget& target,
                          const v2::MetricValueStatus* current) {
  std::string now(kUnknownText);
  if (target.has_average_value()) {
    if (current != nullptr) now = current->has_average_value() ? current->average_value().string() : "0";
    return cat(name, ": ", now, "/", target.average_value().string());
  }
  if (current != nullptr && current->has_average_utilization()) now = cat(current->average_utilization(), "%");
  const std::string wanted =
      target.has_average_utilization() ? cat(target.average_utilization(), "%") : std::string("<auto>");
  return cat(name, ": ", now, "/", wanted);
}

std::string metric_text(const v2::MetricSpec& metric, const v2::MetricStatus* status) {
  const auto current = [&](bool (v2::MetricStatus::*has)() const, const auto& get) {
    return status != nullptr && (status->*has)() ? &get(*status).current() : nullptr;
  };
  if (metric.type() == "External") {
    return amounts_text(metric.external().target(), current(&v2::MetricStatus::has_external,
                                                            [](const auto& s) -> const auto& { return s.external(); }));
  }
  if (metric.type() == "Object") {
    return amounts_text(metric.object().target(), current(&v2::MetricStatus::has_object,
                                                          [](const auto& s) -> const auto& { return s.object(); }));
  }
  if (metric.type() == "Pods") {
    const std::string now = status != nullptr && status->has_pods() ? status->pods().current().average_value().string()
                                                                    : std::string(kUnknownText);
    return cat(now, "/", metric.pods().target().average_value().string());
  }
  if (metric.type() == "Resource") {
    return resource_text(
        metric.resource().name(), metric.resource().target(),
        current(&v2::MetricStatus::has_resource, [](const auto& s) -> const auto& { return s.resource(); }));
  }
  if (metric.type() == "ContainerResource") {
    return resource_text(metric.container_resource().name(), metric.container_resource().target(),
                         current(&v2::MetricStatus::has_container_resource,
                                 [](const auto& s) -> const auto& { return s.container_resource(); }));
  }
  return "<unknown type>";
}

}  // namespace

std::vector<Column> hpa_columns() {
  return {name_column(),
          column("Reference", "string", "What it scales."),
          column("Targets", "string", "What is measured, and what it should be."),
          column("MinPods", "string", "The fewest pods that it leaves."),
          column("MaxPods", "string", "The most pods that it makes."),
          column("Replicas", "string", "How many pods there are."),
          age_column()};
}

std::vector<Value> hpa_row(const v2::HorizontalPodAutoscaler& object, int64_t now) {
  const v2::HorizontalPodAutoscalerSpec& spec = object.spec();
  std::vector<std::string> metrics;
  for (int i = 0; i < spec.metrics_size(); ++i) {
    const bool measured = i < object.status().current_metrics_size();
    metrics.push_back(metric_text(spec.metrics(i), measured ? &object.status().current_metrics(i) : nullptr));
  }
  return {object.metadata().name(),
          cat(spec.scale_target_ref().kind(), "/", spec.scale_target_ref().name()),
          or_none(first_few(std::move(metrics), kMetricsShown, ", ")),
          spec.has_min_replicas() ? Value(std::to_string(spec.min_replicas())) : Value(kUnset),
          spec.max_replicas(),
          object.status().current_replicas(),
          age(object.metadata(), now)};
}

}  // namespace gantry::api
