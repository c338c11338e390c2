// SPDX-License-Identifier: Apache-2.0
// MetricsReader: the numbers that HorizontalPodAutoscalers go by, from the APIs of metrics: metrics.k8s.io, and
// custom.metrics.k8s.io and external.metrics.k8s.io where a server has them. Amounts are thousandths. On one loop.
#pragma once

#include <cstdint>
#include <string>

#include "api/client/client.h"
#include "control/autoscaling/replica_count.h"
#include "control/autoscaling/resource_map.h"

namespace k8s::io::api::autoscaling::v2 {
class CrossVersionObjectReference;
class MetricIdentifier;
}  // namespace k8s::io::api::autoscaling::v2

namespace gantry::control::autoscaling {

using MetricIdentifier = k8s::io::api::autoscaling::v2::MetricIdentifier;
using ObjectReference = k8s::io::api::autoscaling::v2::CrossVersionObjectReference;

class MetricsReader {
 public:
  MetricsReader(api::Client& client, ResourceMap& resources) : client_(client), resources_(resources) {}

  // Of the pods that `selector` selects: what their containers use together, or the one of that name.
  Task<Result<PodMetrics>> of_resource(std::string ns, std::string selector, std::string resource,
                                       std::string container);
  Task<Result<PodMetrics>> of_pods(std::string ns, std::string selector, MetricIdentifier metric);
  Task<Result<std::int64_t>> of_object(std::string ns, ObjectReference object, MetricIdentifier metric);
  // The sum of all that have that name and those labels.
  Task<Result<std::int64_t>> of_external(std::string ns, MetricIdentifier metric);

 private:
  // A MetricValueList.
  Task<Result<api::Value>> ask_custom(std::string path, std::string selector, MetricIdentifier metric);

  api::Client& client_;
  ResourceMap& resources_;
};

// The values of a MetricValueList of custom.metrics.k8s.io, by the described objects' names. Pure.
Result<PodMetrics> read_custom_metrics(const api::Value& list);
// The sum of an ExternalMetricValueList. Pure.
Result<std::int64_t> read_external_metrics(const api::Value& list);

}  // namespace gantry::control::autoscaling
