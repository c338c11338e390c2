// SPDX-License-Identifier: Apache-2.0
// The probes of a pod in a runtime in memory, whose commands say what the test wants.
#include "agent/probe/prober.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>

#include "agent/environment.h"
#include "agent/fake_runtime.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::Not;

std::int64_t wall(Duration ago) {
  return (std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()) - ago).count();
}

class ProberTest : public testing::Test {
 protected:
  ProberTest() : runtime_(loop_) {
    env_ = std::shared_ptr<Environment>(new Environment{.loop = loop_,
                                                        .runtime = runtime_,
                                                        .images = runtime_,
                                                        .config = {},
                                                        .node = {},
                                                        .folders = PodFolders("/none", "/none", "/none"),
                                                        .disk = {loop_, 1},
                                                        .volumes = {loop_, 1},
                                                        .pulls{loop_, 1}});
    // The node's first gantryd has been here for long: what runs was started by it.
    env_->began = std::chrono::steady_clock::now() - 1h;
    make_prober();
    pod_ = std::make_shared<core::Pod>();
    container_ = pod_->mutable_spec()->add_containers();
    container_->set_name("web");
    observed_.sandboxes.push_back({.id = "s", .ready = true, .ips = {"10.88.0.5"}});
    run("c0", 10s);
    runtime_.on_exec = [this](const v1::ExecSyncRequest& request) -> Result<v1::ExecSyncResponse> {
      asked_.push_back(request.cmd(0));
      v1::ExecSyncResponse response;
      response.set_exit_code(good_[request.cmd(0)] ? 0 : 1);
      if (check_) check_();
      return response;
    };
  }

  void make_prober() {
    prober_ = std::make_unique<PodProber>(env_, [this] {
      ++changes_;
      loop_.post([this] {
        if (check_) check_();
      });
    });
  }
  // The pod's container is that one now, and has been for so long.
  void run(const std::string& id, Duration ago) {
    observed_.containers.clear();
    observed_.containers.push_back(
        {.id = id, .name = "web", .sandbox_id = "s", .state = ObservedContainer::State::kRunning});
    observed_.containers.back().started_at = wall(ago);
  }
  static void set(core::Probe* probe, const std::string& command, int period = 0, int failures = 1) {
    probe->mutable_handler()->mutable_exec()->add_command(command);
    probe->set_timeout_seconds(1);
    probe->set_period_seconds(period);
    probe->set_success_threshold(1);
    probe->set_failure_threshold(failures);
  }
  ObservedContainer look() {
    ObservedPod observed = observed_;
    prober_->follow(pod_, observed, before_.get());
    return observed.containers.front();
  }
  bool until(std::function<bool()> holds) {
    check_ = [this, holds] {
      if (holds()) loop_.stop();
    };
    bool late = false;
    auto over = std::make_shared<bool>(false);
    loop_.spawn([](Loop& loop, bool& late, std::shared_ptr<bool> over) -> Task<> {
      co_await loop.sleep_for(20s);
      if (*over) co_return;
      late = true;
      loop.stop();
    }(loop_, late, over));
    loop_.post([this] { check_(); });
    loop_.run();
    *over = true;
    check_ = nullptr;
    return !late;
  }

  Loop loop_;
  FakeRuntime runtime_;
  std::shared_ptr<Environment> env_;
  std::unique_ptr<PodProber> prober_;
  std::shared_ptr<core::Pod> pod_;
  core::Container* container_ = nullptr;
  ObservedPod observed_;
  std::shared_ptr<core::PodStatus> before_;
  std::map<std::string, bool> good_;
  std::vector<std::string> asked_;
  std::function<void()> check_;
  int changes_ = 0;
};

TEST_F(ProberTest, WithoutProbesAContainerIsReadyWhenItRuns) {
  EXPECT_TRUE(look().is_started);
  EXPECT_TRUE(look().is_ready);
}

TEST_F(ProberTest, ReadyOnceItSaysSo) {
  set(container_->mutable_readiness_probe(), "ready", 1000);
  run("c0", 0s);
  EXPECT_TRUE(look().is_started);
  EXPECT_FALSE(look().is_ready);
  // What is not ready yet is asked again soon, whatever the period.
  ASSERT_TRUE(until([&] { return asked_.size() == 2; }));
  EXPECT_FALSE(look().is_ready);
  EXPECT_EQ(changes_, 0);
  good_["ready"] = true;
  ASSERT_TRUE(until([&] { return changes_ == 1; }));
  EXPECT_TRUE(look().is_ready);
  EXPECT_EQ((prober_->counts().at({"web", ProbeKind::kReadiness})->failed), 2u);
  EXPECT_EQ((prober_->counts().at({"web", ProbeKind::kReadiness})->successful), 1u);
  const ProbeTimes& times = prober_->counts().at({"web", ProbeKind::kReadiness})->times;
  EXPECT_EQ(std::accumulate(times.counts.begin(), times.counts.end(), std::uint64_t{0}), 1u);
}

// The runtime waits for that with each.
TEST_F(ProberTest, EachIsOverWhenItWasAnswered) {
  set(container_->mutable_readiness_probe(), "ready");
  look();
  ASSERT_TRUE(until([&] { return runtime_.waits.size() >= 4; }));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(runtime_.waits[i]->is_set());
  runtime_.waits.clear();
  prober_->stop();
}

