// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "agent/cluster.h"
#include "agent/fake_api.h"
#include "agent/fake_runtime.h"
#include "agent/pull_records.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr char kImage[] = "registry.example/team/app:1";
constexpr char kSecret[] =
    R"({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "keys", "namespace": "default"},
        "type": "kubernetes.io/dockercfg", "data": {".dockercfg": "eyJyZWdpc3RyeS5leGFtcGxlIjp7InVzZXJuYW1lIjoicm9vdCJ9fQ=="}})";

class PodImagesTest : public testing::Test {
 protected:
  PodImagesTest() {
    runtime_.changed = api_.changed = [this] { check(); };
    config_.pull = {milliseconds(20), milliseconds(80), seconds(10)};
    config_.image = {milliseconds(2), milliseconds(5), seconds(10)};
    core::Pod pod;
    pod.mutable_metadata()->set_name("web");
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_uid("uid-web");
    pod.mutable_spec()->add_containers()->set_name("app");
    pod_ = std::make_shared<core::Pod>(pod);
    env_ = std::shared_ptr<Environment>(new Environment{.loop = loop_,
                                                        .runtime = runtime_,
                                                        .images = runtime_,
                                                        .config = config_,
                                                        .node = {},
                                                        .folders = PodFolders("/r", "/l", "/c"),
                                                        .disk = {loop_, 1},
                                                        .volumes = {loop_, 1},
                                                        .cluster = &cluster_,
                                                        .pulls{loop_, config_.pull_limits.most()},
                                                        .events = &cluster_.events()});
    images_ = make();
  }
  std::shared_ptr<PodImages> make() {
    return std::make_shared<PodImages>(env_, [this] {
      ++heard_;
      check();
    });
  }
  bool until(std::function<bool()> holds) {
    if (holds()) return true;
    holds_ = std::move(holds);
    bool late = false;
    const int turn = ++turn_;
    loop_.spawn([](PodImagesTest& self, int turn, bool& late) -> Task<> {
      co_await self.loop_.sleep_for(seconds(20));
      if (self.turn_ != turn) co_return;
      late = true;
      self.loop_.stop();
    }(*this, turn, late));
    loop_.run();
    ++turn_;
    holds_ = nullptr;
    return !late;
  }
  // "image", "pulling", or "REASON: message".
  std::string ask(const std::string& policy, const std::string& image = kImage, std::uint32_t attempt = 0) {
    std::string said;
    loop_.spawn([](PodImagesTest& self, PodImages::Want want, std::string& said) -> Task<> {
      auto answer = co_await self.images_->ask(std::move(want));
      said = answer.image ? "image" : answer.why ? answer.why->reason + ": " + answer.why->message : "pulling";
      self.check();
    }(*this, {pod_, "app", image, policy, attempt}, said));
    EXPECT_TRUE(until([&] { return !said.empty(); }));
    return said;
  }
  // What the pull that is under way comes to.
  std::string ask_again(const std::string& policy, const std::string& image = kImage, std::uint32_t attempt = 0) {
    EXPECT_TRUE(until([&] { return !images_->is_pulling("app"); }));
    return ask(policy, image, attempt);
  }
  bool has_event(const std::string& event) {
    return until(
        [&] { return std::ranges::any_of(api_.events(), [&](const auto& e) { return e.starts_with(event); }); });
  }
  int pulls() const {
    return static_cast<int>(
        std::ranges::count_if(runtime_.calls, [](const auto& call) { return call.starts_with("pull "); }));
  }
  void check() {
    if (holds_ && holds_()) loop_.stop();
  }

  Loop loop_;
  FakeRuntime runtime_{loop_};
  FakeApi api_{loop_};
  Cluster cluster_{loop_, api_, "node"};
  AgentConfig config_;
  std::shared_ptr<const core::Pod> pod_;
  std::shared_ptr<Environment> env_;
  std::shared_ptr<PodImages> images_;
  std::function<bool()> holds_;
  int turn_ = 0, heard_ = 0;
};

TEST_F(PodImagesTest, APresentImageIsUsed) {
  runtime_.images[kImage] = "";
  EXPECT_EQ(ask("IfNotPresent"), "image");
  EXPECT_EQ(ask("Never"), "image");
  EXPECT_EQ(pulls(), 0);
  EXPECT_TRUE(
      has_event("Normal Pulled web{app} x2: Container image \"registry.example/team/app:1\" already present on "
                "machine and can be accessed by the pod"));
}

TEST_F(PodImagesTest, AMissingOneIsPulled) {
  runtime_.registry[kImage] = "";
  EXPECT_EQ(ask("IfNotPresent"), "pulling");
  EXPECT_EQ(ask_again("IfNotPresent"), "image");
  EXPECT_EQ(heard_, 1);
  EXPECT_EQ(pulls(), 1);
  EXPECT_TRUE(has_event("Normal Pulling web{app} x1: Pulling image \"registry.example/team/app:1\""));
  EXPECT_TRUE(has_event("Normal Pulled web{app} x1: Successfully pulled image \"registry.example/team/app:1\" in "));
}

