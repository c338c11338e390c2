// SPDX-License-Identifier: Apache-2.0
// Pods and nodes for tests, made of the JSON of what matters in them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "api/codec.h"
#include "api/json.h"
#include "api/message_fixture.h"
#include "base/text.h"
#include "control/scheduler/cluster_state.h"
#include "control/scheduler/placement.h"
#include "control/scheduler/preemption.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/policy/v1/policy.pb.h"

namespace gantry::control::scheduling {

using api::from_json;

// Its uid is its name; `labels` and `spec` are JSON objects. It has a container, which asks for nothing if the spec has
// none.
inline PodInfoPtr make_pod(const std::string& name, std::string_view spec = "{}", std::string_view labels = "{}",
                           std::string_view ns = "default") {
  using k8s::io::api::core::v1::Pod;
  auto pod = std::make_shared<Pod>(from_json<Pod>(
      cat(R"({"metadata": {"name": ")", name, R"(", "uid": ")", name, R"(", "namespace": ")", ns, R"(", "labels": )",
          labels, R"(}, "spec": )", spec, "}")));
  if (pod->spec().containers().empty()) pod->mutable_spec()->add_containers()->set_name("c");
  return read_pod(std::move(pod));
}

// The spec of a pod of one container with these requests.
inline std::string asking(std::string_view requests) {
  return cat(R"({"containers": [{"name": "c", "image": "i", "resources": {"requests": )", requests, "}}]}");
}

// A cluster of 4 CPUs, 8 GiB and 10 pods a node.
class Cluster {
 public:
  void add_node(const std::string& name, std::string_view labels = "{}", std::string_view spec = "{}",
                std::string_view status =
                    R"({"allocatable": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "10Gi", "pods": "10"}})") {
    state.put_node(std::make_shared<k8s::io::api::core::v1::Node>(from_json<k8s::io::api::core::v1::Node>(
        cat(R"({"metadata": {"name": ")", name, R"(", "labels": )", labels, R"(}, "spec": )", spec, R"(, "status": )",
            status, "}"))));
  }
  void add_namespace(const std::string& name, std::string_view labels) {
    using k8s::io::api::core::v1::Namespace;
    state.put_namespace(std::make_shared<Namespace>(
        from_json<Namespace>(cat(R"({"metadata": {"name": ")", name, R"(", "labels": )", labels, "}}"))));
  }
  void add_budget(const std::string& name, std::string_view selector, int left) {
    using k8s::io::api::policy::v1::PodDisruptionBudget;
    const auto budget = from_json<PodDisruptionBudget>(
        cat(R"({"metadata": {"name": ")", name, R"(", "namespace": "default"}, "spec": {"selector": )", selector,
            R"(}, "status": {"disruptionsAllowed": )", left, "}}"));
    state.budgets[cat("default/", name)] = read_budget(budget);
  }
  Preemption preempt(const PodInfoPtr& pod) {
    const Placement placement = scheduling::place(*pod, state, &turns);
    EXPECT_EQ(placement.node, "");
    return scheduling::preempt(*pod, placement, state, /*now_seconds=*/1'000'000, &turns);
  }
  // The node, or why there is none.
  std::string place(const PodInfoPtr& pod) {
    const Placement placement = scheduling::place(*pod, state, &turns);
    return placement.node.empty() ? placement.reason : placement.node;
  }

  ClusterState state;
  Turns turns;
};

}  // namespace gantry::control::scheduling
