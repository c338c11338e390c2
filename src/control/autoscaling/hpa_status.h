// SPDX-License-Identifier: Apache-2.0
// What a HorizontalPodAutoscaler's status says, in upstream's words. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "control/autoscaling/scale_history.h"

namespace k8s::io::api::autoscaling::v2 {
class HorizontalPodAutoscalerStatus;
class MetricIdentifier;
}  // namespace k8s::io::api::autoscaling::v2

namespace gantry::control::autoscaling {

using HpaStatus = k8s::io::api::autoscaling::v2::HorizontalPodAutoscalerStatus;

inline constexpr char kAbleToScale[] = "AbleToScale";
inline constexpr char kScalingActive[] = "ScalingActive";
inline constexpr char kScalingLimited[] = "ScalingLimited";
inline constexpr char kScaledToZero[] = "ScaledToZero";

// `now` in seconds since 1970: since when, if it was otherwise before.
void set_condition(HpaStatus* status, std::string_view type, bool holds, Reason reason, std::int64_t now);
bool has_condition(const HpaStatus& status, std::string_view type);

// "cpu resource utilization (percentage of request)" and the like, of which events speak.
std::string resource_metric_name(std::string_view resource, bool of_container, bool is_percentage);
// The metric's selector as Go prints it: "&LabelSelector{MatchLabels:...}", "nil".
std::string selector_text(const k8s::io::api::autoscaling::v2::MetricIdentifier& metric);
// Its name and that: "requests(nil)".
std::string identifier_text(const k8s::io::api::autoscaling::v2::MetricIdentifier& metric);

// A number of thousandths as a quantity: of memory in binary units.
std::string quantity_text(std::int64_t milli, bool is_binary = false);

}  // namespace gantry::control::autoscaling
