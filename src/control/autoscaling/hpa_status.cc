// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/hpa_status.h"

#include <algorithm>
#include <map>

#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::control::autoscaling {

namespace {

namespace v2 = k8s::io::api::autoscaling::v2;

v2::HorizontalPodAutoscalerCondition* find(HpaStatus* status, std::string_view type) {
  for (v2::HorizontalPodAutoscalerCondition& condition : *status->mutable_conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

}  // namespace

void set_condition(HpaStatus* status, std::string_view type, bool holds, Reason reason, std::int64_t now) {
  v2::HorizontalPodAutoscalerCondition* condition = find(status, type);
  if (condition == nullptr) {
    condition = status->add_conditions();
    condition->set_type(std::string(type));
  }
  const char* word = holds ? "True" : "False";
  if (condition->status() != word) {
    condition->mutable_last_transition_time()->set_seconds(now);
    condition->mutable_last_transition_time()->set_nanos(0);
  }
  condition->set_status(word);
  condition->set_reason(std::move(reason.reason));
  condition->set_message(std::move(reason.message));
}

bool has_condition(const HpaStatus& status, std::string_view type) {
  return std::ranges::any_of(status.conditions(), [&](const v2::HorizontalPodAutoscalerCondition& condition) {
    return condition.type() == type && condition.status() == "True";
  });
}

std::string resource_metric_name(std::string_view resource, bool of_container, bool is_percentage) {
  if (!is_percentage) return cat(resource, " resource");
  return cat(resource, of_container ? " container" : "", " resource utilization (percentage of request)");
}

std::string selector_text(const v2::MetricIdentifier& metric) {
  if (!metric.has_selector()) return "nil";
  std::string labels, expressions;
  const auto& match = metric.selector().match_labels();
  for (const auto& [key, value] : std::map<std::string, std::string>(match.begin(), match.end())) {
    labels += cat(key, ": ", value, ",");
  }
  for (const auto& one : metric.selector().match_expressions()) {
    std::string values;
    for (const std::string& value : one.values()) values += cat(values.empty() ? "" : " ", value);
    expressions +=
        cat("LabelSelectorRequirement{Key:", one.key(), ",Operator:", one.operator_(), ",Values:[", values, "],},");
  }
  return cat("&LabelSelector{MatchLabels:map[string]string{", labels,
             "},MatchExpressions:[]LabelSelectorRequirement{", expressions, "},}");
}

std::string identifier_text(const v2::MetricIdentifier& metric) {
  return cat(metric.name(), "(", selector_text(metric), ")");
}

std::string quantity_text(std::int64_t milli, bool is_binary) {
  if (is_binary && milli % 1000 == 0) {
    return api::Quantity(milli / 1000, api::Quantity::Format::kBinarySi).to_string();
  }
  const Result<api::Quantity> quantity = api::Quantity::parse(cat(milli, "m"));
  return quantity ? quantity->to_string() : "0";
}

}  // namespace gantry::control::autoscaling
