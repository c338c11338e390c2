// SPDX-License-Identifier: Apache-2.0
#include "control/quota/usage.h"

#include <gtest/gtest.h>

#include "api/codec.h"
#include "api/message_fixture.h"
#include "base/text.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/quota.pb.h"
#include "kubernetes/core/v1/service.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;

const QuotaResource kPods{"", "pods"};
const QuotaResource kClaims{"", "persistentvolumeclaims"};
const QuotaResource kServices{"", "services"};

using api::from_json;

std::string usage_of(const std::string& pod) { return to_text(quota_usage(kPods, from_json<core::Pod>(pod), 1000)); }

TEST(QuotaUsage, OfAPodIsItsContainersOrItsInitContainers) {
  EXPECT_EQ(usage_of(R"({"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1","memory":"1Gi"},)"
                     R"("limits":{"cpu":"2"}}},{"name":"b","resources":{"requests":{"cpu":"500m"}}}],"initContainers":)"
                     R"([{"name":"i","resources":{"requests":{"cpu":"4"}}}]}})"),
            "count/pods=1,cpu=4,limits.cpu=2,memory=1Gi,pods=1,requests.cpu=4,requests.memory=1Gi");
  // One that stays runs beside the others, and beside those init containers that come after it.
  EXPECT_EQ(usage_of(R"({"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}],"initContainers":)"
                     R"([{"name":"s","restartPolicy":"Always","resources":{"requests":{"cpu":"1"}}},)"
                     R"({"name":"i","resources":{"requests":{"cpu":"2"}}}]}})"),
            "count/pods=1,cpu=3,pods=1,requests.cpu=3");
}

TEST(QuotaUsage, OverheadExtendedResourcesAndHugePagesCount) {
  EXPECT_EQ(usage_of(R"({"spec":{"overhead":{"cpu":"100m"},"containers":[{"name":"a","resources":{"requests":)"
                     R"({"cpu":"1","example.com/gpu":"2","hugepages-2Mi":"4Mi"}}}]}})"),
            "count/pods=1,cpu=1100m,hugepages-2Mi=4Mi,pods=1,requests.cpu=1100m,requests.example.com/gpu=2,"
            "requests.hugepages-2Mi=4Mi");
}

TEST(QuotaUsage, WhatEndedTakesItsPlaceAlone) {
  const std::string spec = R"("spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}]})";
  EXPECT_EQ(usage_of(cat("{", spec, R"(,"status":{"phase":"Succeeded"}})")), "count/pods=1");
  EXPECT_EQ(usage_of(cat(R"({"metadata":{"deletionTimestamp":"1970-01-01T00:10:00Z","deletionGracePeriodSeconds":30},)",
                         spec, "}")),
            "count/pods=1");
}

TEST(QuotaUsage, AResizeCountsAsTheLargerOfBoth) {
  EXPECT_EQ(usage_of(R"({"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}]},"status":)"
                     R"({"containerStatuses":[{"name":"a","allocatedResources":{"cpu":"3"},"resources":)"
                     R"({"requests":{"cpu":"2"}}}]}})"),
            "count/pods=1,cpu=3,pods=1,requests.cpu=3");
}

