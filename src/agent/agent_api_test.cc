// SPDX-License-Identifier: Apache-2.0
// The agent with pods of an API server's, and a runtime in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "agent/agent.h"
#include "agent/cluster.h"
#include "agent/fake_api.h"
#include "agent/fake_runtime.h"
#include "agent/shutdown/fake_logind.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string pod_text(const std::string& name, const std::string& spec = "", const std::string& metadata = "",
                     const std::string& status = "{}") {
  return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: " + name + "\n" + metadata + "spec:\n  nodeName: node\n" +
         "  restartPolicy: Always\n  terminationGracePeriodSeconds: 30\n" + spec +
         "  containers:\n  - {name: web, image: 'my-app:1.0', imagePullPolicy: IfNotPresent, terminationMessagePath: "
         "/dev/termination-log, terminationMessagePolicy: File}\nstatus: " +
         status + "\n";
}

constexpr char kDeleted[] = "  deletionTimestamp: 2026-01-01T00:00:00Z\n  deletionGracePeriodSeconds: ";

class AgentApiTest : public testing::Test {
 protected:
  AgentApiTest() {
    char path[] = "/tmp/gantry-agent-XXXXXX";
    root_ = ::mkdtemp(path);
    config_.manifest_dir = root_ + "/manifests";
    config_.root_dir = root_ + "/kubelet";
    config_.pod_logs_dir = root_ + "/logs";
    config_.container_logs_dir = root_ + "/links";
    config_.node_name = "node";
    config_.host_ip = "192.0.2.1";
    config_.crash = {milliseconds(20), milliseconds(80), std::chrono::seconds(10)};
    config_.retry = {milliseconds(5), milliseconds(20), std::chrono::seconds(10)};
    config_.tell = {milliseconds(5), milliseconds(20), std::chrono::seconds(10)};
    runtime_.changed = api_.changed = [this] { check(); };
  }
  ~AgentApiTest() override {
    agent_.reset();
    fs::remove_all(root_);
  }

