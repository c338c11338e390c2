// SPDX-License-Identifier: Apache-2.0
// For tests: the agent as a whole, with a folder of manifests and a runtime in memory.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/fake_runtime.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {

namespace core = k8s::io::api::core::v1;
namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A pod of containers of one image, with more lines in its spec.
inline std::string manifest(const std::string& name, const std::string& spec = "") {
  return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: " + name + "\nspec:\n" + spec +
         "  containers:\n  - name: web\n    image: my-app:1.0\n";
}

class AgentTest : public testing::Test {
 protected:
  AgentTest() {
    char path[] = "/tmp/gantry-agent-XXXXXX";
    root_ = ::mkdtemp(path);
    config_.manifest_dir = root_ + "/manifests";
    config_.root_dir = root_ + "/kubelet";
    config_.pod_logs_dir = root_ + "/logs";
    config_.container_logs_dir = root_ + "/links";
    config_.node_name = "node";
    config_.host_ip = "192.0.2.1";
    config_.crash = {milliseconds(20), milliseconds(80), std::chrono::seconds(10)};
    config_.image = {milliseconds(5), milliseconds(20), std::chrono::seconds(10)};
    config_.retry = {milliseconds(5), milliseconds(20), std::chrono::seconds(10)};
    runtime_.changed = [this] { check(); };
    fs::create_directory(config_.manifest_dir);
  }
  ~AgentTest() override {
    agent_.reset();
    fs::remove_all(root_);
  }

  void start() {
    agent_ = std::make_unique<Agent>(loop_, runtime_, runtime_, config_, nullptr, prepare_);
    agent_->observe([this](const PodInfo&) {
      ++changes_;
      loop_.post([this] { check(); });
    });
    bool started = false;
    loop_.spawn([](AgentTest& self, bool& done) -> Task<> {
      auto result = co_await self.agent_->start();
      EXPECT_TRUE(result) << (result ? "" : result.error().message());
      done = true;
      self.check();
    }(*this, started));
    ASSERT_TRUE(until([&] { return started; }));
  }
  void restart() {
    agent_.reset();
    start();
  }

  // Runs the loop until it holds; false after a time that only a hanging test takes.
  bool until(std::function<bool()> holds) {
    if (holds()) return true;
    holds_ = std::move(holds);
    bool late = false;
    int turn = ++turn_;
    loop_.spawn([](AgentTest& self, int turn, bool& late) -> Task<> {
      co_await self.loop_.sleep_for(std::chrono::seconds(90));
      if (self.turn_ != turn) co_return;
      late = true;
      self.loop_.stop();
    }(*this, turn, late));
    loop_.run();
    ++turn_;
    holds_ = nullptr;
    return !late;
  }
  // For what must not happen: time enough for all that would.
  void settle() {
    bool over = false;
    loop_.spawn([](AgentTest& self, bool& over) -> Task<> {
      co_await self.loop_.sleep_for(milliseconds(60));
      over = true;
      self.check();
    }(*this, over));
    until([&] { return over; });
  }
  void check() {
    if (holds_ && holds_()) loop_.stop();
  }

  void write(const std::string& file, const std::string& text) {
    std::ofstream(config_.manifest_dir + "/" + file) << text;
  }
  void remove(const std::string& file) { fs::remove(config_.manifest_dir + "/" + file); }

  const core::PodStatus* status(const std::string& name) {
    held_ = agent_->pods();
    for (const auto& info : held_) {
      if (info.pod && info.status && info.pod->metadata().name() == name) return info.status.get();
    }
    return nullptr;
  }
  std::string phase(const std::string& name) {
    const auto* now = status(name);
    return now == nullptr ? "" : now->phase();
  }
  core::ContainerStatus container(const std::string& pod, int index = 0) {
    const auto* now = status(pod);
    return now == nullptr ? core::ContainerStatus() : now->container_statuses(index);
  }
  std::string waiting(const std::string& pod) { return container(pod).state().waiting().reason(); }
  bool has_condition(const std::string& pod, const std::string& type) {
    const auto* now = status(pod);
    if (now == nullptr) return false;
    for (const auto& condition : now->conditions()) {
      if (condition.type() == type) return condition.status() == "True";
    }
    return false;
  }
  bool is_ready(const std::string& pod) { return has_condition(pod, "Ready"); }
  std::string sandbox_of(const std::string& pod) {
    for (const auto& [id, sandbox] : runtime_.sandboxes) {
      if (sandbox.config.metadata().name() == pod && sandbox.sandbox.state() == fake::v1::SANDBOX_READY) return id;
    }
    return "";
  }
  // Without the questions.
  std::vector<std::string> steps() {
    std::vector<std::string> steps;
    for (const auto& call : runtime_.calls) {
      if (!call.starts_with("image")) steps.push_back(call);
    }
    return steps;
  }

  Loop loop_;
  FakeRuntime runtime_{loop_};
  std::string root_;
  AgentConfig config_;
  PrepareVolumes prepare_ = volumes::prepare;
  std::unique_ptr<Agent> agent_;
  std::vector<PodInfo> held_;
  std::function<bool()> holds_;
  int turn_ = 0;
  int changes_ = 0;
};

}  // namespace gantry::agent
