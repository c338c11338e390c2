// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/pod_warnings.h"

#include <gmock/gmock.h>

#include "api/codec.h"
#include "api/yaml.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"

namespace gantry::api {
namespace {

namespace core = k8s::io::api::core::v1;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

core::Pod pod(const std::string& spec, const std::string& annotations = "{}") {
  const auto documents =
      parse_yaml(cat("apiVersion: v1\nkind: Pod\nmetadata: {name: web, annotations: ", annotations, "}\nspec: ", spec));
  EXPECT_TRUE(documents) << (documents ? "" : documents.error().message());
  core::Pod out;
  if (!documents) return out;
  const Status decoded = decode(documents->front(), &out);
  EXPECT_TRUE(decoded) << (decoded ? "" : decoded.error().message());
  return out;
}

TEST(PodWarnings, AreNoMoreThanAnAnswerHasRoomFor) {
  core::Pod many;
  core::Container* container = many.mutable_spec()->add_containers();
  container->set_name("c");
  for (int i = 0; i < 100'000; ++i) container->add_ports()->set_container_port(80);
  EXPECT_EQ(pod_warnings(many).size(), 64U);
  for (int i = 0; i < 100'000; ++i) many.mutable_spec()->add_image_pull_secrets();
  EXPECT_EQ(pod_warnings(many).size(), 64U);
  container->clear_ports();
  many.mutable_spec()->clear_image_pull_secrets();
  for (int i = 0; i < 1000; ++i) container->add_env()->set_name("A");
  EXPECT_EQ(pod_warnings(many).size(), 64U);
}

TEST(PodWarnings, AGoodPodHasNone) {
  EXPECT_THAT(pod_warnings(pod("{containers: [{name: c, image: i, env: [{name: A, value: x}, {name: A, value: $(A)y}],"
                               " ports: [{containerPort: 80, protocol: TCP}, {containerPort: 80, protocol: UDP}]}]}")),
              IsEmpty());
}

TEST(PodWarnings, WhatDoesNothingAnyMoreIsSaid) {
  EXPECT_THAT(
      pod_warnings(pod("{nodeSelector: {beta.kubernetes.io/os: linux}, volumes: [{name: v, gitRepo: {repository: "
                       "r}}], terminationGracePeriodSeconds: -1}",
                       "{scheduler.alpha.kubernetes.io/critical-pod: ''}")),
      ElementsAre("spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" "
                  "instead",
                  "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; "
                  "use the \"priorityClassName\" field instead",
                  "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
                  "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be "
                  "treated as 1"));
}

TEST(PodWarnings, SlipsAreSaidAlsoOfInitContainers) {
  EXPECT_THAT(
      pod_warnings(
          pod("{initContainers: [{name: i, image: i, resources: {limits: {memory: 100m}}}], containers: [{name: "
              "a, env: [{name: A, value: x}, {name: A, value: b}], ports: [{name: web, containerPort: 80, "
              "protocol: TCP}]}, {name: b, ports: [{name: web, containerPort: 80, protocol: TCP}]}]}")),
      ElementsAre(
          "spec.initContainers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an "
          "integer",
          "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
          "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
          "spec.containers[1].ports[0]: duplicate port name \"web\" with spec.containers[0].ports[0], services and "
          "probes that select ports by name will use spec.containers[0].ports[0]"));
}

TEST(PodWarnings, ATemplateIsSpokenOfWhereItStands) {
  core::PodTemplateSpec made;
  *made.mutable_spec() = pod("{hostAliases: [{ip: 1.2.3.4}, {ip: 1.2.3.4}], imagePullSecrets: [{name: ''}]}").spec();
  EXPECT_THAT(template_warnings(made, "spec.template"),
              ElementsAre("spec.template.spec.hostAliases[1].ip: duplicate ip \"1.2.3.4\"",
                          "spec.template.spec.imagePullSecrets[0].name: invalid empty name \"\""));
}

}  // namespace
}  // namespace gantry::api
