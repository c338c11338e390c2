// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/autoscaling/hpa.h"

#include <gtest/gtest.h>

#include "api/codec.h"
#include "api/json.h"
#include "api/yaml.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::api {
namespace {

namespace v1 = k8s::io::api::autoscaling::v1;
namespace v2 = k8s::io::api::autoscaling::v2;

template <typename M>
M read(const std::string& yaml) {
  const auto documents = parse_yaml(yaml);
  EXPECT_TRUE(documents);
  M object;
  const Status status = decode(documents->front(), &object);
  EXPECT_TRUE(status) << (status ? "" : status.error().message());
  return object;
}

constexpr const char* kFull = R"(
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a, namespace: a}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - {type: Pods, pods: {metric: {name: m}, target: {type: AverageValue, averageValue: 10}}}
  - {type: Object, object: {describedObject: {kind: Ingress, name: i}, metric: {name: m}, target: {type: Value, value: 5}}}
  - {type: External, external: {metric: {name: m}, target: {type: AverageValue, averageValue: 5}}}
  - {type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 7}}}
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
  behavior: {scaleDown: {stabilizationWindowSeconds: 5, selectPolicy: Max, policies: [{type: Pods, value: 1, periodSeconds: 15}]}}
status:
  currentReplicas: 2
  desiredReplicas: 3
  currentMetrics:
  - {type: Resource, resource: {name: cpu, current: {averageUtilization: 40, averageValue: 100m}}}
  conditions:
  - {type: AbleToScale, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}
)";

TEST(Hpa, NothingIsLostByWayOfV1) {
  const v2::HorizontalPodAutoscaler object = read<v2::HorizontalPodAutoscaler>(kFull);
  const v1::HorizontalPodAutoscaler old = hpa_to_v1(object);
  EXPECT_EQ(old.spec().target_cpu_utilization_percentage(), 50);
  EXPECT_EQ(old.status().current_cpu_utilization_percentage(), 40);
  EXPECT_EQ(old.metadata().annotations().size(), 4u);
  EXPECT_EQ(write_json(encode(hpa_to_v2(old))), write_json(encode(object)));
}

TEST(Hpa, BehaviorStandsWholeInItsAnnotation) {
  v2::HorizontalPodAutoscaler object = read<v2::HorizontalPodAutoscaler>(kFull);
  object.mutable_spec()->mutable_behavior()->mutable_scale_down()->clear_stabilization_window_seconds();
  EXPECT_EQ(hpa_to_v1(object).metadata().annotations().at("autoscaling.alpha.kubernetes.io/behavior"),
            R"({"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max",)"
            R"("Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":15}],"Tolerance":null}})");
}

TEST(Hpa, V1HasADefaultMetric) {
  const auto object = read<v1::HorizontalPodAutoscaler>(R"(
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: a, annotations: {autoscaling.alpha.kubernetes.io/metrics: "no JSON", other: stays}}
spec: {scaleTargetRef: {kind: Deployment, name: a}, maxReplicas: 3}
)");
  const v2::HorizontalPodAutoscaler stored = hpa_to_v2(object);
  ASSERT_EQ(stored.spec().metrics_size(), 1);
  EXPECT_EQ(stored.spec().metrics(0).resource().target().average_utilization(), kDefaultCpuUtilization);
  EXPECT_EQ(stored.metadata().annotations().size(), 1u);
  EXPECT_EQ(hpa_to_v1(stored).spec().target_cpu_utilization_percentage(), kDefaultCpuUtilization);
}

TEST(Hpa, AMetricsNameIsAPartOfAPath) {
  const v2::HorizontalPodAutoscaler object = read<v2::HorizontalPodAutoscaler>(kFull);
  EXPECT_TRUE(validate_hpa(object).empty());
  for (const char* name : {"", ".", "..", "../other/secret", "a%2Fb"}) {
    v2::HorizontalPodAutoscaler wrong = object;
    wrong.mutable_spec()->mutable_metrics(0)->mutable_pods()->mutable_metric()->set_name(name);
    wrong.mutable_spec()->mutable_metrics(1)->mutable_object()->mutable_metric()->set_name(name);
    wrong.mutable_spec()->mutable_metrics(2)->mutable_external()->mutable_metric()->set_name(name);
    EXPECT_EQ(validate_hpa(wrong).size(), 3u) << name;
  }
}

}  // namespace
}  // namespace gantry::api
