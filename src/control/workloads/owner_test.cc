// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/owner.h"

#include <gtest/gtest.h>

#include "api/json.h"

namespace gantry::control::workloads {
namespace {

Owner owner() {
  return {.api_version = "apps/v1",
          .kind = "ReplicaSet",
          .ns = "default",
          .name = "web",
          .uid = "u1",
          .resource_version = "7",
          .selector = *api::LabelSelector::parse("app=web")};
}

api::ObjectMeta object(std::string_view json) {
  api::ObjectMeta metadata;
  const Result<api::Value> value = api::parse_json(json);
  EXPECT_TRUE(value && api::decode(*value, &metadata, {.require_type = false})) << json;
  return metadata;
}

TEST(OwnerTest, AdoptsWhatNobodyControlsAndReleasesWhatIsNotSelected) {
  const std::string mine = R"("ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
                              "uid": "u1", "controller": true}])";
  const std::string others = R"("ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
                                "uid": "u2", "controller": true}])";
  const std::string web = R"("namespace": "default", "labels": {"app": "web"})";
  const std::string db = R"("namespace": "default", "labels": {"app": "db"})";
  EXPECT_EQ(judge(owner(), object(cat("{", web, "}"))), Claim::kAdopt);
  EXPECT_EQ(judge(owner(), object(cat("{", db, "}"))), Claim::kNone);
  EXPECT_EQ(judge(owner(), object(cat("{", web, ",", mine, "}"))), Claim::kKeep);
  EXPECT_EQ(judge(owner(), object(cat("{", db, ",", mine, "}"))), Claim::kRelease);
  EXPECT_EQ(judge(owner(), object(cat("{", web, ",", others, "}"))), Claim::kNone);
  EXPECT_EQ(judge(owner(), object(R"({"namespace": "far", "labels": {"app": "web"}})")), Claim::kNone);
  EXPECT_EQ(judge(owner(), object(cat("{", web, R"(, "deletionTimestamp": "2026-01-02T03:04:05Z"})"))), Claim::kNone);
  Owner ending = owner();
  ending.is_ending = true;
  EXPECT_EQ(judge(ending, object(cat("{", web, "}"))), Claim::kNone);
  EXPECT_EQ(judge(ending, object(cat("{", web, ",", mine, "}"))), Claim::kKeep);
  EXPECT_EQ(judge(ending, object(cat("{", db, ",", mine, "}"))), Claim::kNone);
}

TEST(OwnerTest, PatchesNameTheObjectByItsUid) {
  EXPECT_EQ(api::write_json(release(owner(), "p1")),
            R"({"metadata":{"uid":"p1","ownerReferences":[{"$patch":"delete","uid":"u1"}]}})");
  Owner job = owner();
  job.finalizer = "batch.kubernetes.io/job-tracking";
  EXPECT_EQ(api::write_json(adoption(job, "p1")),
            R"({"metadata":{"uid":"p1","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web",)"
            R"("uid":"u1","controller":true,"blockOwnerDeletion":true}],)"
            R"("finalizers":["batch.kubernetes.io/job-tracking"]}})");
}

}  // namespace
}  // namespace gantry::control::workloads
