// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/metrics/kinds.h"
#include "api/kinds/metrics/usage_table.h"
#include "kubernetes/metrics/v1/metrics.pb.h"
#include "kubernetes/metrics/v1beta1/metrics.pb.h"

namespace gantry::api {

namespace {

template <typename M>
std::vector<Value> row(const M& node, int64_t) {
  Quantity cpu, memory;
  add_usage(node.usage(), "cpu", &cpu);
  add_usage(node.usage(), "memory", &memory);
  return usage_row(node, cpu, memory);
}

template <typename M>
Kind node_metrics_kind() {
  // Without a singular clients take the kind's name for it, and "node" stays the core group's.
  Kind kind = make_kind<M>("nodes", "");
  kind.namespaced = false;
  kind.verbs = Verb::kGet | Verb::kList;
  kind.table = {usage_columns(), over(&row<M>)};
  return kind;
}

}  // namespace

Kind node_metrics_v1_kind() { return node_metrics_kind<k8s::io::metrics::pkg::apis::metrics::v1::NodeMetrics>(); }
Kind node_metrics_v1beta1_kind() {
  return node_metrics_kind<k8s::io::metrics::pkg::apis::metrics::v1beta1::NodeMetrics>();
}

}  // namespace gantry::api
