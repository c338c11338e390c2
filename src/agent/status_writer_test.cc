// SPDX-License-Identifier: Apache-2.0
#include "agent/status_writer.h"

#include <gtest/gtest.h>

#include "api/value.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

TEST(StatusPatch, HasWhatChangedAndNothingOfOthers) {
  core::Pod known;
  known.mutable_metadata()->set_uid("u");
  known.mutable_status()->set_phase("Pending");
  auto& other = *known.mutable_status()->add_conditions();
  other.set_type("DisruptionTarget");
  other.set_status("True");
  known.mutable_status()->add_pod_ips()->set_ip("10.0.0.1");
  core::PodStatus wanted;
  wanted.set_phase("Running");
  wanted.add_pod_ips()->set_ip("10.0.0.2");
  auto& ready = *wanted.add_conditions();
  ready.set_type("Ready");
  ready.set_status("True");
  auto& unready = *known.mutable_status()->add_conditions();
  unready.set_type("Ready");
  unready.set_status("False");
  unready.set_reason("ContainersNotReady");
  auto patch = status_patch(known, wanted);
  ASSERT_TRUE(patch);
  EXPECT_EQ(patch->find("metadata")->text_at("uid"), "u");
  EXPECT_EQ(patch->find("status")->text_at("phase"), "Running");
  ASSERT_EQ(patch->find("status")->list_at("conditions").size(), 1U);
  const api::Value* reason = patch->find("status")->list_at("conditions")[0].find("reason");
  EXPECT_TRUE(reason != nullptr && reason->is_null()) << "conditions are merged";
  EXPECT_EQ(patch->find("status")->list_at("podIPs")[0].text_at("$patch"), "replace");
  EXPECT_EQ(patch->find("status")->find("qosClass"), nullptr);
  *known.mutable_status() = wanted;
  EXPECT_FALSE(status_patch(known, wanted));
  known.mutable_status()->set_phase("Succeeded");
  EXPECT_FALSE(status_patch(known, wanted)) << "what has ended does not run again";
}

}  // namespace
}  // namespace gantry::agent
