// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/check.h"
#include "api/kinds/autoscaling/hpa.h"
#include "api/kinds/core/amounts.h"
#include "api/names.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::api {

namespace {

namespace v2 = k8s::io::api::autoscaling::v2;

constexpr int32_t kMaxWindowSeconds = 3600;
constexpr int32_t kMaxPeriodSeconds = 1800;

void check_target(const v2::MetricTarget& target, const Check& check) {
  if (target.type().empty()) check.at("type").required();
  if (target.type() != "Utilization" && target.type() != "Value" && target.type() != "AverageValue") {
    check.at("type").invalid(target.type(), "must be Utilization, Value or AverageValue");
  }
  if (target.has_average_utilization() && target.average_utilization() < 1) {
    check.at("averageUtilization").invalid(target.average_utilization(), "must be greater than 0");
  }
}

void check_resource(const std::string& name, const v2::MetricTarget& target, const Check& check) {
  if (name.empty()) check.at("name").required();
  check_target(target, check.at("target"));
  const bool percent = target.has_average_utilization();
  const bool amount = target.has_average_value();
  if (!percent && !amount) check.at("target").at("averageUtilization").required("a target must be set");
  if (percent && amount) check.at("target").at("averageValue").forbidden("excludes averageUtilization");
}

void check_metric(const v2::MetricSpec& metric, const Check& check) {
  const std::string& type = metric.type();
  if (type.empty()) check.at("type").required();
  check.at("type").one_of(type, {"ContainerResource", "External", "Object", "Pods", "Resource"});
  if (type == "Resource") {
    if (!metric.has_resource()) return check.at("resource").required();
    check_resource(metric.resource().name(), metric.resource().target(), check.at("resource"));
  } else if (type == "ContainerResource") {
    if (!metric.has_container_resource()) return check.at("containerResource").required();
    check_resource(metric.container_resource().name(), metric.container_resource().target(),
                   check.at("containerResource"));
    const Check inside = check.at("containerResource");
    if (const std::string& name = metric.container_resource().name(); !name.empty()) {
      check_container_resource_name(name, inside.at("name"));
    }
    inside.at("container").name(metric.container_resource().container(), check_dns1123_label);
  } else if (type == "Pods") {
    if (!metric.has_pods()) return check.at("pods").required();
    check.at("pods").at("metric").at("name").name(metric.pods().metric().name(), check_path_segment);
    check_target(metric.pods().target(), check.at("pods").at("target"));
    if (!metric.pods().target().has_average_value()) check.at("pods").at("target").at("averageValue").required();
  } else if (type == "Object") {
    if (!metric.has_object()) return check.at("object").required();
    const Check inside = check.at("object");
    inside.at("describedObject").at("kind").name(metric.object().described_object().kind(), check_path_segment);
    inside.at("describedObject").at("name").name(metric.object().described_object().name(), check_path_segment);
    inside.at("metric").at("name").name(metric.object().metric().name(), check_path_segment);
    check_target(metric.object().target(), inside.at("target"));
    const v2::MetricTarget& target = metric.object().target();
    if (!target.has_value() && !target.has_average_value()) inside.at("target").at("averageValue").required();
  } else if (type == "External") {
    if (!metric.has_external()) return check.at("external").required();
    const Check inside = check.at("external");
    inside.at("metric").at("name").name(metric.external().metric().name(), check_path_segment);
    check_target(metric.external().target(), inside.at("target"));
    const v2::MetricTarget& target = metric.external().target();
    if (!target.has_value() && !target.has_average_value()) inside.at("target").at("averageValue").required();
  }
}

void check_rules(const v2::HPAScalingRules& rules, const Check& check) {
  if (rules.has_stabilization_window_seconds()) {
    check.at("stabilizationWindowSeconds").in_range(rules.stabilization_window_seconds(), 0, kMaxWindowSeconds);
  }
  if (rules.has_select_policy()) check.at("selectPolicy").one_of(rules.select_policy(), {"Disabled", "Max", "Min"});
  if (rules.policies().empty()) check.at("policies").required("must have at least one policy");
  for (int i = 0; i < rules.policies_size(); ++i) {
    const v2::HPAScalingPolicy& policy = rules.policies(i);
    const Check inside = check.at("policies")[i];
    inside.at("type").one_of(policy.type(), {"Percent", "Pods"});
    if (policy.value() <= 0) inside.at("value").invalid(policy.value(), "must be greater than zero");
    inside.at("periodSeconds").in_range(policy.period_seconds(), 1, kMaxPeriodSeconds);
  }
}

}  // namespace

bool measures_without_pods(const v2::HorizontalPodAutoscalerSpec& spec) {
  return std::ranges::any_of(spec.metrics(), [](const v2::MetricSpec& metric) {
    return metric.type() == "Object" || metric.type() == "External";
  });
}

FieldProblems validate_hpa(const v2::HorizontalPodAutoscaler& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const v2::HorizontalPodAutoscalerSpec& spec = object.spec();
  const bool bounded = spec.has_min_replicas();
  if (bounded && spec.min_replicas() < 0) check.at("minReplicas").invalid(spec.min_replicas(), "must be at least 0");
  if (bounded && spec.min_replicas() == 0 && !measures_without_pods(spec)) {
    check.at("metrics").forbidden("with minReplicas 0 there must be a metric of type Object or External");
  }
  if (spec.max_replicas() == 0) {
    check.at("maxReplicas").required("must be set and greater than 0");
  } else if (spec.max_replicas() < 0) {
    check.at("maxReplicas").invalid(spec.max_replicas(), "must be at least 1");
  }
  if (bounded && spec.max_replicas() < spec.min_replicas()) {
    check.at("maxReplicas").invalid(spec.max_replicas(), "must not be less than minReplicas");
  }
  const Check target = check.at("scaleTargetRef");
  target.at("kind").name(spec.scale_target_ref().kind(), check_path_segment);
  target.at("name").name(spec.scale_target_ref().name(), check_path_segment);
  const std::string& version = spec.scale_target_ref().api_version();
  const bool is_core = version == "v1" || spec.scale_target_ref().kind() == "ReplicationController";
  const auto slashes = std::ranges::count(version, '/');
  if (slashes > 1 || version.starts_with('/') || (slashes == 0 && !is_core)) {
    target.at("apiVersion").invalid(version, "must be GROUP/VERSION, or v1");
  }
  for (int i = 0; i < spec.metrics_size(); ++i) check_metric(spec.metrics(i), check.at("metrics")[i]);
  if (spec.behavior().has_scale_up()) check_rules(spec.behavior().scale_up(), check.at("behavior").at("scaleUp"));
  if (spec.behavior().has_scale_down()) check_rules(spec.behavior().scale_down(), check.at("behavior").at("scaleDown"));
  return problems;
}

}  // namespace gantry::api
