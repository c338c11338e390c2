// SPDX-License-Identifier: Apache-2.0
#include "nri/merge.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "nri/nri.pb.h"

namespace gantry::nri {
namespace {

template <typename Message>
Message of(const std::string& json) {
  Message message;
  auto parsed = google::protobuf::util::JsonStringToMessage(json, &message);
  EXPECT_TRUE(parsed.ok()) << parsed.ToString();
  return message;
}

struct Asked {
  api::CreateContainerRequest request = of<api::CreateContainerRequest>(
      R"({"container": {"id": "c", "env": ["A=1", "B=2"], "annotations": {"k": "v"},
          "mounts": [{"destination": "/m", "source": "/host"}]}})");
  Adjustments all{request};

  Status apply(const std::string& adjust, const std::string& plugin) {
    return all.apply(of<api::CreateContainerResponse>(R"({"adjust": )" + adjust + "}"), plugin);
  }
};

TEST(MergeTest, LaterPluginsSeeWhatEarlierOnesChanged) {
  Asked asked;
  ASSERT_TRUE(asked.apply(R"({"env": [{"key": "B", "value": "3"}, {"key": "-A"}], "annotations": {"-k": "", "n": "1"},
                              "mounts": [{"destination": "/m", "source": "/other"}], "args": ["x"]})",
                          "10-a"));
  const auto& container = asked.request.container();
  EXPECT_THAT(container.env(), testing::ElementsAre("B=3"));
  EXPECT_EQ(container.annotations().size(), 1U);
  EXPECT_EQ(container.annotations().at("n"), "1");
  ASSERT_EQ(container.mounts_size(), 1);
  EXPECT_EQ(container.mounts(0).source(), "/other");
  EXPECT_THAT(container.args(), testing::ElementsAre("x"));
  EXPECT_EQ(asked.all.all().env_size(), 2);
  EXPECT_TRUE(asked.all.all().annotations().contains("-k"));
}

TEST(MergeTest, WhatTwoPluginsSetIsAConflictThatNamesBothAndTheField) {
  for (const auto& [adjust, field] : {
           std::pair{R"({"env": [{"key": "E", "value": "1"}]})", R"(Env "E")"},
           std::pair{R"({"annotations": {"a": "1"}})", R"(Annotations "a")"},
           std::pair{R"({"args": ["x"]})", "Args"},
           std::pair{R"({"mounts": [{"destination": "/x"}]})", R"(Mounts "/x")"},
           std::pair{R"({"rlimits": [{"type": "RLIMIT_CORE"}]})", R"(Rlimits "RLIMIT_CORE")"},
           std::pair{R"({"CDI_devices": [{"name": "a.b/c=d"}]})", R"(CdiDevices "a.b/c=d")"},
           std::pair{R"({"linux": {"devices": [{"path": "/dev/x"}]}})", R"(Devices "/dev/x")"},
           std::pair{R"({"linux": {"oom_score_adj": {"value": "5"}}})", "OomScoreAdj"},
           std::pair{R"({"linux": {"cgroups_path": "/x"}})", "CgroupsPath"},
           std::pair{R"({"linux": {"sysctl": {"net.a": "1"}}})", R"(Sysctl "net.a")"},
           std::pair{R"({"linux": {"namespaces": [{"type": "pid"}]}})", R"(Namespace "pid")"},
           std::pair{R"({"linux": {"rdt": {"clos_id": {"value": "x"}}}})", "RdtClosID"},
           std::pair{R"({"linux": {"scheduler": {"nice": 1}}})", "LinuxSched"},
           std::pair{R"({"linux": {"seccomp_policy": {"default_action": "x"}}})", "SeccompPolicy"},
           std::pair{R"({"linux": {"resources": {"memory": {"limit": {"value": "5"}}}}})", "MemLimit"},
           std::pair{R"({"linux": {"resources": {"memory": {"use_hierarchy": {"value": true}}}}})", "MemUseHierarchy"},
           std::pair{R"({"linux": {"resources": {"cpu": {"shares": {"value": "5"}}}}})", "CPUShares"},
           std::pair{R"({"linux": {"resources": {"cpu": {"mems": "0"}}}})", "CPUSetMems"},
           std::pair{R"({"linux": {"resources": {"hugepage_limits": [{"page_size": "2MB"}]}}})",
                     R"(HugepageLimits "2MB")"},
           std::pair{R"({"linux": {"resources": {"pids": {"limit": "5"}}}})", "PidsLimit"},
           std::pair{R"({"linux": {"resources": {"unified": {"io.max": "5"}}}})", R"(CgroupsUnified "io.max")"},
       }) {
    Asked asked;
    ASSERT_TRUE(asked.apply(adjust, "10-a")) << adjust;
    auto second = asked.apply(adjust, "20-b");
    ASSERT_FALSE(second) << adjust;
    EXPECT_EQ(second.error().message(), std::string(R"(plugins "20-b" and "10-a" both tried to set )") + field);
  }
}

