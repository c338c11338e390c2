// SPDX-License-Identifier: Apache-2.0
#include "api/object_meta.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/names.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::vector<std::string> paths(const FieldProblems& problems) {
  std::vector<std::string> texts;
  for (const FieldProblem& problem : problems) texts.push_back(problem.path);
  return texts;
}

ObjectMeta good() {
  ObjectMeta meta;
  meta.set_name("web");
  meta.set_namespace_("default");
  return meta;
}

TEST(ObjectMeta, GoodOnesHaveNoProblem) {
  ObjectMeta meta = good();
  meta.set_generate_name("web-");
  (*meta.mutable_labels())["example.com/a"] = "b";
  (*meta.mutable_annotations())["Example.com/A"] = "any text";
  meta.add_finalizers("example.com/f");
  EXPECT_THAT(paths(validate_object_meta(meta, true, nullptr)), IsEmpty());
}

TEST(ObjectMeta, NamesAndNamespacesAreRequired) {
  EXPECT_THAT(paths(validate_object_meta({}, true, nullptr)), ElementsAre("metadata.name", "metadata.namespace"));
  EXPECT_THAT(paths(validate_object_meta({}, false, nullptr)), ElementsAre("metadata.name"));
  EXPECT_THAT(paths(validate_object_meta(good(), false, nullptr)), ElementsAre("metadata.namespace"));
}

TEST(ObjectMeta, EachPartHasItsRule) {
  ObjectMeta meta = good();
  meta.set_name("a.b");
  meta.set_generate_name("A-");
  (*meta.mutable_labels())["a b"] = "";
  (*meta.mutable_labels())["a"] = "-";
  (*meta.mutable_annotations())["a/b/c"] = "";
  meta.add_finalizers("no good");
  meta.add_owner_references()->set_api_version("a/b/c");
  meta.add_managed_fields()->set_operation("Replace");
  EXPECT_THAT(paths(validate_object_meta(meta, true, check_dns1123_label)),
              UnorderedElementsAre("metadata.name", "metadata.generateName", "metadata.labels", "metadata.labels",
                                   "metadata.annotations", "metadata.finalizers", "metadata.managedFields[0].operation",
                                   "metadata.ownerReferences[0].apiVersion", "metadata.ownerReferences[0].kind",
                                   "metadata.ownerReferences[0].name", "metadata.ownerReferences[0].uid"));
}

TEST(ObjectMeta, OneOwnerIsTheController) {
  ObjectMeta meta = good();
  for (const char* name : {"a", "b"}) {
    auto* owner = meta.add_owner_references();
    owner->set_api_version("apps/v1");
    owner->set_kind("ReplicaSet");
    owner->set_name(name);
    owner->set_uid(name);
    owner->set_controller(true);
  }
  EXPECT_THAT(paths(validate_object_meta(meta, true, nullptr)), ElementsAre("metadata.ownerReferences"));
}

TEST(ObjectMeta, WhatTheServerGaveStays) {
  ObjectMeta old = good();
  old.set_uid("1");
  old.set_generation(2);
  old.mutable_creation_timestamp()->set_seconds(5);
  EXPECT_THAT(validate_object_meta_update(old, old), IsEmpty());
  ObjectMeta updated;
  EXPECT_THAT(paths(validate_object_meta_update(old, updated)),
              UnorderedElementsAre("metadata.name", "metadata.namespace", "metadata.uid", "metadata.generation",
                                   "metadata.creationTimestamp"));
}

TEST(ObjectMeta, NothingIsFinalizedAnewDuringDeletion) {
  ObjectMeta old = good();
  old.mutable_deletion_timestamp()->set_seconds(5);
  old.add_finalizers("a");
  ObjectMeta updated = old;
  updated.mutable_finalizers()->Clear();
  EXPECT_THAT(validate_object_meta_update(old, updated), IsEmpty());
  updated.add_finalizers("b");
  EXPECT_THAT(paths(validate_object_meta_update(old, updated)), ElementsAre("metadata.finalizers"));
}

}  // namespace
}  // namespace gantry::api
