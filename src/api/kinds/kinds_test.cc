// SPDX-License-Identifier: Apache-2.0
// What holds for every kind.
#include <gmock/gmock.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include "api/codec.h"
#include "api/kinds/all.h"
#include "base/text.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"
#include "kubernetes/batch/v1/job.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/runtime/runtime.pb.h"

namespace gantry::api {
namespace {

using testing::ElementsAre;

TEST(Kinds, AreFoundByResourceAndKind) {
  const Kinds kinds(all_kinds());
  const Kind* deployment = kinds.find_resource("apps", "v1", "deployments");
  ASSERT_NE(deployment, nullptr);
  EXPECT_EQ(deployment->gvk, (GroupVersionKind{"apps", "v1", "Deployment"}));
  EXPECT_EQ(kinds.find_kind({"apps", "v1", "Deployment"}), deployment);
  ASSERT_NE(deployment->find_subresource("scale"), nullptr);
  EXPECT_EQ(deployment->find_subresource("scale")->kind.api_version(), "autoscaling/v1");
  EXPECT_EQ(kinds.find_resource("", "v1", "nodes")->storage, "minions");
  EXPECT_EQ(kinds.storage_of(*kinds.find_resource("events.k8s.io", "v1", "events")).gvk.api_version(), "v1");
  EXPECT_EQ(kinds.storage_of(*kinds.find_resource("autoscaling", "v1", "horizontalpodautoscalers")).gvk.version, "v2");
}

TEST(Kinds, StandInTheOrderOfDiscovery) {
  const Kinds kinds(all_kinds());
  std::vector<std::string> versions;
  std::string last;
  for (const Kind& kind : kinds.all()) {
    if (versions.empty() || versions.back() != kind.gvk.api_version()) {
      versions.push_back(kind.gvk.api_version());
      last.clear();
    }
    EXPECT_LT(last, kind.plural);
    last = kind.plural;
  }
  EXPECT_THAT(versions,
              ElementsAre("v1", "apps/v1", "events.k8s.io/v1", "authentication.k8s.io/v1", "authorization.k8s.io/v1",
                          "autoscaling/v2", "autoscaling/v1", "batch/v1", "certificates.k8s.io/v1",
                          "networking.k8s.io/v1", "policy/v1", "rbac.authorization.k8s.io/v1", "storage.k8s.io/v1",
                          "scheduling.k8s.io/v1", "coordination.k8s.io/v1", "node.k8s.io/v1", "discovery.k8s.io/v1",
                          "metrics.k8s.io/v1", "metrics.k8s.io/v1beta1"));
}

TEST(Kinds, AJobHasTheLabelsByWhichItsPodsAreFound) {
  const Kinds kinds(all_kinds());
  const Kind& kind = *kinds.find_resource("batch", "v1", "jobs");
  for (const bool has_labels : {false, true}) {
    k8s::io::api::batch::v1::Job job;
    job.mutable_metadata()->set_name("task");
    job.mutable_metadata()->set_uid("4");
    if (has_labels) (*job.mutable_metadata()->mutable_labels())["a"] = "b";
    kind.set_defaults(&job);
    kind.prepare_create(&job);
    const auto& labels = job.metadata().labels();
    EXPECT_EQ(labels.size(), has_labels ? 1 : job.spec().template_().metadata().labels().size());
    EXPECT_EQ(labels.contains("batch.kubernetes.io/controller-uid"), !has_labels);
  }
}

TEST(Kinds, ARevisionKeepsTheBytesOfItsData) {
  const Kinds kinds(all_kinds());
  const Kind& kind = *kinds.find_resource("apps", "v1", "controllerrevisions");
  k8s::io::api::apps::v1::ControllerRevision old;
  old.mutable_data()->set_raw(R"({"spec": {"args": "a \u0026 b", "l": [1]}})");
  k8s::io::api::apps::v1::ControllerRevision updated;
  updated.mutable_data()->set_raw(R"({"spec":{"l":[1],"args":"a & b"}})");
  kind.update.prepare(old, &updated);
  EXPECT_EQ(updated.data().raw(), old.data().raw());
  EXPECT_TRUE(kind.update.validate(old, updated).empty());
  updated.mutable_data()->set_raw(R"({"spec":{"l":[2],"args":"a & b"}})");
  kind.update.prepare(old, &updated);
  EXPECT_FALSE(kind.update.validate(old, updated).empty());
}

// An object in which nothing is set passes through every function of its kind, and has a cell for each column.
TEST(Kinds, TakeAnEmptyObject) {
  const Kinds kinds(all_kinds());
  for (const Kind& kind : kinds.all()) {
    SCOPED_TRACE(cat(kind.gvk.api_version(), " ", kind.gvk.kind));
    // What is asked for by a create, or measured.
    const bool is_made = kind.verbs == static_cast<Verbs>(Verb::kCreate) || kind.verbs == (Verb::kGet | Verb::kList);
    EXPECT_EQ(kind.storage.empty(), is_made);
    const std::unique_ptr<Message> object = kind.make();
    ASSERT_TRUE(normalize(object.get()));
    if (kind.set_defaults) kind.set_defaults(object.get());
    if (kind.prepare_create) kind.prepare_create(object.get());
    if (kind.validate) kind.validate(*object);
    if (kind.update.prepare) kind.update.prepare(*object, object.get());
    if (kind.update.validate) kind.update.validate(*object, *object);
    for (const Subresource& subresource : kind.subresources) {
      if (!subresource.update) continue;
      if (subresource.update->prepare) subresource.update->prepare(*object, object.get());
      if (subresource.update->validate) subresource.update->validate(*object, *object);
    }
    if (kind.warnings) kind.warnings(*object);
    if (kind.selectable_values) EXPECT_EQ(kind.selectable_values(*object).size(), kind.selectable.size());
    if (kind.table.row) EXPECT_EQ(kind.table.row(*object, 0).size(), kind.table.columns.size());
    if (kind.scale && kind.scale->selector) kind.scale->selector(*object);
    if (kind.grace_period) kind.grace_period(*object, std::nullopt);
    if (kind.begin_deletion) kind.begin_deletion(object.get());
    if (kind.conversion) {
      const std::unique_ptr<Message> stored = kinds.storage_of(kind).make();
      EXPECT_TRUE(kind.conversion->to_storage(*object, stored.get()));
      EXPECT_TRUE(kind.conversion->from_storage(*stored, object.get()));
    }
  }
}

}  // namespace
}  // namespace gantry::api