TEST(QuotaUsage, OfServicesAndClaims) {
  const auto service = [](const std::string& spec) {
    return to_text(quota_usage(kServices, from_json<core::Service>(cat(R"({"spec":{)", spec, "}}")), 0));
  };
  EXPECT_EQ(service(R"("type":"NodePort","ports":[{"port":1},{"port":2}])"),
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2");
  EXPECT_EQ(
      service(R"("type":"LoadBalancer","allocateLoadBalancerNodePorts":false,"ports":[{"port":1,"nodePort":30000}])"),
      "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1");
  EXPECT_EQ(
      to_text(quota_usage(kClaims,
                          from_json<core::PersistentVolumeClaim>(
                              R"({"spec":{"storageClassName":"fast","resources":{"requests":{"storage":"1500m"}}}})"),
                          0)),
      "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
      "fast.storageclass.storage.k8s.io/requests.storage=2,persistentvolumeclaims=1,requests.storage=2");
}

TEST(QuotaUsage, LimitsAreOfOneResource) {
  for (const char* name : {"pods", "cpu", "requests.cpu", "limits.memory", "count/pods", "hugepages-1Gi",
                           "requests.hugepages-1Gi", "requests.example.com/gpu", "limits.ephemeral-storage"}) {
    EXPECT_TRUE(is_limit_of(kPods, name)) << name;
  }
  for (const char* name : {"services", "requests.storage", "count/pods.apps", "example.com/gpu", "storage", ""}) {
    EXPECT_FALSE(is_limit_of(kPods, name)) << name;
  }
  EXPECT_TRUE(is_limit_of(kClaims, "a.storageclass.storage.k8s.io/requests.storage"));
  EXPECT_TRUE(is_limit_of({"", "secrets"}, "secrets"));
  EXPECT_FALSE(is_limit_of({"example.com", "secrets"}, "secrets"));
  EXPECT_TRUE(is_limit_of({"apps", "deployments"}, "count/deployments.apps"));
  EXPECT_FALSE(QuotaResource({"events.k8s.io", "events"}).is_counted());
}

TEST(QuotaScopes, SelectPods) {
  const auto is_in = [](const std::string& quota, const std::string& pod) {
    return is_in_scopes(from_json<ResourceQuota>(cat(R"({"spec":{)", quota, "}}")), kPods,
                        from_json<core::Pod>(cat(R"({"spec":{)", pod, "}}")));
  };
  const std::string plain = R"("containers":[{"name":"a"}])";
  EXPECT_TRUE(is_in("", plain));
  EXPECT_TRUE(is_in(R"("scopes":["BestEffort","NotTerminating"])", plain));
  EXPECT_FALSE(is_in(R"("scopes":["NotBestEffort"])", plain));
  EXPECT_TRUE(is_in(R"("scopes":["Terminating"])", cat(plain, R"(,"activeDeadlineSeconds":0)")));
  const std::string urgent = cat(plain, R"(,"priorityClassName":"high")");
  const auto by_class = [](const std::string& rule) {
    return cat(R"("scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass",)", rule, "}]}");
  };
  EXPECT_TRUE(is_in(by_class(R"("operator":"In","values":["high","low"])"), urgent));
  EXPECT_FALSE(is_in(by_class(R"("operator":"In","values":["high"])"), plain));
  EXPECT_FALSE(is_in(by_class(R"("operator":"NotIn","values":["high"])"), urgent));
  EXPECT_TRUE(is_in(by_class(R"("operator":"NotIn","values":["high"])"), plain));
  EXPECT_TRUE(is_in(by_class(R"("operator":"Exists")"), urgent));
  EXPECT_TRUE(is_in(by_class(R"("operator":"DoesNotExist")"), plain));
  EXPECT_TRUE(is_in(R"("scopes":["CrossNamespacePodAffinity"])",
                    cat(plain, R"(,"affinity":{"podAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":)"
                               R"([{"weight":1,"podAffinityTerm":{"topologyKey":"k","namespaces":["x"]}}]}})")));
  EXPECT_FALSE(
      is_in_scopes(from_json<ResourceQuota>(R"({"spec":{"scopes":["BestEffort"]}})"), kServices, core::Service()));
}

TEST(QuotaUsage, ContainersMustSayWhatIsLimited) {
  const auto pod = from_json<core::Pod>(
      R"({"spec":{"containers":[{"name":"b"},{"name":"a","resources":{"requests":{"cpu":"1"}}}],"initContainers":)"
      R"([{"name":"i"}]}})");
  EXPECT_EQ(missing_amounts(pod, {{"requests.cpu", {}}, {"limits.memory", {}}, {"pods", {}}}),
            "must specify limits.memory for: a,b,i; requests.cpu for: b,i");
  EXPECT_EQ(missing_amounts(pod, {{"pods", {}}}), "");
}

}  // namespace
}  // namespace gantry::control
