// SPDX-License-Identifier: Apache-2.0
// What the metrics of a HorizontalPodAutoscaler ask for: each is read, a number of replicas comes of it, and the
// highest counts. One loop's thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/autoscaling/metrics_reader.h"
#include "control/autoscaling/scale_history.h"

namespace k8s::io::api::autoscaling::v2 {
class HorizontalPodAutoscalerSpec;
class MetricSpec;
class MetricStatus;
}  // namespace k8s::io::api::autoscaling::v2

namespace gantry::control::autoscaling {

// What an HPA is measured by now.
struct Subject {
  std::string ns;
  std::string selector;  // the pods', as text
  Pods pods;             // those that it selects
  std::int32_t spec_replicas = 0;
  std::int32_t status_replicas = 0;
  Question question;  // but for `current`
};

struct Evaluation {
  using MetricStatus = k8s::io::api::autoscaling::v2::MetricStatus;
  // Empty: nothing may be done. Then `active` says why.
  std::optional<std::int32_t> replicas;
  std::string metric;  // which of them asks for so many
  std::vector<MetricStatus> statuses;
  Reason active;       // of ScalingActive
  std::string error;   // "": all of them could be read
};

class MetricEvaluation {
 public:
  // `warn`: tells people of one that can't be read.
  using Warn = std::function<void(const std::string& reason, const std::string& message)>;
  MetricEvaluation(MetricsReader& reader, Warn warn) : reader_(reader), warn_(std::move(warn)) {}

  Task<Evaluation> evaluate(k8s::io::api::autoscaling::v2::HorizontalPodAutoscalerSpec spec, Subject subject);

 private:
  using MetricSpec = k8s::io::api::autoscaling::v2::MetricSpec;
  using MetricStatus = k8s::io::api::autoscaling::v2::MetricStatus;
  struct One {
    std::int32_t replicas = 0;
    std::string name;  // of the metric, for people
  };
  // What is measured stands in `status`.
  Task<Result<One>> read(const MetricSpec& spec, const Subject& subject, MetricStatus* status);
  Task<Result<One>> read_resource(const MetricSpec& spec, const Subject& subject, MetricStatus* status);
  Task<Result<One>> read_pods(const MetricSpec& spec, const Subject& subject, MetricStatus* status);
  Task<Result<One>> read_object(const MetricSpec& spec, const Subject& subject, MetricStatus* status);
  Task<Result<One>> read_external(const MetricSpec& spec, const Subject& subject, MetricStatus* status);

  MetricsReader& reader_;
  Warn warn_;
};

}  // namespace gantry::control::autoscaling
