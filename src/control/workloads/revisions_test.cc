// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/revisions.h"

#include <gmock/gmock.h>

#include "api/codec.h"
#include "api/json.h"
#include "control/server/client_fixture.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {
namespace {

namespace apps = k8s::io::api::apps::v1;

PodTemplateSpec template_with(const std::string& image) {
  PodTemplateSpec out;
  (*out.mutable_metadata()->mutable_labels())["app"] = "web";
  auto* container = out.mutable_spec()->add_containers();
  container->set_name("c");
  container->set_image(image);
  EXPECT_TRUE(api::normalize(&out));
  return out;
}

RevisionPtr revision(const std::string& name, std::int64_t number, const std::string& data = "{}") {
  apps::ControllerRevision out;
  out.mutable_metadata()->set_name(name);
  out.mutable_data()->set_raw(data);
  out.set_revision(number);
  return std::make_shared<const apps::ControllerRevision>(std::move(out));
}

std::vector<std::string> names_of(const std::vector<RevisionPtr>& revisions) {
  std::vector<std::string> names;
  for (const RevisionPtr& each : revisions) names.push_back(each->metadata().name());
  return names;
}

TEST(RevisionData, IsThePatchThatUpstreamWrites) {
  EXPECT_EQ(revision_data(template_with("i:1")),
            R"({"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},)"
            R"("spec":{"containers":[{"image":"i:1","name":"c","resources":{}}]}}}})");
}

TEST(RevisionData, GivesTheTemplateBack) {
  const PodTemplateSpec wanted = template_with("i:1");
  const std::optional<PodTemplateSpec> back = template_of(*revision("r", 1, revision_data(wanted)));
  ASSERT_TRUE(back);
  EXPECT_EQ(api::encode(*back), api::encode(wanted));
  for (const char* other : {"", "{", "[]", "{}", R"({"spec":1})", R"({"spec":{"template":[]}})"}) {
    EXPECT_FALSE(template_of(*revision("r", 1, other))) << other;
  }
}

TEST(RevisionData, IsTheSameInOtherWords) {
  const RevisionPtr upstreams = revision(
      "r", 1,
      R"({"spec":{"template":{"metadata":{"creationTimestamp":null,"labels":{"app":"web"}},)"
      R"("spec":{"containers":[{"name":"c","image":"i:1","resources":{}}]},"$patch":"replace"}}})");
  EXPECT_TRUE(has_template(*upstreams, revision_data(template_with("i:1"))));
  EXPECT_FALSE(has_template(*upstreams, revision_data(template_with("i:2"))));
}

TEST(RevisionHash, IsUpstreams) {
  EXPECT_EQ(revision_hash(R"({"spec":{}})", 0), "59c9b4d596");
  EXPECT_EQ(revision_hash(R"({"spec":{}})", 1), "59c9b4d597");
}

TEST(SurplusRevisions, AreTheOldestThatNobodyUses) {
  std::vector<RevisionPtr> all{revision("c", 3), revision("a", 1), revision("d", 4), revision("b", 2)};
  sort_revisions(&all);
  EXPECT_THAT(names_of(all), testing::ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(names_of(surplus_revisions(all, {"a"}, 1)), testing::ElementsAre("b", "c"));
  EXPECT_THAT(names_of(surplus_revisions(all, {"a"}, 0)), testing::ElementsAre("b", "c", "d"));
  EXPECT_THAT(names_of(surplus_revisions(all, {}, 10)), testing::IsEmpty());
}

class RevisionsTest : public ClientTest {
 protected:
  RevisionsTest() {
    loop_.post([this] { informers_.start_all(); });
    run_until([&] { return informers_.of<apps::ControllerRevision>().is_synced(); });
  }
  Result<Revisions::Current> current(const std::string& image, std::vector<RevisionPtr>* known,
                                     const std::string& uid = "u1") {
    api::ObjectMeta metadata;
    (*metadata.mutable_annotations())["kubernetes.io/change-cause"] = "because";
    Owner owner{.api_version = "apps/v1", .kind = "StatefulSet", .ns = "default", .name = "web", .uid = uid,
                .resource_version = {}, .selector = {}};
    return wait(revisions_.current(std::move(owner), std::move(metadata), template_with(image), known, 0));
  }

  Revisions revisions_{{loop_, client_, informers_, [this] { return now_; }},
                       {.api_version = "apps/v1",
                        .kind = "StatefulSet",
                        .hash_label = "controller.kubernetes.io/hash",
                        .wake = [](const std::string&) {}}};
};

TEST_F(RevisionsTest, OfANewTemplateIsMadeOnce) {
  std::vector<RevisionPtr> known;
  const auto made = current("i:1", &known);
  ASSERT_TRUE(made) << made.error().message();
  ASSERT_EQ(known.size(), 1U);
  const apps::ControllerRevision& first = *made->revision;
  const std::string hash = revision_hash(revision_data(template_with("i:1")), 0);
  EXPECT_EQ(first.metadata().name(), "web-" + hash);
  EXPECT_EQ(first.metadata().labels().at("controller.kubernetes.io/hash"), hash);
  EXPECT_EQ(first.metadata().labels().at("app"), "web");
  EXPECT_EQ(first.metadata().annotations().at("kubernetes.io/change-cause"), "because");
  EXPECT_EQ(first.revision(), 1);
  EXPECT_EQ(first.data().raw(), revision_data(template_with("i:1")));
  // Not seen yet, it is asked for again.
  known.clear();
  const auto again = current("i:1", &known);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->revision->metadata().uid(), first.metadata().uid());
  EXPECT_EQ(again->collisions, 0);
}

TEST_F(RevisionsTest, OfAnOldTemplateIsTheSameWithTheNewestNumber) {
  std::vector<RevisionPtr> known;
  const std::string first = current("i:1", &known)->revision->metadata().name();
  EXPECT_EQ(current("i:2", &known)->revision->revision(), 2);
  const auto back = current("i:1", &known);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->revision->metadata().name(), first);
  EXPECT_EQ(back->revision->revision(), 3);
  EXPECT_EQ(known.size(), 2U);
  EXPECT_EQ(known.back()->revision(), 3);
}

TEST_F(RevisionsTest, OneThatNobodyHasIsWaitedFor) {
  std::vector<RevisionPtr> known;
  apps::ControllerRevision freed = *current("i:1", &known)->revision;
  freed.mutable_metadata()->clear_owner_references();
  ASSERT_TRUE(wait(client_.update(freed)));
  known.clear();
  EXPECT_FALSE(current("i:1", &known)) << "it is to be adopted, not made beside";
}

TEST_F(RevisionsTest, AnothersNameIsACollision) {
  std::vector<RevisionPtr> known, others;
  const std::string taken = current("i:1", &others, "u2")->revision->metadata().name();
  const auto made = current("i:1", &known);
  ASSERT_TRUE(made);
  EXPECT_NE(made->revision->metadata().name(), taken);
  EXPECT_EQ(made->collisions, 1);
}

}  // namespace
}  // namespace gantry::control::workloads
