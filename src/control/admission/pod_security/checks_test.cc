// SPDX-License-Identifier: Apache-2.0
// What upstream's package finds in random pods (tests/conformance/tools/pod-security), and what we find.
#include "control/admission/pod_security/checks.h"

#include <gtest/gtest.h>

#include <fstream>

#include "api/codec.h"
#include "api/json.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {
namespace {

using k8s::io::api::core::v1::Pod;

PodSecurityStandard standard_of(const std::string& text) {
  const std::size_t colon = text.find(':');
  google::protobuf::Map<std::string, std::string> labels;
  labels["pod-security.kubernetes.io/enforce"] = text.substr(0, colon);
  labels["pod-security.kubernetes.io/enforce-version"] = text.substr(colon + 1);
  api::FieldProblems problems;
  const PodSecurityPolicy policy = pod_security_policy(labels, &problems);
  EXPECT_TRUE(problems.empty()) << text;
  EXPECT_EQ(policy.enforce.to_string(), text);
  return policy.enforce;
}

TEST(PodSecurityChecks, AgreeWithUpstream) {
  std::ifstream in(GANTRY_TESTDATA "/pod_security.jsonl");
  std::size_t seen = 0;
  for (std::string line; std::getline(in, line); ++seen) {
    const Result<api::Value> vector = api::parse_json(line);
    ASSERT_TRUE(vector);
    Pod pod;
    api::FieldProblems problems;
    ASSERT_TRUE(api::decode(*vector->find("pod"), &pod, {.require_type = false}, &problems)) << line;
    const auto found =
        check_pod_security(standard_of(*vector->find("standard")->as_string()), pod.metadata(), pod.spec());
    EXPECT_EQ(reasons_of(found), *vector->find("reasons")->as_string()) << line;
    EXPECT_EQ(details_of(found), *vector->find("details")->as_string()) << line;
    if (HasFailure()) break;
  }
  EXPECT_GE(seen, 300U);
}

class Policy : public ::testing::Test {
 protected:
  PodSecurityPolicy policy(std::initializer_list<std::pair<std::string, std::string>> labels) {
    google::protobuf::Map<std::string, std::string> map;
    for (const auto& [mode, value] : labels) map["pod-security.kubernetes.io/" + mode] = value;
    problems_.clear();
    return pod_security_policy(map, &problems_);
  }
  api::FieldProblems problems_;
};

TEST_F(Policy, WithoutLabelsEverythingIsAllowed) {
  EXPECT_TRUE(policy({}).allows_everything());
  EXPECT_TRUE(policy({{"enforce-version", "v1.30"}}).allows_everything());
  EXPECT_TRUE(problems_.empty());
}

TEST_F(Policy, WhatIsEnforcedIsWarnedOf) {
  EXPECT_EQ(policy({{"enforce", "baseline"}, {"enforce-version", "v1.25"}}).warn.to_string(), "baseline:v1.25");
  EXPECT_EQ(policy({{"enforce", "baseline"}, {"warn", "privileged"}}).warn.to_string(), "privileged:latest");
  EXPECT_EQ(policy({{"enforce", "baseline"}, {"warn-version", "v1.1"}}).warn.to_string(), "baseline:v1.1");
}

// Who mistypes a level does not open the door.
TEST_F(Policy, WhatCannotBeReadIsTheStrictest) {
  for (const char* level : {"Restricted", "BASELINE", "", "baseline ", "root"}) {
    EXPECT_EQ(policy({{"enforce", level}}).enforce.to_string(), "restricted:latest") << level;
    ASSERT_EQ(problems_.size(), 1U) << level;
    EXPECT_EQ(problems_[0].path, "metadata.labels[pod-security.kubernetes.io/enforce]");
  }
  for (const char* version : {"v1", "1.30", "v1.030", "v1.-1", "v1.+1", "v2.1", "v1.99999999999", "V1.2", "v1.2 "}) {
    EXPECT_EQ(policy({{"enforce", "baseline"}, {"enforce-version", version}}).enforce.to_string(), "baseline:latest");
    EXPECT_EQ(problems_.size(), 1U) << version;
  }
  EXPECT_EQ(policy({{"audit", "x"}, {"warn", "y"}}).audit.to_string(), "privileged:latest");
  EXPECT_EQ(problems_.size(), 2U);
}

}  // namespace
}  // namespace gantry::control
