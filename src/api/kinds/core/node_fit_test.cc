// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/node_fit.h"

#include <gtest/gtest.h>

#include "api/codec.h"
#include "api/yaml.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {
namespace {

namespace core = k8s::io::api::core::v1;

core::PodSpec spec_of(const std::string& text) {
  core::PodSpec spec;
  const auto documents = parse_yaml(text);
  EXPECT_TRUE(documents && decode(documents->front(), &spec));
  return spec;
}

bool selects(const std::string& spec) {
  google::protobuf::Map<std::string, std::string> labels;
  labels["disk"] = "ssd";
  labels["cores"] = "8";
  const std::string name = "node-1";
  return selects_node(spec_of(spec), {name, labels});
}

bool affine(const std::string& terms) {
  return selects(
      "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: " + terms + "}}}");
}

TEST(NodeFit, ANodeSelectorNeedsEveryLabel) {
  EXPECT_TRUE(selects("{}"));
  EXPECT_TRUE(selects("nodeSelector: {disk: ssd}"));
  EXPECT_FALSE(selects("nodeSelector: {disk: hdd}"));
  EXPECT_FALSE(selects("nodeSelector: {disk: ssd, zone: a}"));
}

TEST(NodeFit, OneTermOfAnAffinityWithAllItsRequirements) {
  EXPECT_TRUE(affine("[{matchExpressions: [{key: disk, operator: In, values: [hdd, ssd]}]}]"));
  EXPECT_FALSE(affine("[{matchExpressions: [{key: disk, operator: NotIn, values: [hdd, ssd]}]}]"));
  EXPECT_TRUE(affine("[{matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}]"));
  EXPECT_FALSE(affine("[{matchExpressions: [{key: disk, operator: Exists}, {key: zone, operator: Exists}]}]"));
  EXPECT_TRUE(
      affine("[{matchExpressions: [{key: zone, operator: Exists}]}, "
             "{matchExpressions: [{key: zone, operator: DoesNotExist}]}]"));
  EXPECT_FALSE(affine("[{}]"));
  EXPECT_FALSE(affine("[]"));
}

TEST(NodeFit, NumbersAndNames) {
  EXPECT_TRUE(affine("[{matchExpressions: [{key: cores, operator: Gt, values: ['7']}]}]"));
  EXPECT_FALSE(affine("[{matchExpressions: [{key: cores, operator: Lt, values: ['8']}]}]"));
  EXPECT_FALSE(affine("[{matchExpressions: [{key: disk, operator: Gt, values: ['7']}]}]"));
  EXPECT_TRUE(affine("[{matchFields: [{key: metadata.name, operator: In, values: [node-1]}]}]"));
  EXPECT_FALSE(affine("[{matchFields: [{key: metadata.name, operator: In, values: [node-2]}]}]"));
}

TEST(NodeFit, Tolerations) {
  const std::string key = "gone", value = "yes", effect = "NoExecute";
  const TaintView taint{key, value, effect};
  EXPECT_FALSE(tolerates(spec_of("{}"), taint));
  EXPECT_TRUE(tolerates(spec_of("tolerations: [{operator: Exists}]"), taint));
  EXPECT_TRUE(tolerates(spec_of("tolerations: [{key: other}, {key: gone, value: 'yes'}]"), taint));
  EXPECT_FALSE(tolerates(spec_of("tolerations: [{key: gone, value: 'no'}]"), taint));
  EXPECT_FALSE(tolerates(spec_of("tolerations: [{key: gone, operator: Exists, effect: NoSchedule}]"), taint));
}

}  // namespace
}  // namespace gantry::api
