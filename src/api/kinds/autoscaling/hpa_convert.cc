// SPDX-License-Identifier: Apache-2.0
#include <cctype>

#include "api/codec.h"
#include "api/json.h"
#include "api/kinds/autoscaling/hpa.h"
#include "api/object_meta.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::api {

namespace {

namespace v1 = k8s::io::api::autoscaling::v1;
namespace v2 = k8s::io::api::autoscaling::v2;

constexpr const char* kMetrics = "autoscaling.alpha.kubernetes.io/metrics";
constexpr const char* kCurrentMetrics = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr const char* kConditions = "autoscaling.alpha.kubernetes.io/conditions";
constexpr const char* kBehavior = "autoscaling.alpha.kubernetes.io/behavior";
constexpr DecodeOptions kLenient = {.strict = false, .require_type = false};

// The cpu metric in percent, which v1 has a field for.
template <typename Metric>
bool is_cpu(const Metric& metric) {
  return metric.type() == "Resource" && metric.resource().name() == "cpu";
}

v2::MetricSpec cpu_metric(int32_t percent) {
  v2::MetricSpec metric;
  metric.set_type("Resource");
  metric.mutable_resource()->set_name("cpu");
  metric.mutable_resource()->mutable_target()->set_type("Utilization");
  metric.mutable_resource()->mutable_target()->set_average_utilization(percent);
  return metric;
}

// Messages of one type as a JSON list, and back. What does not parse counts as not there.
template <typename Message>
std::string to_annotation(std::vector<Message> messages) {
  Value::List list;
  for (Message& message : messages) {
    (void)normalize(&message);  // it came from an object that is
    list.push_back(encode(message));
  }
  return write_json(Value(std::move(list)));
}

template <typename Message>
std::optional<std::vector<Message>> from_annotation(const ObjectMeta& meta, const char* key) {
  const auto found = meta.annotations().find(key);
  if (found == meta.annotations().end()) return std::nullopt;
  const Result<Value> document = parse_json(found->second);
  if (!document || !document->is_list()) return std::nullopt;
  std::vector<Message> messages;
  for (const Value& value : *document->as_list()) {
    if (!decode(value, &messages.emplace_back(), kLenient)) return std::nullopt;
  }
  return messages;
}

// This annotation holds Go's own names of the fields, which begin with a capital letter.
Value with_first_letters(const Value& value, int (*change)(int)) {
  if (const Value::List* list = value.as_list()) {
    Value::List changed;
    for (const Value& item : *list) changed.push_back(with_first_letters(item, change));
    return changed;
  }
  const Value::Object* object = value.as_object();
  if (object == nullptr) return value;
  Value::Object changed;
  for (const Value::Member& member : *object) {
    std::string key = member.key;
    if (!key.empty()) key[0] = static_cast<char>(change(static_cast<unsigned char>(key[0])));
    changed.emplace_back(std::move(key), with_first_letters(member.value, change));
  }
  return changed;
}

// There every field stands, null if it is not set.
Value behavior_document(const v2::HorizontalPodAutoscalerBehavior& behavior) {
  const Value given = with_first_letters(encode(behavior), &std::toupper);
  Value::Object document;
  for (const char* direction : {"ScaleUp", "ScaleDown"}) {
    const Value* rules = given.find(direction);
    if (rules == nullptr) {
      document.emplace_back(direction, Value());
      continue;
    }
    Value::Object all;
    for (const char* field : {"StabilizationWindowSeconds", "SelectPolicy", "Policies", "Tolerance"}) {
      const Value* value = rules->find(field);
      all.emplace_back(field, value == nullptr ? Value() : *value);
    }
    document.emplace_back(direction, std::move(all));
  }
  return document;
}

void take_behavior(const ObjectMeta& meta, v2::HorizontalPodAutoscalerSpec* spec) {
  const auto found = meta.annotations().find(kBehavior);
  if (found == meta.annotations().end()) return;
  const Result<Value> document = parse_json(found->second);
  v2::HorizontalPodAutoscalerBehavior behavior;
  if (!document || !decode(with_first_letters(*document, &std::tolower), &behavior, kLenient)) return;
  if (behavior.has_scale_up() || behavior.has_scale_down()) *spec->mutable_behavior() = behavior;
}

void drop_annotations(ObjectMeta* meta) {
  for (const char* key : {kMetrics, kCurrentMetrics, kConditions, kBehavior}) meta->mutable_annotations()->erase(key);
}

template <typename From, typename To>
void copy_condition(const From& from, To* to) {
  to->set_type(from.type());
  to->set_status(from.status());
  *to->mutable_last_transition_time() = from.last_transition_time();
  to->set_reason(from.reason());
  to->set_message(from.message());
  if (from.has_observed_generation()) to->set_observed_generation(from.observed_generation());
}

template <typename From, typename To>
void copy_status(const From& from, To* to) {
  if (from.has_observed_generation()) to->set_observed_generation(from.observed_generation());
  if (from.has_last_scale_time()) *to->mutable_last_scale_time() = from.last_scale_time();
  to->set_current_replicas(from.current_replicas());
  to->set_desired_replicas(from.desired_replicas());
}

template <typename From, typename To>
void copy_spec(const From& from, To* to) {
  to->mutable_scale_target_ref()->set_kind(from.scale_target_ref().kind());
  to->mutable_scale_target_ref()->set_name(from.scale_target_ref().name());
  to->mutable_scale_target_ref()->set_api_version(from.scale_target_ref().api_version());
  if (from.has_min_replicas()) to->set_min_replicas(from.min_replicas());
  to->set_max_replicas(from.max_replicas());
}

}  // namespace