TEST_F(PodImagesTest, AlwaysIsOnceForEachStart) {
  runtime_.registry[kImage] = runtime_.images[kImage] = "";
  EXPECT_EQ(ask("Always"), "pulling");
  EXPECT_EQ(ask_again("Always"), "image");
  EXPECT_EQ(ask("Always"), "image") << "the same start is tried again";
  EXPECT_EQ(pulls(), 1);
  EXPECT_EQ(ask("Always", kImage, 1), "pulling");
  EXPECT_EQ(ask_again("Always", kImage, 1), "image");
  EXPECT_EQ(pulls(), 2);
}

TEST_F(PodImagesTest, WhatFailsIsHeldBackAndHeals) {
  const std::string failure = "ErrImagePull: the registry has no registry.example/team/app:1";
  EXPECT_EQ(ask("IfNotPresent"), "pulling");
  EXPECT_EQ(ask_again("IfNotPresent"), failure);
  int failed = 1;
  std::string said = ask("IfNotPresent");
  // On a machine that stood still the pause is over already: the next pull fails too, and its pause is longer.
  for (; said == "pulling"; ++failed) {
    EXPECT_EQ(ask_again("IfNotPresent"), failure);
    said = ask("IfNotPresent");
  }
  EXPECT_EQ(said, "ImagePullBackOff: Back-off pulling image \"registry.example/team/app:1\": " + failure);
  EXPECT_TRUE(has_event("Warning Failed web{app} x" + std::to_string(failed) +
                        ": Failed to pull image \"registry.example/team/app:1\": the registry"));
  EXPECT_TRUE(has_event("Normal BackOff web{app} x1: Back-off pulling image \"registry.example/team/app:1\""));
  runtime_.registry[kImage] = "";
  while (said != "image") said = ask_again("IfNotPresent");
  EXPECT_EQ(pulls(), failed + 1);
}

TEST_F(PodImagesTest, OneThatComesByAnotherWayIsFoundWhilePullsAreHeldBack) {
  EXPECT_EQ(ask("IfNotPresent"), "pulling");
  EXPECT_THAT(ask_again("IfNotPresent"), StartsWith("ErrImagePull"));
  runtime_.images[kImage] = "";
  EXPECT_EQ(ask("IfNotPresent"), "image");
}

TEST_F(PodImagesTest, ARegistryThatIsAwayHasAReasonOfItsOwn) {
  runtime_.failures.emplace(std::string("pull ") + kImage, Error(Code::kUnavailable, "connection refused"));
  EXPECT_EQ(ask("Always"), "pulling");
  EXPECT_EQ(
      ask_again("Always"),
      "RegistryUnavailable: image pull failed for registry.example/team/app:1 because the registry is unavailable: "
      "connection refused");
}

TEST_F(PodImagesTest, NeverAndBadNamesSaySo) {
  EXPECT_EQ(
      ask("Never"),
      "ErrImageNeverPull: Container image \"registry.example/team/app:1\" is not present with pull policy of Never");
  EXPECT_THAT(
      ask("IfNotPresent", "Not:A:Name"),
      StartsWith("InvalidImageName: Failed to apply default image tag \"Not:A:Name\": couldn't parse image name "));
  EXPECT_EQ(pulls(), 0);
}

TEST_F(PodImagesTest, ThePodsSecretsAreShownAndTheirLackIsTold) {
  runtime_.registry[kImage] = "root";
  core::Pod pod = *pod_;
  pod.mutable_spec()->add_image_pull_secrets()->set_name("keys");
  pod.mutable_spec()->add_image_pull_secrets()->set_name("missing");
  pod_ = std::make_shared<core::Pod>(pod);
  EXPECT_EQ(ask("IfNotPresent"), "pulling");
  EXPECT_EQ(ask_again("IfNotPresent"), "ErrImagePull: 401 Unauthorized");
  EXPECT_TRUE(has_event(
      "Warning FailedToRetrieveImagePullSecret web x1: Unable to retrieve some image pull secrets (keys, missing); "
      "attempting to pull the image may not succeed."));
  api_.put("/api/v1/namespaces/default/secrets/keys", *api::parse_json(kSecret));
  std::string said;
  while (said != "image") said = ask_again("IfNotPresent");
  EXPECT_THAT(runtime_.calls, Contains(std::string("pull ") + kImage + " root"));
}