TEST_F(ProberTest, AfterTheFirstPeriodFailuresCount) {
  set(container_->mutable_readiness_probe(), "ready", 0, 3);
  (void)look();
  ASSERT_TRUE(until([&] { return changes_ == 1; }));
  EXPECT_FALSE(look().is_ready);
  EXPECT_EQ(asked_.size(), 3u);
  good_["ready"] = true;
  ASSERT_TRUE(until([&] { return changes_ == 2; }));
  EXPECT_TRUE(look().is_ready);
  prober_->stop();
}

TEST_F(ProberTest, UntilItHasStartedTheOthersDoNotAsk) {
  set(container_->mutable_startup_probe(), "start", 1000);
  set(container_->mutable_liveness_probe(), "live", 1000);
  set(container_->mutable_readiness_probe(), "ready", 1000);
  good_["live"] = good_["ready"] = true;
  run("c0", 0s);
  EXPECT_FALSE(look().is_started);
  ASSERT_TRUE(until([&] { return asked_.size() == 2; }));
  EXPECT_THAT(asked_, ElementsAre("start", "start"));
  EXPECT_FALSE(look().is_ready);
  good_["start"] = true;
  ASSERT_TRUE(until([&] { return changes_ == 1; }));
  EXPECT_TRUE(look().is_started);
  EXPECT_FALSE(look().is_ready);
  ASSERT_TRUE(until([&] { return changes_ == 2; }));
  EXPECT_TRUE(look().is_ready);
  EXPECT_THAT(asked_, ElementsAre("start", "start", "start", "ready")) << "once, and then no more";
}

TEST_F(ProberTest, ALivenessProbeThatFailsOftenEnoughEndsItsContainer) {
  set(container_->mutable_liveness_probe(), "live", 0, 3);
  EXPECT_FALSE(look().failed_probe);
  ASSERT_TRUE(until([&] { return changes_ == 1; }));
  EXPECT_EQ(look().failed_probe, ProbeKind::kLiveness);
  EXPECT_EQ(asked_.size(), 3u) << "it is not asked any more";
  // Also when it has ended, and not the one in its place.
  observed_.containers.front().state = ObservedContainer::State::kExited;
  EXPECT_EQ(look().failed_probe, ProbeKind::kLiveness);
  run("c1", 0s);
  EXPECT_FALSE(look().failed_probe);
}

TEST_F(ProberTest, AStartupProbeThatFailsToo) {
  set(container_->mutable_startup_probe(), "start", 0, 2);
  (void)look();
  ASSERT_TRUE(until([&] { return changes_ == 1; }));
  EXPECT_EQ(look().failed_probe, ProbeKind::kStartup);
  EXPECT_FALSE(look().is_started);
}

TEST_F(ProberTest, ANewContainerIsAskedAnew) {
  set(container_->mutable_readiness_probe(), "ready", 1000);
  good_["ready"] = true;
  (void)look();
  ASSERT_TRUE(until([&] { return changes_ == 1; }));
  EXPECT_TRUE(look().is_ready);
  run("c1", 0s);
  EXPECT_FALSE(look().is_ready);
  ASSERT_TRUE(until([&] { return changes_ == 2; }));
  EXPECT_TRUE(look().is_ready);
}

TEST_F(ProberTest, ARestartOfGantrydFlipsNothing) {
  set(container_->mutable_startup_probe(), "start", 1000);
  set(container_->mutable_readiness_probe(), "ready", 0, 2);
  env_->began = std::chrono::steady_clock::now();
  before_ = std::make_shared<core::PodStatus>();
  auto& said = *before_->add_container_statuses();
  said.set_name("web");
  said.set_container_id("gantry://c0");
  said.set_started(true);
  said.set_ready(true);
  EXPECT_TRUE(look().is_started);
  EXPECT_TRUE(look().is_ready);
  ASSERT_TRUE(until([&] { return asked_.size() == 1; }));
  EXPECT_TRUE(look().is_ready) << "one failure is not enough";
  ASSERT_TRUE(until([&] { return changes_ == 1; }));
  EXPECT_FALSE(look().is_ready);
  EXPECT_THAT(asked_, Not(Contains("start")));
  // What was said of another container says nothing of this one.
  prober_.reset();
  make_prober();
  said.set_container_id("gantry://c9");
  EXPECT_FALSE(look().is_started);
}

TEST_F(ProberTest, AnEndingPodIsAskedForReadinessAlone) {
  set(container_->mutable_liveness_probe(), "live", 0, 3);
  set(container_->mutable_readiness_probe(), "ready", 0);
  good_["ready"] = true;
  (void)look();
  prober_->keep_readiness_only();
  ASSERT_TRUE(until([&] { return look().is_ready; }));
  good_["ready"] = false;
  ASSERT_TRUE(until([&] { return !look().is_ready; }));
  EXPECT_LE(std::ranges::count(asked_, "live"), 1) << "which was under way";
  EXPECT_FALSE(look().failed_probe);
}

TEST_F(ProberTest, WhatIsNotLearntChangesNothing) {
  set(container_->mutable_liveness_probe(), "live", 0);
  int left = 5;
  runtime_.on_exec = [&](const v1::ExecSyncRequest&) -> Result<v1::ExecSyncResponse> {
    if (--left > 0) return fail(Code::kUnavailable, "the runtime is away");
    loop_.stop();
    return v1::ExecSyncResponse();
  };
  (void)look();
  ASSERT_TRUE(until([&] { return left <= 0; }));
  EXPECT_FALSE(look().failed_probe);
  EXPECT_EQ((prober_->counts().at({"web", ProbeKind::kLiveness})->unknown), 4u);
}

}  // namespace
}  // namespace gantry::agent
