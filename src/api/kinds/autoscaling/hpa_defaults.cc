// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kinds/autoscaling/hpa.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::api {

namespace {

namespace v2 = k8s::io::api::autoscaling::v2;

constexpr int32_t kPeriodSeconds = 15;

void add_policy(const char* type, int32_t value, v2::HPAScalingRules* rules) {
  v2::HPAScalingPolicy* policy = rules->add_policies();
  policy->set_type(type);
  policy->set_value(value);
  policy->set_period_seconds(kPeriodSeconds);
}

// Up: at once, by 4 pods or to the double, whichever is more. Down: to none, after a time that the controller knows.
void default_behavior(v2::HorizontalPodAutoscalerBehavior* behavior) {
  v2::HPAScalingRules* up = behavior->mutable_scale_up();
  if (!up->has_stabilization_window_seconds()) up->set_stabilization_window_seconds(0);
  if (!up->has_select_policy()) up->set_select_policy("Max");
  if (up->policies().empty()) {
    add_policy("Pods", 4, up);
    add_policy("Percent", 100, up);
  }
  v2::HPAScalingRules* down = behavior->mutable_scale_down();
  if (!down->has_select_policy()) down->set_select_policy("Max");
  if (down->policies().empty()) add_policy("Percent", 100, down);
}

}  // namespace

void default_hpa(v2::HorizontalPodAutoscaler* object) {
  apply_constant_defaults(object);
  v2::HorizontalPodAutoscalerSpec* spec = object->mutable_spec();
  if (!spec->has_min_replicas()) spec->set_min_replicas(1);
  if (spec->metrics().empty()) {
    v2::MetricSpec* metric = spec->add_metrics();
    metric->set_type("Resource");
    metric->mutable_resource()->set_name("cpu");
    metric->mutable_resource()->mutable_target()->set_type("Utilization");
    metric->mutable_resource()->mutable_target()->set_average_utilization(kDefaultCpuUtilization);
  }
  if (spec->has_behavior()) default_behavior(spec->mutable_behavior());
}

}  // namespace gantry::api