TEST_F(PodImagesTest, AnEndTakesThePullAlong) {
  runtime_.registry[kImage] = "";
  runtime_.pull_gate = std::make_shared<Event>(loop_);
  EXPECT_EQ(ask("Always"), "pulling");
  ASSERT_TRUE(until([&] { return pulls() == 1; }));
  EXPECT_TRUE(images_->is_pulling("app"));
  images_->stop();
  EXPECT_FALSE(images_->is_pulling("app"));
  // The next one's turn has come.
  runtime_.registry["other:1"] = "";
  images_ = make();
  EXPECT_EQ(ask("Always", "other:1"), "pulling");
  ASSERT_TRUE(until([&] { return pulls() == 2; }));
  EXPECT_EQ(heard_, 0);
  EXPECT_THAT(runtime_.images, Not(Contains(testing::Key(kImage))));
  // Another image in its place is another pull.
  EXPECT_EQ(ask("Always", kImage), "pulling");
  runtime_.pull_gate->set();
  EXPECT_EQ(ask_again("Always", kImage), "image");
  EXPECT_THAT(runtime_.images, Not(Contains(testing::Key("other:1"))));
}

class RecordedPodImagesTest : public PodImagesTest {
 protected:
  RecordedPodImagesTest() {
    char name[] = "/tmp/gantry-pod-images-XXXXXX";
    folder_ = ::mkdtemp(name);
    records_ = std::make_shared<PullRecords>(loop_, env_->disk, folder_, PullVerification());
    env_->pull_records = records_;
    core::Pod pod = *pod_;
    pod.mutable_spec()->add_image_pull_secrets()->set_name("keys");
    pod_ = std::make_shared<core::Pod>(pod);
    loop_.spawn([](RecordedPodImagesTest& self) -> Task<> {
      auto loaded = co_await self.records_->load();
      EXPECT_TRUE(loaded) << loaded.error().message();
      self.is_loaded_ = true;
      self.check();
    }(*this));
    EXPECT_TRUE(until([&] { return is_loaded_; }));
  }
  ~RecordedPodImagesTest() override {
    images_->stop();
    std::filesystem::remove_all(folder_);
  }
  PullRecords::Use use() const { return records_->use_of(kImage, "sha256:" + std::string(kImage)); }
  // Of what nobody else is told.
  void until_use(PullRecords::Use wanted) {
    loop_.spawn([](RecordedPodImagesTest& self, PullRecords::Use wanted) -> Task<> {
      while (self.use() != wanted) co_await self.loop_.sleep_for(milliseconds(1));
      self.check();
    }(*this, wanted));
    EXPECT_TRUE(until([&] { return use() == wanted; }));
  }

  std::string folder_;
  std::shared_ptr<PullRecords> records_;
  bool is_loaded_ = false;
};

TEST_F(RecordedPodImagesTest, WhatThePodHasShownItNeedNotShowAgain) {
  runtime_.registry[kImage] = "root";
  api_.put("/api/v1/namespaces/default/secrets/keys", *api::parse_json(kSecret));
  EXPECT_EQ(ask("IfNotPresent"), "pulling");
  EXPECT_EQ(ask_again("IfNotPresent"), "image");
  EXPECT_EQ(use(), PullRecords::Use::kSecretDecides);
  // The agent is another one; later the container crashes while the API server is away.
  images_ = make();
  EXPECT_EQ(ask("IfNotPresent", kImage, 1), "image");
  api_.set_away(true);
  EXPECT_EQ(ask("IfNotPresent", kImage, 2), "image");
  EXPECT_EQ(pulls(), 1);
}

TEST_F(RecordedPodImagesTest, APullThatNeverBeganLeavesNothing) {
  runtime_.images[kImage] = "";
  EXPECT_EQ(use(), PullRecords::Use::kFree);
  api_.silent = "/secrets/keys";
  EXPECT_EQ(ask("Always"), "pulling");
  until_use(PullRecords::Use::kNot);
  images_->stop();
  api_.set_away(true);
  until_use(PullRecords::Use::kFree);
  EXPECT_EQ(pulls(), 0);
}

TEST_F(RecordedPodImagesTest, APullOfWhichNobodyKnowsWhatCameLetsNobodyIn) {
  runtime_.registry[kImage] = "";
  runtime_.pull_gate = std::make_shared<Event>(loop_);
  EXPECT_EQ(ask("IfNotPresent"), "pulling");
  ASSERT_TRUE(until([&] { return pulls() == 1; }));
  runtime_.failures.emplace(std::string("image ") + kImage, Error(Code::kUnavailable, "it begins anew"));
  runtime_.pull_gate->set();
  ASSERT_TRUE(until([&] { return !images_->is_pulling("app"); }));
  runtime_.failures.clear();
  EXPECT_EQ(use(), PullRecords::Use::kNot);
}

}  // namespace
}  // namespace gantry::agent