TEST(MergeTest, WhoRemovesFirstMaySet) {
  Asked asked;
  ASSERT_TRUE(asked.apply(R"({"env": [{"key": "E", "value": "1"}], "args": ["x"]})", "10-a"));
  ASSERT_TRUE(asked.apply(R"({"env": [{"key": "-E"}, {"key": "E", "value": "2"}], "args": ["", "y"]})", "20-b"));
  EXPECT_THAT(asked.request.container().env(), testing::ElementsAre("A=1", "B=2", "E=2"));
  EXPECT_THAT(asked.all.all().args(), testing::ElementsAre("y"));
  EXPECT_FALSE(asked.apply(R"({"env": [{"key": "E", "value": "3"}]})", "30-c"));
}

TEST(MergeTest, HooksAreSharedByAll) {
  Asked asked;
  ASSERT_TRUE(asked.apply(R"({"hooks": {"poststop": [{"path": "/a"}]}})", "10-a"));
  ASSERT_TRUE(asked.apply(R"({"hooks": {"poststop": [{"path": "/b"}]}})", "20-b"));
  EXPECT_EQ(asked.all.all().hooks().poststop_size(), 2);
  EXPECT_EQ(asked.all.owners().all().owners().at("c").simple().at(api::OciHooks), "10-a,20-b");
}

TEST(MergeTest, UpdatesOfOneContainerBecomeOne) {
  Owners owners;
  Updates updates(owners);
  auto limit = of<api::ContainerUpdate>(
      R"({"container_id": "x", "ignore_failure": true, "linux": {"resources": {"memory": {"limit": {"value": "5"}}}}})");
  auto shares =
      of<api::ContainerUpdate>(R"({"container_id": "x", "linux": {"resources": {"cpu": {"shares": {"value": "7"}}}}})");
  ASSERT_TRUE(updates.apply(limit, "10-a", nullptr, ""));
  ASSERT_TRUE(updates.apply(shares, "20-b", nullptr, ""));
  // A conflict, of one that says itself that it does not matter.
  ASSERT_TRUE(updates.apply(limit, "30-c", nullptr, ""));
  auto all = updates.take();
  ASSERT_EQ(all->update_size(), 1);
  EXPECT_FALSE(all->update(0).ignore_failure());
  EXPECT_EQ(all->update(0).linux().resources().memory().limit().value(), 5);
  EXPECT_EQ(all->update(0).linux().resources().cpu().shares().value(), 7U);
  EXPECT_FALSE(updates.apply(shares, "30-c", nullptr, "x")) << "one that is being created";
}

TEST(MergeTest, AnUpdateOfTheRequestsOwnContainerChangesTheRequest) {
  auto request = of<api::UpdateContainerRequest>(
      R"({"container": {"id": "x"}, "linux_resources": {"cpu": {"shares": {"value": "7"}}}})");
  Owners owners;
  Updates updates(owners);
  auto update = of<api::ContainerUpdate>(
      R"({"container_id": "x", "linux": {"resources": {"cpu": {"shares": {"value": "9"}, "cpus": "0-1"}}}})");
  ASSERT_TRUE(updates.apply(update, "10-a", &request, ""));
  EXPECT_EQ(request.linux_resources().cpu().shares().value(), 9U);
  EXPECT_EQ(request.linux_resources().cpu().cpus(), "0-1");
  EXPECT_EQ(updates.take()->update_size(), 0);
}

}  // namespace
}  // namespace gantry::nri
