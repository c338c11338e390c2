// SPDX-License-Identifier: Apache-2.0
// The client and informers against a whole server.
#include "api/client/work_queue.h"
#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/config.pb.h"

namespace gantry::control {
namespace {

using ConfigMap = k8s::io::api::core::v1::ConfigMap;

class LocalTransportTest : public ClientTest {
 protected:
  ConfigMap make(const std::string& name, const std::string& value) {
    ConfigMap object;
    object.mutable_metadata()->set_namespace_("default");
    object.mutable_metadata()->set_name(name);
    (*object.mutable_data())["key"] = value;
    return object;
  }
};

TEST_F(LocalTransportTest, ObjectsComeAndGo) {
  api::Answer<ConfigMap> made = wait(client_.create(make("a", "1")));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_FALSE(made->metadata().uid().empty());
  EXPECT_TRUE(wait(client_.create(make("a", "1"))).error().is_already_exists());

  (*made->mutable_data())["key"] = "2";
  ASSERT_TRUE(wait(client_.update(*made)));
  EXPECT_TRUE(wait(client_.update(*made)).error().is_conflict());

  api::Answer<ConfigMap> patched = wait(client_.patch<ConfigMap>(
      "default", "a", api::PatchForm::kMerge, api::Value::object({{"data", api::Value::object({{"more", "3"}})}})));
  ASSERT_TRUE(patched) << patched.error().message;
  EXPECT_EQ(patched->data().at("key"), "2");
  EXPECT_EQ(patched->data().at("more"), "3");

  EXPECT_TRUE(wait(client_.remove<ConfigMap>("default", "a", {.uid = "other"})).error().is_conflict());
  ASSERT_TRUE(wait(client_.remove<ConfigMap>("default", "a", {.uid = made->metadata().uid()})));
  EXPECT_TRUE(wait(client_.get<ConfigMap>("default", "a")).error().is_not_found());
}

TEST_F(LocalTransportTest, ListsComeInPages) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(wait(client_.create(make("a" + std::to_string(i), "1"))));
  auto all = wait(client_.list<ConfigMap>({.ns = "default"}));
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->size(), 3U);
}

TEST_F(LocalTransportTest, AnInformerFollows) {
  ASSERT_TRUE(wait(client_.create(make("before", "1"))));
  auto& maps = informers_.of<ConfigMap>();
  maps.add_index("value", [](const api::Message& object) {
    return std::vector<std::string>{static_cast<const ConfigMap&>(object).data().at("key")};
  });
  std::vector<std::string> told;
  maps.on_change([&told](const api::Informer::Change& change) {
    told.push_back((change.before ? (change.now ? "~" : "-") : "+") +
                   static_cast<const ConfigMap&>(change.object()).metadata().name());
  });
  loop_.post([this] { informers_.start_all(); });
  run_until([&] { return maps.is_synced(); });
  EXPECT_EQ(told, (std::vector<std::string>{"+before"}));

  api::Answer<ConfigMap> made = wait(client_.create(make("after", "1")));
  ASSERT_TRUE(made);
  run_until([&] { return told.size() == 2; });
  EXPECT_EQ(maps.by("value", "1").size(), 2U);
  (*made->mutable_data())["key"] = "2";
  ASSERT_TRUE(wait(client_.update(*made)));
  run_until([&] { return told.size() == 3; });
  EXPECT_EQ(maps.by("value", "1").size(), 1U);
  EXPECT_EQ(maps.by("value", "2").size(), 1U);
  ASSERT_TRUE(wait(client_.remove<ConfigMap>("default", "before")));
  run_until([&] { return told.size() == 4; });
  EXPECT_EQ(told, (std::vector<std::string>{"+before", "+after", "~after", "-before"}));
  EXPECT_EQ(maps.find("default", "before"), nullptr);
}

TEST_F(LocalTransportTest, WhatIsNotSelectedAnyMoreIsSeenAsItWas) {
  ConfigMap map = make("a", "1");
  (*map.mutable_metadata()->mutable_labels())["in"] = "yes";
  map = *wait(client_.create(map));
  const std::string from = map.metadata().resource_version();
  (*map.mutable_metadata()->mutable_labels())["in"] = "no";
  (*map.mutable_data())["key"] = "2";
  map = *wait(client_.update(map));
  std::vector<std::string> lines;
  (void)wait(client_.follow(cat("/api/v1/configmaps?watch=true&labelSelector=in%3Dyes&resourceVersion=", from),
                            api::Client::WatchForm::kJson,
                            [&lines](std::string_view line) -> Status {
                              lines.emplace_back(line);
                              return fail(Code::kCancelled, "one is enough");
                            }));
  ASSERT_EQ(lines.size(), 1U);
  Result<api::Value> event = api::parse_json(lines[0]);
  ASSERT_TRUE(event);
  EXPECT_EQ(*event->find("type")->as_string(), "DELETED");
  const api::Value& object = *event->find("object");
  EXPECT_EQ(*object.find("data")->find("key")->as_string(), "1");
  EXPECT_EQ(*object.find("metadata")->find("resourceVersion")->as_string(), map.metadata().resource_version());
}

TEST_F(LocalTransportTest, WhatFailedComesAgain) {
  std::vector<std::string> worked;
  api::WorkQueue queue(loop_, "test", [&](std::string key) -> Task<Status> {
    worked.push_back(key);
    if (worked.size() < 3) co_return fail(Code::kUnavailable, "not yet");
    co_return Status();
  });
  queue.add("a");
  queue.add("a");
  queue.start();
  run_until([&] { return worked.size() == 3 && queue.is_idle(); });
  EXPECT_EQ(worked, (std::vector<std::string>{"a", "a", "a"}));
}

}  // namespace
}  // namespace gantry::control