v2::HorizontalPodAutoscaler hpa_to_v2(const v1::HorizontalPodAutoscaler& from) {
  v2::HorizontalPodAutoscaler to;
  *to.mutable_metadata() = from.metadata();
  drop_annotations(to.mutable_metadata());
  copy_spec(from.spec(), to.mutable_spec());
  copy_status(from.status(), to.mutable_status());
  for (const v1::MetricSpec& metric :
       from_annotation<v1::MetricSpec>(from.metadata(), kMetrics).value_or(std::vector<v1::MetricSpec>())) {
    *to.mutable_spec()->add_metrics() = metric_to_v2(metric);
  }
  if (from.spec().has_target_cpu_utilization_percentage()) {
    *to.mutable_spec()->add_metrics() = cpu_metric(from.spec().target_cpu_utilization_percentage());
  }
  if (to.spec().metrics().empty()) *to.mutable_spec()->add_metrics() = cpu_metric(kDefaultCpuUtilization);
  take_behavior(from.metadata(), to.mutable_spec());
  if (const auto metrics = from_annotation<v1::MetricStatus>(from.metadata(), kCurrentMetrics)) {
    for (const v1::MetricStatus& metric : *metrics) *to.mutable_status()->add_current_metrics() = metric_to_v2(metric);
  } else if (from.status().has_current_cpu_utilization_percentage()) {
    v2::MetricStatus* metric = to.mutable_status()->add_current_metrics();
    metric->set_type("Resource");
    metric->mutable_resource()->set_name("cpu");
    metric->mutable_resource()->mutable_current()->set_average_utilization(
        from.status().current_cpu_utilization_percentage());
  }
  if (const auto conditions = from_annotation<v1::HorizontalPodAutoscalerCondition>(from.metadata(), kConditions)) {
    for (const auto& condition : *conditions) copy_condition(condition, to.mutable_status()->add_conditions());
  }
  (void)normalize(&to);  // what it came from is normalized
  return to;
}

v1::HorizontalPodAutoscaler hpa_to_v1(const v2::HorizontalPodAutoscaler& from) {
  v1::HorizontalPodAutoscaler to;
  *to.mutable_metadata() = from.metadata();
  drop_annotations(to.mutable_metadata());
  auto& annotations = *to.mutable_metadata()->mutable_annotations();
  copy_spec(from.spec(), to.mutable_spec());
  copy_status(from.status(), to.mutable_status());
  std::vector<v1::MetricSpec> others;
  for (const v2::MetricSpec& metric : from.spec().metrics()) {
    if (!is_cpu(metric) || !metric.resource().target().has_average_utilization()) {
      others.push_back(metric_to_v1(metric));
    } else if (!to.spec().has_target_cpu_utilization_percentage()) {
      to.mutable_spec()->set_target_cpu_utilization_percentage(metric.resource().target().average_utilization());
    }
  }
  std::vector<v1::MetricStatus> statuses;
  for (const v2::MetricStatus& metric : from.status().current_metrics()) {
    statuses.push_back(metric_to_v1(metric));
    if (is_cpu(metric) && metric.resource().current().has_average_utilization()) {
      to.mutable_status()->set_current_cpu_utilization_percentage(metric.resource().current().average_utilization());
    }
  }
  std::vector<v1::HorizontalPodAutoscalerCondition> conditions;
  for (const auto& condition : from.status().conditions()) copy_condition(condition, &conditions.emplace_back());
  if (!others.empty()) annotations[kMetrics] = to_annotation(std::move(others));
  if (!statuses.empty()) annotations[kCurrentMetrics] = to_annotation(std::move(statuses));
  if (!conditions.empty()) annotations[kConditions] = to_annotation(std::move(conditions));
  if (from.spec().has_behavior()) {
    annotations[kBehavior] = write_json(behavior_document(from.spec().behavior()));
  }
  (void)normalize(&to);  // what it came from is normalized
  return to;
}

}  // namespace gantry::api
