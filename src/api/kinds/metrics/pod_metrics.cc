// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/metrics/kinds.h"
#include "api/kinds/metrics/usage_table.h"
#include "kubernetes/metrics/v1/metrics.pb.h"
#include "kubernetes/metrics/v1beta1/metrics.pb.h"

namespace gantry::api {

namespace {

template <typename M>
std::vector<Value> row(const M& pod, int64_t) {
  Quantity cpu, memory;
  for (const auto& container : pod.containers()) {
    add_usage(container.usage(), "cpu", &cpu);
    add_usage(container.usage(), "memory", &memory);
  }
  return usage_row(pod, cpu, memory);
}

template <typename M>
Kind pod_metrics_kind() {
  // Without a singular clients take the kind's name for it, and "pod" stays the core group's.
  Kind kind = make_kind<M>("pods", "");
  kind.verbs = Verb::kGet | Verb::kList;
  kind.table = {usage_columns(), over(&row<M>)};
  return kind;
}

}  // namespace

Kind pod_metrics_v1_kind() { return pod_metrics_kind<k8s::io::metrics::pkg::apis::metrics::v1::PodMetrics>(); }
Kind pod_metrics_v1beta1_kind() {
  return pod_metrics_kind<k8s::io::metrics::pkg::apis::metrics::v1beta1::PodMetrics>();
}

}  // namespace gantry::api
