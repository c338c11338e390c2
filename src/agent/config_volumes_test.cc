// SPDX-License-Identifier: Apache-2.0
// A pod's config map as files: on the disk, so that no root is needed.
#include "agent/config_volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "agent/cluster.h"
#include "agent/fake_api.h"
#include "agent/fake_runtime.h"
#include "agent/object_cache.h"
#include "agent/token_manager.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::Contains;
using testing::HasSubstr;

constexpr char kPath[] = "/api/v1/namespaces/default/configmaps/settings";

class ConfigVolumesTest : public testing::Test {
 protected:
  ConfigVolumesTest() {
    char path[] = "/tmp/gantry-config-XXXXXX";
    root_ = ::mkdtemp(path);
    config_.retry = {milliseconds(5), milliseconds(20), std::chrono::seconds(10)};
    pod_ = std::make_shared<core::Pod>();
    pod_->mutable_metadata()->set_name("web");
    pod_->mutable_metadata()->set_namespace_("default");
    pod_->mutable_metadata()->set_uid("u1");
    auto& volume = *pod_->mutable_spec()->add_volumes();
    volume.set_name("settings");
    volume.mutable_volume_source()->mutable_config_map()->mutable_local_object_reference()->set_name("settings");
    env_ = std::shared_ptr<Environment>(new Environment{.loop = loop_,
                                                        .runtime = runtime_,
                                                        .images = runtime_,
                                                        .config = config_,
                                                        .node = {},
                                                        .folders = PodFolders(root_, root_ + "/logs", root_ + "/links"),
                                                        .disk = {loop_, 1},
                                                        .volumes = {loop_, 1},
                                                        .cluster = &cluster_,
                                                        .pulls{loop_, 1},
                                                        .events = &cluster_.events()});
    env_->objects = std::make_shared<ObjectCache>(cluster_.client());
    env_->tokens = std::make_shared<TokenManager>(cluster_.client(), [] { return std::int64_t{0}; });
    holder_ = env_->objects->hold([this] { volumes_->hear(); });
    holder_.need(objects_of(*pod_));
  }
  ~ConfigVolumesTest() override {
    end();
    fs::remove_all(root_);
  }

  void begin() {
    volumes_ = std::make_shared<ConfigVolumes>(env_, pod_, [this] { ++told_; });
    volumes_->start();
  }
  void end() {
    volumes_->stop();
    bool done = false;
    loop_.spawn([](ConfigVolumesTest& self, bool& done) -> Task<> {
      co_await self.volumes_->wait_ended();
      done = true;
    }(*this, done));
    run_until([&] { return done; });
  }
  // Turn by turn: what is waited for comes from a file.
  void run_until(const std::function<bool()>& holds) {
    while (!holds()) {
      loop_.spawn([](Loop& loop) -> Task<> {
        co_await loop.sleep_for(milliseconds(1));
        loop.stop();
      }(loop_));
      loop_.run();
    }
  }
  std::string prepared() {
    run_until([&] { return volumes_->was_tried(); });
    auto all = volumes_->prepared();
    return all ? all->at("settings").path : all.error().message();
  }
  void put(const std::string& color) {
    auto object = *api::parse_json(R"({"metadata": {"name": "settings"}})");
    object["data"] = api::Value::object({{"color", color}});
    api_.put(kPath, std::move(object));
  }
  std::string read(const std::string& name) {
    std::ifstream file(root_ + "/pods/u1/volumes/kubernetes.io~configmap/settings/" + name);
    std::string text;
    std::getline(file, text);
    return text;
  }

  Loop loop_;
  FakeRuntime runtime_{loop_};
  FakeApi api_{loop_};
  Cluster cluster_{loop_, api_, "node"};
  std::string root_;
  AgentConfig config_;
  std::shared_ptr<core::Pod> pod_;
  std::shared_ptr<Environment> env_;
  std::shared_ptr<ConfigVolumes> volumes_;
  ObjectCache::Holder holder_;
  int told_ = 0;
};

TEST_F(ConfigVolumesTest, AMissingObjectIsSaidAndHeals) {
  begin();
  EXPECT_EQ(prepared(), "MountVolume.SetUp failed for volume \"settings\" : configmap \"settings\" not found");
  put("red");
  run_until([&] { return told_ == 2; });
  EXPECT_EQ(read("color"), "red");
  EXPECT_EQ(prepared(), root_ + "/pods/u1/volumes/kubernetes.io~configmap/settings");
}

TEST_F(ConfigVolumesTest, AChangeIsWrittenAndALossIsNot) {
  put("red");
  begin();
  run_until([&] { return told_ == 1; });
  put("blue");
  run_until([&] { return read("color") == "blue"; });
  api_.remove(kPath);
  run_until([&] { return !api_.events().empty(); });
  EXPECT_THAT(api_.events(), Contains(HasSubstr("Warning FailedMount web x")));
  EXPECT_EQ(read("color"), "blue");
  put("green");
  run_until([&] { return read("color") == "green"; });
  EXPECT_EQ(told_, 1);
}

TEST_F(ConfigVolumesTest, WhatWasWrittenBeforeIsEnoughWhileTheServerIsAway) {
  put("red");
  begin();
  run_until([&] { return told_ == 1; });
  end();
  api_.remove(kPath);
  begin();
  EXPECT_EQ(prepared(), root_ + "/pods/u1/volumes/kubernetes.io~configmap/settings");
  EXPECT_EQ(read("color"), "red");
}

TEST_F(ConfigVolumesTest, WhatTheServerDoesNotAnswerIsNotWaitedForInTheEnd) {
  auto& volume = *pod_->mutable_spec()->mutable_volumes(0)->mutable_volume_source();
  auto& source = *volume.mutable_projected()->add_sources()->mutable_service_account_token();
  source.set_path("token");
  source.set_expiration_seconds(3600);
  api_.silent = "/token";
  begin();
  run_until([&] { return api_.waiting == 1; });
  end();
  EXPECT_FALSE(volumes_->was_tried());
  EXPECT_FALSE(fs::exists(root_ + "/pods/u1"));
  api_.set_away(true);
  run_until([&] { return volumes_.use_count() == 1; });
}

}  // namespace
}  // namespace gantry::agent