  void start() {
    agent_.reset();
    clusters_.push_back(std::make_unique<Cluster>(loop_, api_, "node"));
    agent_ = std::make_unique<Agent>(loop_, runtime_, runtime_, config_, clusters_.back().get());
    agent_->observe([this](const PodInfo&) { loop_.post([this] { check(); }); });
    bool started = false;
    loop_.spawn([](AgentApiTest& self, bool& done) -> Task<> {
      auto result = co_await self.agent_->start();
      EXPECT_TRUE(result) << (result ? "" : result.error().message());
      self.clusters_.back()->start();
      done = true;
      self.check();
    }(*this, started));
    ASSERT_TRUE(until([&] { return started; }));
  }
  bool until(std::function<bool()> holds) {
    if (holds()) return true;
    holds_ = std::move(holds);
    bool late = false;
    int turn = ++turn_;
    loop_.spawn([](AgentApiTest& self, int turn, bool& late) -> Task<> {
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
  // What was posted up to now has been done after it.
  void turn() {
    bool done = false;
    loop_.spawn([](AgentApiTest& self, bool& done) -> Task<> {
      co_await self.loop_.sleep_for(milliseconds(1));
      done = true;
      self.check();
    }(*this, done));
    ASSERT_TRUE(until([&] { return done; }));
  }
  void check() {
    if (holds_ && holds_()) loop_.stop();
  }
  bool is_ready(const std::string& name) {
    const auto* pod = api_.pod(name);
    if (pod == nullptr || pod->find("status") == nullptr) return false;
    for (const auto& condition : pod->find("status")->list_at("conditions")) {
      if (condition.text_at("type") == "Ready") return condition.text_at("status") == "True";
    }
    return false;
  }
  std::string said(const std::string& name, const char* member) {
    const auto* pod = api_.pod(name);
    return pod == nullptr ? "" : pod->find("status")->text_at(member);
  }

  Loop loop_;
  FakeRuntime runtime_{loop_};
  FakeApi api_{loop_};
  std::string root_;
  AgentConfig config_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
  std::unique_ptr<Agent> agent_;
  std::function<bool()> holds_;
  int turn_ = 0;
};

TEST_F(AgentApiTest, RunsAPodAndSaysSo) {
  start();
  api_.put_pod(pod_text("web", "", "  generation: 3\n"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  EXPECT_EQ(api_.phase("web"), "Running");
  EXPECT_EQ(said("web", "podIP"), "10.88.0.5");
  EXPECT_EQ(said("web", "hostIP"), "192.0.2.1");
  EXPECT_EQ(said("web", "qosClass"), "BestEffort");
  EXPECT_EQ(api_.pod("web")->find("status")->find("observedGeneration")->as_int64(), 3);
  EXPECT_EQ(runtime_.sandboxes.begin()->second.config.annotations().at("gantry.io/api-node"), "node");
}

TEST_F(AgentApiTest, ADeletedPodEndsWithItsGraceAndThenItsObjectGoes) {
  start();
  api_.put_pod(pod_text("web"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  std::vector<std::string> ends;
  api_.changed = [&] {
    if (!api_.phase("web").empty()) ends.push_back(api_.phase("web"));
    check();
  };
  api_.put_pod(pod_text("web", "", std::string(kDeleted) + "7\n", "{phase: Running}"));
  ASSERT_TRUE(until([&] { return api_.pod("web") == nullptr && agent_->pods().empty(); }));
  EXPECT_EQ(runtime_.count("stop web 7"), 1);
  EXPECT_THAT(runtime_.sandboxes, IsEmpty());
  ASSERT_FALSE(ends.empty());
  EXPECT_EQ(ends.back(), "Failed") << "its end was told before the object went";
  EXPECT_EQ(api_.count("DELETE " + FakeApi::path_of("web")), 1);
}

TEST_F(AgentApiTest, AnotherImageIsAnotherContainerInThePodsPlace) {
  start();
  runtime_.images["my-app:2.0"] = "";
  const std::string more =
      "  initContainers:\n  - {name: proxy, image: 'my-app:1.0', restartPolicy: Always, imagePullPolicy: "
      "IfNotPresent}\n";
  api_.put_pod(pod_text("web", more, "  generation: 1\n"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  std::string changed = pod_text("web", more, "  generation: 2\n");
  const auto with_image = [&](const std::string& image) {
    std::string text = changed;
    text.replace(text.rfind("my-app:1.0"), std::string("my-app:1.0").size(), image);
    return text;
  };
  const auto restarts = [&] {
    const auto& containers = api_.pod("web")->find("status")->list_at("containerStatuses");
    const auto* count = containers.empty() ? nullptr : containers[0].find("restartCount");
    return count == nullptr ? 0 : count->as_int64().value_or(0);
  };
  api_.put_pod(with_image("my-app:2.0"));
  ASSERT_TRUE(until([&] { return restarts() == 1 && is_ready("web"); }));
  EXPECT_EQ(runtime_.count("stop web 30"), 1);
  EXPECT_EQ(runtime_.count("stop proxy 30"), 0) << "others are untouched";
  EXPECT_EQ(runtime_.containers.at(runtime_.id_of("web")).config.image().user_specified_image(), "my-app:2.0");
  // Nor does a restart of gantryd change anything.
  const auto id = runtime_.id_of("web");
  start();
  turn();
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  EXPECT_EQ(runtime_.id_of("web"), id);

  // An image that is not there is named, and the right one is taken at once.
  config_.image = {std::chrono::hours(1), std::chrono::hours(1), std::chrono::hours(1)};
  start();
  changed = pod_text("web", more, "  generation: 3\n");
  api_.put_pod(with_image("my-app:3.0"));
  ASSERT_TRUE(until([&] { return runtime_.count("image my-app:3.0") == 1 && !is_ready("web"); }));
  changed = pod_text("web", more, "  generation: 4\n");
  api_.put_pod(with_image("my-app:1.0"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  EXPECT_EQ(restarts(), 2);
}

TEST_F(AgentApiTest, AnEphemeralContainerJoinsARunningPod) {
  start();
  api_.put_pod(pod_text("web"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  const std::string debug =
      "  ephemeralContainers:\n  - {name: debug, image: 'my-app:1.0', imagePullPolicy: IfNotPresent, stdin: true, tty: "
      "true, targetContainerName: web}\n";
  runtime_.short_lived["debug"] = 7;
  api_.put_pod(pod_text("web", debug, "  generation: 2\n"));
  const auto debugs = [&] { return api_.pod("web")->find("status")->list_at("ephemeralContainerStatuses"); };
  ASSERT_TRUE(until([&] { return !debugs().empty() && debugs()[0].find("state")->find("terminated") != nullptr; }));
  const auto& config = runtime_.containers.at(runtime_.id_of("debug")).config;
  EXPECT_TRUE(config.stdin() && config.tty());
  const auto& namespaces = config.linux().security_context().namespace_options();
  EXPECT_EQ(namespaces.pid(), fake::v1::TARGET);
  EXPECT_EQ(namespaces.target_id(), runtime_.id_of("web"));
  EXPECT_EQ(debugs()[0].find("state")->find("terminated")->find("exitCode")->as_int64(), 7);
  turn();
  EXPECT_TRUE(is_ready("web"));
  EXPECT_EQ(api_.phase("web"), "Running");
  EXPECT_EQ(runtime_.count("create debug 1"), 0);
}

// ---- hooks

// Of a container `web`, with these lines in its lifecycle.
std::string hooked(const std::string& name, const std::string& lifecycle, const std::string& metadata = "",
                   const std::string& status = "{}") {
  std::string text = pod_text(name, "", metadata, status);
  text.insert(text.find("terminationMessagePath"), "lifecycle: {" + lifecycle + "}, ");
  return text;
}

TEST_F(AgentApiTest, AContainerIsReadyAfterItsPostStartHook) {
  start();
  runtime_.exec_codes["/hook"] = -1;
  api_.put_pod(hooked("web", "postStart: {exec: {command: [/hook]}}"));
  ASSERT_TRUE(until([&] { return runtime_.count("exec web /hook") == 1; }));
  turn();
  EXPECT_TRUE(runtime_.is_running("web"));
  EXPECT_FALSE(is_ready("web"));
  // A hook that hangs does not hold up the pod's end; after a restart of gantryd it counts as done.
  start();
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  EXPECT_EQ(runtime_.count("exec web /hook"), 1);
}

TEST_F(AgentApiTest, APostStartHookThatFailsStopsItsContainer) {
  start();
  runtime_.exec_codes["/hook x"] = 3;
  api_.put_pod(hooked("web", "postStart: {exec: {command: [/hook, x]}}"));
  const auto waiting = [&](const char* member) {
    const auto* pod = api_.pod("web");
    const auto* status = pod == nullptr ? nullptr : pod->find("status");
    if (status == nullptr || status->list_at("containerStatuses").empty()) return std::string();
    const auto* state = status->list_at("containerStatuses")[0].find("state")->find("waiting");
    return state == nullptr ? std::string() : state->text_at(member);
  };
  ASSERT_TRUE(until([&] { return waiting("reason") == "PostStartHookError"; }));
  EXPECT_THAT(waiting("message"),
              HasSubstr("Exec lifecycle hook ([/hook x]) for Container \"web\" in Pod "
                        "\"web_default(uid-web)\" failed - error: command '/hook x' exited with 3"));
  ASSERT_TRUE(until([&] { return runtime_.count("stop web 30") >= 2; })) << "it is tried again";
  EXPECT_FALSE(is_ready("web"));
  runtime_.exec_codes.clear();
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
}

TEST_F(AgentApiTest, AHookThatHangsHoldsUpNoDeletion) {
  start();
  runtime_.exec_codes["/hook"] = -1;
  api_.put_pod(hooked("web", "postStart: {exec: {command: [/hook]}}"));
  ASSERT_TRUE(until([&] { return runtime_.count("exec web /hook") == 1; }));
  api_.put_pod(hooked("web", "postStart: {exec: {command: [/hook]}}", std::string(kDeleted) + "7\n"));
  ASSERT_TRUE(until([&] { return api_.pod("web") == nullptr; }));
  EXPECT_EQ(runtime_.count("stop web 7"), 1);
}

TEST_F(AgentApiTest, APreStopHookComesBeforeTheSignal) {
  start();
  const std::string hook = "preStop: {exec: {command: [/hook]}}";
  api_.put_pod(hooked("web", hook));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  runtime_.calls.clear();
  api_.put_pod(hooked("web", hook, std::string(kDeleted) + "7\n"));
  ASSERT_TRUE(until([&] { return api_.pod("web") == nullptr; }));
  ASSERT_GE(runtime_.calls.size(), 2u);
  EXPECT_EQ(runtime_.calls[0], "exec web /hook");
  EXPECT_EQ(runtime_.calls[1], "stop web 7");
  // Without grace there is none.
  api_.put_pod(hooked("web", hook, "  uid: second\n"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  runtime_.calls.clear();
  api_.put_pod(hooked("web", hook, "  uid: second\n" + std::string(kDeleted) + "0\n"));
  ASSERT_TRUE(until([&] { return api_.pod("web") == nullptr; }));
  EXPECT_EQ(runtime_.count("exec web /hook"), 0);
  EXPECT_EQ(runtime_.count("stop web 0"), 1);
}

TEST_F(AgentApiTest, APreStopHookThatHangsTakesItsGraceAndNoMore) {
  start();
  const std::string hook = "preStop: {exec: {command: [/hook]}}";
  runtime_.exec_codes["/hook"] = -1;
  api_.put_pod(hooked("web", hook));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  api_.put_pod(hooked("web", hook, std::string(kDeleted) + "3600\n"));
  ASSERT_TRUE(until([&] { return runtime_.count("exec web /hook") == 1; }));
  // Less grace than what is left, as when somebody forces the end.
  api_.put_pod(hooked("web", hook, std::string(kDeleted) + "0\n"));
  ASSERT_TRUE(until([&] { return api_.pod("web") == nullptr; }));
  EXPECT_EQ(runtime_.count("stop web 2"), 1);
}

TEST_F(AgentApiTest, ARequestToNobodyIsAFailedHook) {
  start();
  api_.put_pod(hooked("web", "postStart: {httpGet: {path: /x, port: web, scheme: HTTP}}"));
  ASSERT_TRUE(until([&] { return runtime_.count("stop web 30") >= 1; }));
  EXPECT_FALSE(is_ready("web"));
}

// It fails before anything is waited for.
TEST_F(AgentApiTest, AnImpossiblePreStopHookIsToldOfAndKeepsNothing) {
  start();
  const std::string hook = "preStop: {httpGet: {path: /x, port: nosuch, scheme: HTTP}}";
  api_.put_pod(hooked("web", hook));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  api_.put_pod(hooked("web", hook, std::string(kDeleted) + "30\n"));
  ASSERT_TRUE(until([&] { return api_.pod("web") == nullptr; }));
  ASSERT_TRUE(until([&] {
    return std::ranges::count(api_.events(), "Warning FailedPreStopHook web{web} x1: PreStopHook failed") == 1;
  }));
}

TEST_F(AgentApiTest, WhatEndsByItselfHasNoPreStopHook) {
  start();
  api_.put_pod(hooked("web", "preStop: {exec: {command: [/hook]}}"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  runtime_.exit("web", 1);
  ASSERT_TRUE(until([&] { return runtime_.count("create web 1") == 1 && is_ready("web"); }));
  EXPECT_EQ(runtime_.count("exec web /hook"), 0);
}

TEST_F(AgentApiTest, PeopleAreToldOfItsLife) {
  start();
  api_.put_pod(pod_text("web"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  api_.put_pod(pod_text("web", "", std::string(kDeleted) + "7\n", "{phase: Running}"));
  ASSERT_TRUE(until([&] { return api_.pod("web") == nullptr && agent_->pods().empty(); }));
  ASSERT_TRUE(until([&] { return api_.events().size() == 4; }));
  EXPECT_THAT(api_.events(), ElementsAre("Normal Pulled web{web} x1: Container image \"my-app:1.0\" already present on "
                                         "machine and can be accessed by the pod",
                                         "Normal Created web{web} x1: Container created",
                                         "Normal Started web{web} x1: Container started",
                                         "Normal Killing web{web} x1: Stopping container web"));
}

TEST_F(AgentApiTest, APodThatIsDeletedWhileItPullsEndsAtOnce) {
  runtime_.images.clear();
  runtime_.registry["my-app:1.0"] = "";
  runtime_.pull_gate = std::make_shared<Event>(loop_);
  start();
  api_.put_pod(pod_text("web"));
  ASSERT_TRUE(until([&] { return runtime_.count("pull my-app:1.0 ") == 1; }));
  api_.put_pod(pod_text("web", "", std::string(kDeleted) + "7\n", "{phase: Pending}"));
  ASSERT_TRUE(until([&] { return api_.pod("web") == nullptr && agent_->pods().empty(); }));
  EXPECT_THAT(runtime_.images, IsEmpty());
  EXPECT_THAT(runtime_.sandboxes, IsEmpty());
}

TEST_F(AgentApiTest, APodThatIsDeletedWhileTheServerDoesNotTellOfItsVolumesEndsAtOnce) {
  const std::string claim = "  volumes:\n  - {name: data, persistentVolumeClaim: {claimName: data}}\n";
  const std::string token =
      "  volumes:\n  - {name: data, projected: {sources: [{serviceAccountToken: {path: token}}]}}\n";
  int asked = 0;
  for (const auto& [volumes, silent] : {std::pair{claim, "/persistentvolumeclaims/"}, std::pair{token, "/token"}}) {
    api_.silent = silent;
    start();
    api_.put_pod(pod_text("web", volumes));
    ASSERT_TRUE(until([&] { return api_.waiting > asked; })) << silent;
    asked = api_.waiting;
    turn();
    api_.put_pod(pod_text("web", volumes, std::string(kDeleted) + "7\n", "{phase: Pending}"));
    ASSERT_TRUE(until([&] { return api_.pod("web") == nullptr && agent_->pods().empty(); })) << silent;
    EXPECT_THAT(runtime_.sandboxes, IsEmpty());
    // Who was not answered is, before what it asks for ends.
    api_.set_away(true);
    turn();
    api_.set_away(false);
  }
}

TEST_F(AgentApiTest, WhatPullsHoldsNoOtherContainerUp) {
  runtime_.pull_gate = std::make_shared<Event>(loop_);
  runtime_.registry["other:1"] = "";
  start();
  std::string text = pod_text("web");
  const std::string slow = "  - {name: slow, image: 'other:1', imagePullPolicy: Always}\n";
  text.insert(text.find("  containers:\n") + std::string("  containers:\n").size(), slow);
  api_.put_pod(text);
  ASSERT_TRUE(until([&] { return runtime_.is_running("web"); }));
  EXPECT_FALSE(runtime_.is_running("slow"));
  runtime_.pull_gate->set();
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  EXPECT_TRUE(runtime_.is_running("slow"));
}

TEST_F(AgentApiTest, APodThatVanishedIsTornDown) {
  start();
  api_.put_pod(pod_text("web"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  api_.remove(FakeApi::path_of("web"));
  ASSERT_TRUE(until([&] { return agent_->pods().empty(); }));
  EXPECT_THAT(runtime_.sandboxes, IsEmpty());
  EXPECT_EQ(api_.count("DELETE " + FakeApi::path_of("web")), 0);
}

TEST_F(AgentApiTest, NothingIsEndedBeforeAllPodsWereSeen) {
  start();
  api_.put_pod(pod_text("web"));
  api_.put_pod(pod_text("gone"));
  ASSERT_TRUE(until([&] { return is_ready("web") && is_ready("gone"); }));
  agent_.reset();
  api_.set_away(true);
  api_.remove(FakeApi::path_of("gone"));
  runtime_.calls.clear();
  // A static pod that runs by then says that the agent has decided about all that it found.
  fs::create_directory(config_.manifest_dir);
  std::ofstream(config_.manifest_dir + "/local.yaml") << "apiVersion: v1\nkind: Pod\nmetadata: {name: local}\nspec:\n"
                                                         "  containers: [{name: local, image: 'my-app:1.0'}]\n";
  start();
  ASSERT_TRUE(until([&] { return runtime_.is_running("local"); }));
  EXPECT_FALSE(clusters_.back()->pods().is_synced());
  EXPECT_EQ(runtime_.count("stop web 30"), 0);
  EXPECT_EQ(runtime_.sandboxes.size(), 3U);
  api_.set_away(false);
  ASSERT_TRUE(until([&] { return runtime_.sandboxes.size() == 2 && agent_->pods().size() == 2; }));
  EXPECT_EQ(runtime_.count("run web 0"), 0) << "what runs goes on";
  EXPECT_EQ(runtime_.count("stop web 30"), 1) << "of the pod that is gone";
}

TEST_F(AgentApiTest, TheStatusCatchesUpWhenTheServerIsBack) {
  start();
  api_.put_pod(pod_text("web"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  api_.set_away(true);
  runtime_.exit("web", 1);
  ASSERT_TRUE(until([&] { return runtime_.count("create web 1") == 1 && runtime_.is_running("web"); }));
  api_.set_away(false);
  ASSERT_TRUE(until([&] {
    const auto& containers = api_.pod("web")->find("status")->list_at("containerStatuses");
    return !containers.empty() && containers[0].find("restartCount")->as_int64() == 1 && is_ready("web");
  }));
}

TEST_F(AgentApiTest, WhatRunsToItsEndHasAPhaseThatStays) {
  config_.retry = config_.tell;
  start();
  api_.put_pod(pod_text("good", "  restartPolicy: Never\n"));
  ASSERT_TRUE(until([&] { return is_ready("good"); }));
  runtime_.exit("web", 0);
  ASSERT_TRUE(until([&] { return api_.phase("good") == "Succeeded"; }));
  EXPECT_EQ(said("good", "podIP"), "10.88.0.5");
  // The runtime has lost all of it: it is not begun again.
  agent_.reset();
  runtime_.containers.clear();
  runtime_.sandboxes.clear();
  runtime_.calls.clear();
  start();
  api_.put_pod(pod_text("next", "  restartPolicy: Never\n"));
  ASSERT_TRUE(until([&] { return is_ready("next"); }));
  EXPECT_EQ(runtime_.count("run good 0"), 0);
  EXPECT_EQ(api_.phase("good"), "Succeeded");
  runtime_.exit("web", 3);
  ASSERT_TRUE(until([&] { return api_.phase("next") == "Failed"; }));
}

TEST_F(AgentApiTest, TheActiveDeadlineEndsAPod) {
  start();
  api_.put_pod(
      pod_text("web", "  activeDeadlineSeconds: 60\n", "", "{phase: Running, startTime: '2026-01-01T00:00:00Z'}"));
  ASSERT_TRUE(until([&] { return api_.phase("web") == "Failed"; }));
  EXPECT_EQ(said("web", "reason"), "DeadlineExceeded");
  EXPECT_EQ(said("web", "startTime"), "2026-01-01T00:00:00Z");
  EXPECT_FALSE(runtime_.is_running("web"));
}

TEST_F(AgentApiTest, APodThatAnotherHasEndedIsStopped) {
  start();
  api_.put_pod(pod_text("web"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  api::Value pod = *api_.pod("web");
  pod["status"]["phase"] = "Failed";
  pod["status"]["reason"] = "Evicted";
  api_.put(FakeApi::path_of("web"), std::move(pod));
  ASSERT_TRUE(until([&] { return !runtime_.is_running("web") && !is_ready("web"); }));
  api_.put_pod(pod_text("next"));
  ASSERT_TRUE(until([&] { return is_ready("next"); }));
  EXPECT_EQ(runtime_.count("stop web 30"), 1);
  EXPECT_EQ(runtime_.count("create web 1"), 0);
  EXPECT_EQ(api_.phase("web") + " " + said("web", "reason"), "Failed Evicted");
}

TEST_F(AgentApiTest, AnEvictedPodGivesBackItsDiskAndKeepsItsStatus) {
  start();
  api_.put_pod(pod_text("web", "  volumes:\n  - {name: data, emptyDir: {}}\n"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  const std::string uid = agent_->pods()[0].uid;
  const std::string volume = root_ + "/kubelet/pods/" + uid + "/volumes/kubernetes.io~empty-dir/data";
  const std::string logs = root_ + "/logs/default_web_" + uid;
  ASSERT_TRUE(fs::exists(volume));
  fs::create_directories(logs + "/web");
  api::Value pod = *api_.pod("web");
  pod["status"]["phase"] = "Failed";
  pod["status"]["reason"] = "Evicted";
  api_.put(FakeApi::path_of("web"), std::move(pod));
  const auto has_nothing = [&] { return runtime_.containers.empty() && !fs::exists(volume) && !fs::exists(logs); };
  ASSERT_TRUE(until(has_nothing));
  EXPECT_THAT(runtime_.sandboxes, SizeIs(1));
  // Its status is that of before, also for a gantryd that finds no containers, and it is not run again.
  start();
  api_.put_pod(pod_text("next"));
  ASSERT_TRUE(until([&] { return is_ready("next"); }));
  EXPECT_EQ(api_.phase("web") + " " + said("web", "reason"), "Failed Evicted");
  const auto& statuses = api_.pod("web")->find("status")->list_at("containerStatuses");
  ASSERT_THAT(statuses, SizeIs(1));
  EXPECT_NE(statuses[0].find("state")->find("terminated"), nullptr);
  EXPECT_EQ(runtime_.count("run web 0"), 1);
  EXPECT_EQ(runtime_.count("run web 1"), 0);
}

TEST_F(AgentApiTest, PodsEndBeforeTheMachineShutsDown) {
  FakeLogind logind(loop_, root_);
  logind.delay = 3'600'000'000;
  logind.changed = [this] { loop_.post([this] { check(); }); };
  config_.shutdown.all = std::chrono::seconds(600);
  config_.shutdown_lock = {.bus_address = logind.address(), .logind_folder = root_ + "/logind.conf.d"};
  api_.put_pod(pod_text("web"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("web") && logind.held == 1; }));
  EXPECT_FALSE(agent_->is_shutting_down());
  logind.prepare(true);
  ASSERT_TRUE(until([&] { return logind.held == 0; }));
  EXPECT_TRUE(agent_->is_shutting_down());
  ASSERT_TRUE(until([&] { return api_.phase("web") == "Failed"; }));
  EXPECT_EQ(said("web", "reason"), "Terminated");
  EXPECT_EQ(said("web", "message"), "Pod was terminated in response to imminent node shutdown.");
  api_.put_pod(pod_text("late"));
  ASSERT_TRUE(until([&] { return api_.phase("late") == "Failed"; }));
  EXPECT_EQ(said("late", "reason"), "NodeShutdown");
  EXPECT_EQ(said("late", "message"), "Pod was rejected: Pod was rejected as the node is shutting down.");
  logind.prepare(false);
  ASSERT_TRUE(until([&] { return logind.held == 1; }));
  api_.put_pod(pod_text("next"));
  ASSERT_TRUE(until([&] { return is_ready("next"); }));
  EXPECT_EQ(api_.phase("web"), "Failed");
}

// What it was evicted for is not so any more when gantryd starts again, and the API server has not heard of it yet.
TEST_F(AgentApiTest, AnEvictionThatNobodyHeardOfBeforeARestartIsOne) {
  config_.eviction.period = milliseconds(5);
  start();
  api_.put_pod(pod_text("web", "  volumes:\n  - {name: data, emptyDir: {sizeLimit: 4Ki}}\n"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  const std::string data = root_ + "/kubelet/pods/uid-web/volumes/kubernetes.io~empty-dir/data/large";
  api_.set_away(true);
  std::ofstream(data) << std::string(100'000, 'x');
  ASSERT_TRUE(until([&] { return !runtime_.is_running("web"); }));
  agent_.reset();
  fs::remove(data);
  api_.set_away(false);
  EXPECT_EQ(api_.phase("web"), "Running");
  start();
  ASSERT_TRUE(until([&] { return api_.phase("web") == "Failed"; }));
  EXPECT_EQ(said("web", "reason") + ": " + said("web", "message"),
            "Evicted: Usage of EmptyDir volume \"data\" exceeds the limit \"4Ki\". ");
  for (int i = 0; i < 20'000 && fs::exists(root_ + "/kubelet/pods/uid-web"); ++i) turn();
  EXPECT_FALSE(fs::exists(root_ + "/kubelet/pods/uid-web")) << "it gives back what it has";
  EXPECT_THAT(runtime_.containers, IsEmpty());
  EXPECT_EQ(runtime_.count("create web 1"), 0);
}

TEST_F(AgentApiTest, AnUpdateThatIsTakenBackBeforeItWasSeenIsNone) {
  start();
  const auto put = [&](const std::string& color) {
    api_.put_pod(pod_text("web", "", "  labels: {color: " + color + "}\n", "{phase: Running}"));
    const auto seen = [&] {
      const auto pod = clusters_.back()->pods().find("default", "web");
      return pod && pod->metadata().labels().at("color") == color;
    };
    for (int i = 0; i < 10'000 && !seen(); ++i) turn();
    ASSERT_TRUE(seen());
    turn();  // the worker hears it by a post
  };
  put("red");
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  runtime_.gate = std::make_unique<Event>(loop_);
  put("blue");
  put("red");
  runtime_.gate->set();
  for (int i = 0; i < 20; ++i) turn();  // nothing is heard of the API server now that would make it good again
  const auto pods = agent_->pods();
  ASSERT_THAT(pods, SizeIs(1));
  EXPECT_EQ(pods[0].pod->metadata().labels().at("color"), "red");
}

TEST_F(AgentApiTest, WhatIsNotSupportedIsRejectedByName) {
  start();
  api_.put_pod(pod_text("odd", "  resources: {limits: {example.com/gpu: 1}}\n"));
  ASSERT_TRUE(until([&] { return api_.phase("odd") == "Failed"; }));
  EXPECT_THAT(said("odd", "message"), HasSubstr("spec.resources"));
  EXPECT_EQ(said("odd", "reason"), "UnsupportedByNode");
  EXPECT_THAT(runtime_.sandboxes, IsEmpty());
  api_.put_pod(pod_text("odd", "", std::string(kDeleted) + "0\n", "{phase: Failed}"));
  ASSERT_TRUE(until([&] { return api_.pod("odd") == nullptr; }));
}

TEST_F(AgentApiTest, AReadinessGateIsWaitedFor) {
  start();
  api_.put_pod(pod_text("web", "  readinessGates: [{conditionType: example.com/open}]\n"));
  ASSERT_TRUE(until([&] { return api_.phase("web") == "Running"; }));
  EXPECT_FALSE(is_ready("web"));
  api::Value pod = *api_.pod("web");
  api::Value& conditions = pod["status"]["conditions"];
  conditions.as_list()->push_back(api::Value::object({{"type", "example.com/open"}, {"status", "True"}}));
  api_.put(FakeApi::path_of("web"), std::move(pod));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  bool is_kept = false;
  for (const auto& condition : api_.pod("web")->find("status")->list_at("conditions")) {
    is_kept |= condition.text_at("type") == "example.com/open";
  }
  EXPECT_TRUE(is_kept);
}

TEST_F(AgentApiTest, ARestartWritesNothing) {
  start();
  api_.put_pod(pod_text("web"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  agent_.reset();
  api_.calls.clear();
  api_.patches.clear();
  start();
  // A pod that comes after it: by then the first one was looked at.
  const auto is_running = [&] {
    const auto pods = agent_->pods();
    return !pods.empty() && pods[0].status != nullptr && pods[0].status->phase() == "Running";
  };
  ASSERT_TRUE(until(is_running));
  api_.put_pod(pod_text("next"));
  ASSERT_TRUE(until([&] { return is_ready("next"); }));
  EXPECT_EQ(api_.count("PATCH " + FakeApi::path_of("web") + "/status"), 0)
      << api::write_json(api::Value(api::Value::List(api_.patches)));
}

TEST_F(AgentApiTest, TheEnvironmentComesFromConfigMapsAndSecrets) {
  config_.retry = config_.tell;
  start();
  api_.put_pod(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  nodeName: node\n  containers:\n  - name: web\n"
      "    image: 'my-app:1.0'\n    imagePullPolicy: IfNotPresent\n    command: [run, $(A_COLOR)]\n"
      "    envFrom: [{prefix: A_, configMapRef: {name: settings}}, {secretRef: {name: none, optional: true}}]\n"
      "    env:\n    - {name: KEY, valueFrom: {secretKeyRef: {name: secret, key: key}}}\n"
      "    - {name: NONE, valueFrom: {configMapKeyRef: {name: settings, key: none, optional: true}}}\n"
      "    - {name: BOTH, value: $(KEY)-$(A_COLOR)}\n");
  const auto waiting = [&] {
    const auto* status = api_.pod("web")->find("status");
    if (status == nullptr || status->list_at("containerStatuses").empty()) return std::string();
    const auto* state = status->list_at("containerStatuses")[0].find("state")->find("waiting");
    return state == nullptr ? "" : state->text_at("reason") + ": " + state->text_at("message");
  };
  ASSERT_TRUE(until([&] { return waiting() == "CreateContainerConfigError: configmap \"settings\" not found"; }));
  api_.put("/api/v1/namespaces/default/configmaps/settings",
           *api::parse_json(R"({"metadata": {"name": "settings"}, "data": {"COLOR": "red", "not=good": "x"}})"));
  ASSERT_TRUE(until([&] { return waiting() == "CreateContainerConfigError: secret \"secret\" not found"; }));
  api_.put("/api/v1/namespaces/default/secrets/secret",
           *api::parse_json(R"({"metadata": {"name": "secret"}, "data": {"other": "eA=="}})"));
  ASSERT_TRUE(
      until([&] { return waiting() == "CreateContainerConfigError: couldn't find key key in Secret default/secret"; }));
  api_.put("/api/v1/namespaces/default/secrets/secret",
           *api::parse_json(R"({"metadata": {"name": "secret"}, "data": {"key": "c2VzYW1l"}})"));
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  const auto& made = runtime_.containers.at(runtime_.id_of("web")).config;
  std::map<std::string, std::string> env;
  for (const auto& one : made.envs()) env[one.key()] = one.value();
  const std::map<std::string, std::string> wanted{{"A_COLOR", "red"}, {"KEY", "sesame"}, {"BOTH", "sesame-$(A_COLOR)"}};
  EXPECT_EQ(env, wanted);
  EXPECT_EQ(made.command(1), "red") << "a command sees all of it";
  api_.set_away(true);
  runtime_.exit("web", 1);
  ASSERT_TRUE(until([&] { return runtime_.count("create web 1") == 1 && runtime_.is_running("web"); }));
  const auto& again = runtime_.containers.at(runtime_.id_of("web")).config;
  EXPECT_EQ(again.envs_size(), made.envs_size()) << "as it was read last";
  EXPECT_EQ(again.command(1), "red");
  // Gone is not away.
  api_.remove("/api/v1/namespaces/default/secrets/secret");
  api_.set_away(false);
  ASSERT_TRUE(until([&] {
    if (runtime_.is_running("web")) runtime_.exit("web", 1);  // one that was begun before it was heard
    return waiting() == "CreateContainerConfigError: secret \"secret\" not found";
  }));
}

TEST_F(AgentApiTest, AStaticPodHasAMirror) {
  config_.name_suffix = "-node";
  fs::create_directory(config_.manifest_dir);
  const auto write = [&](const std::string& more) {
    std::ofstream(config_.manifest_dir + "/web.yaml") << "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n" +
                                                             more +
                                                             "  containers: [{name: web, image: 'my-app:1.0'}]\n";
  };
  write("");
  start();
  ASSERT_TRUE(until([&] { return runtime_.is_running("web"); }));
  EXPECT_EQ(api_.pod("web-node"), nullptr) << "it waits for the Node";
  api_.put("/api/v1/nodes/node", *api::parse_json(R"({"metadata": {"name": "node", "uid": "uid-node"}})"));
  ASSERT_TRUE(until([&] { return is_ready("web-node"); })) << testing::PrintToString(api_.calls);
  const auto uid = [&] { return api_.pod("web-node")->find("metadata")->text_at("uid"); };
  const std::string first = uid();
  const api::Value owner = api_.pod("web-node")->find("metadata")->list_at("ownerReferences")[0];
  EXPECT_EQ(owner.text_at("kind") + " " + owner.text_at("uid"), "Node uid-node");
  runtime_.calls.clear();
  api_.remove(FakeApi::path_of("web-node"));
  ASSERT_TRUE(until([&] { return is_ready("web-node") && uid() != first; })) << "it is made again";
  EXPECT_EQ(runtime_.count("stop web 30"), 0) << "and the pod knows nothing of it";
  const std::string second = uid();
  write("  hostname: other\n");
  ASSERT_TRUE(until([&] { return api_.pod("web-node") != nullptr && is_ready("web-node") && uid() != second; }));
  fs::remove(config_.manifest_dir + "/web.yaml");
  ASSERT_TRUE(until([&] { return api_.pod("web-node") == nullptr && agent_->pods().empty(); }));
}

TEST_F(AgentApiTest, AMirrorThatAFinalizerHoldsIsDeletedOnce) {
  using std::chrono::microseconds;
  config_.tell = {microseconds(1), microseconds(1), std::chrono::seconds(10)};
  config_.name_suffix = "-node";
  api_.put("/api/v1/nodes/node", *api::parse_json(R"({"metadata": {"name": "node", "uid": "uid-node"}})"));
  fs::create_directory(config_.manifest_dir);
  std::ofstream(config_.manifest_dir + "/web.yaml") << "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n"
                                                       "  containers: [{name: web, image: 'my-app:1.0'}]\n";
  // One of a pod that is another one now, and one of a pod that is none any more.
  for (const char* name : {"web-node", "gone-node"}) {
    api_.put_pod(pod_text(name, "",
                          "  annotations: {kubernetes.io/config.mirror: old}\n"
                          "  finalizers: [example.com/mine]\n"));
  }
  start();
  const std::vector<std::string> deletes = {"DELETE " + FakeApi::path_of("web-node"),
                                            "DELETE " + FakeApi::path_of("gone-node")};
  ASSERT_TRUE(until([&] { return api_.count(deletes[0]) > 0 && api_.count(deletes[1]) > 0; }));
  for (const char* name : {"a", "b", "c"}) {
    api_.put_pod(pod_text(name));
    ASSERT_TRUE(until([&] { return is_ready(name); }));
  }
  EXPECT_EQ(api_.count(deletes[0]), 1);
  EXPECT_EQ(api_.count(deletes[1]), 1);
  api_.remove(FakeApi::path_of("gone-node"));
  api_.remove(FakeApi::path_of("web-node"));
  ASSERT_TRUE(until([&] { return is_ready("web-node"); })) << "it is made when the old one is gone";
}

}  // namespace
}  // namespace gantry::agent
