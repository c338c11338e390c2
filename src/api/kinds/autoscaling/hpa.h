// SPDX-License-Identifier: Apache-2.0
// HorizontalPodAutoscaler in its two versions. v2 is what is stored. v1 knows one metric, the use of cpu in percent;
// all else that an object says stands in annotations of its v1 form, so that nothing is lost by way of v1. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <vector>

#include "api/kind.h"

namespace k8s::io::api::autoscaling {
namespace v1 {
class HorizontalPodAutoscaler;
class MetricSpec;
class MetricStatus;
}  // namespace v1
namespace v2 {
class HorizontalPodAutoscaler;
class HorizontalPodAutoscalerSpec;
class MetricSpec;
class MetricStatus;
}  // namespace v2
}  // namespace k8s::io::api::autoscaling

namespace gantry::api {

inline constexpr int32_t kDefaultCpuUtilization = 80;  // percent

std::vector<Column> hpa_columns();
std::vector<Value> hpa_row(const k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler& object, int64_t now);

// Whether it may do without any pod: one of its metrics is a number that is not the pods'.
bool measures_without_pods(const k8s::io::api::autoscaling::v2::HorizontalPodAutoscalerSpec& spec);

FieldProblems validate_hpa(const k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler& object);
void default_hpa(k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler* object);

k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler hpa_to_v2(
    const k8s::io::api::autoscaling::v1::HorizontalPodAutoscaler& object);
k8s::io::api::autoscaling::v1::HorizontalPodAutoscaler hpa_to_v1(
    const k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler& object);

// The parts of the two above, as the annotations hold them.
k8s::io::api::autoscaling::v2::MetricSpec metric_to_v2(const k8s::io::api::autoscaling::v1::MetricSpec& metric);
k8s::io::api::autoscaling::v1::MetricSpec metric_to_v1(const k8s::io::api::autoscaling::v2::MetricSpec& metric);
k8s::io::api::autoscaling::v2::MetricStatus metric_to_v2(const k8s::io::api::autoscaling::v1::MetricStatus& metric);
k8s::io::api::autoscaling::v1::MetricStatus metric_to_v1(const k8s::io::api::autoscaling::v2::MetricStatus& metric);

}  // namespace gantry::api
