// SPDX-License-Identifier: Apache-2.0
// The life of a pod of a manifest, from its first container to its end.
#include <latch>

#include "agent/agent_fixture.h"

namespace gantry::agent {
namespace {

TEST_F(AgentTest, PodsWithUserNamespacesHaveIdsOfTheirOwn) {
  const auto ids_of = [&](const std::string& pod) -> std::uint32_t {
    const auto& options = runtime_.sandboxes.at(sandbox_of(pod)).config.linux().security_context().namespace_options();
    return options.userns_options().uids_size() == 1 ? options.userns_options().uids(0).host_id() : 0;
  };
  const auto record_of = [&](const std::string& pod) {
    return root_ + "/kubelet/pods/" + runtime_.sandboxes.at(sandbox_of(pod)).config.metadata().uid() + "/userns";
  };
  write("a.yaml", manifest("a", "  hostUsers: false\n"));
  write("b.yaml", manifest("b", "  hostUsers: false\n"));
  write("c.yaml", manifest("c"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a") && is_ready("b") && is_ready("c"); }));
  EXPECT_NE(ids_of("a"), ids_of("b"));
  EXPECT_EQ(ids_of("a") % 65536, 0U);
  EXPECT_GE(std::min(ids_of("a"), ids_of("b")), 65536U);
  EXPECT_EQ(ids_of("c"), 0U);
  EXPECT_FALSE(fs::exists(record_of("c")));
  for (const auto& [id, container] : runtime_.containers) {
    const auto& users = container.config.linux().security_context().namespace_options().userns_options();
    for (const auto& mount : container.config.mounts()) {
      EXPECT_EQ(mount.uidmappings_size(), users.uids_size()) << mount.container_path();
      EXPECT_EQ(mount.gidmappings_size(), users.gids_size()) << mount.container_path();
    }
  }
  // Over a restart, and in the sandbox that takes the place of one that was lost.
  const auto first = ids_of("a");
  const std::string lost = sandbox_of("a"), record = record_of("a");
  restart();
  runtime_.lose_sandbox(lost);
  ASSERT_TRUE(until([&] { return is_ready("a") && !sandbox_of("a").empty() && sandbox_of("a") != lost; }));
  EXPECT_EQ(ids_of("a"), first);
  remove("a.yaml");
  ASSERT_TRUE(until([&] { return agent_->pods().size() == 2; }));
  EXPECT_FALSE(fs::exists(record));
  EXPECT_TRUE(fs::exists(record_of("b")));
}

TEST_F(AgentTest, APodThatHasEndedGivesItsIdsBack) {
  write("a.yaml", manifest("a", "  hostUsers: false\n  restartPolicy: Never\n"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  const std::string record =
      root_ + "/kubelet/pods/" + runtime_.sandboxes.at(sandbox_of("a")).config.metadata().uid() + "/userns";
  EXPECT_TRUE(fs::exists(record));
  runtime_.exit("web", 0);
  ASSERT_TRUE(until([&] { return phase("a") == "Succeeded" && sandbox_of("a").empty(); }));
  for (int i = 0; i < 300 && fs::exists(record); ++i) settle();
  EXPECT_FALSE(fs::exists(record));
}

TEST_F(AgentTest, AUserNamespaceThatTheHandlerHasNotIsRefusedAndNothingIsLeft) {
  runtime_.handlers[""] = false;
  write("a.yaml", manifest("a", "  hostUsers: false\n"));
  start();
  ASSERT_TRUE(until([&] {
    return container("a").state().waiting().message() ==
           "failed to create the pod's sandbox: can't set `spec.hostUsers: false`, runtime does not support user "
           "namespaces";
  }));
  EXPECT_EQ(waiting("a"), "ContainerCreating");
  runtime_.handlers[""] = true;
  runtime_.failures.insert({"run a", Error(Code::kUnavailable, "no")});
  for (int i = 0; i < 300 && runtime_.count("run a 0") == 0; ++i) settle();
  EXPECT_NE(runtime_.count("run a 0"), 0);
  remove("a.yaml");
  ASSERT_TRUE(until([&] { return agent_->pods().empty(); }));
  EXPECT_TRUE(fs::is_empty(root_ + "/kubelet/pods"));
}

// As many of them as the machine may have.
TEST_F(AgentTest, VolumesThatHangHoldUpTheRemovalOfTheirPodsFolderAlone) {
  auto open = std::make_shared<std::latch>(1);
  prepare_ = [open](const core::Pod& pod, const std::string& folder, const volumes::Claims& claims,
                    std::atomic<int>* passed) {
    if (pod.metadata().name().starts_with("hanging")) {
      *passed = 1;
      open->wait();
    }
    return volumes::prepare(pod, folder, claims, passed);
  };
  config_.volume_patience = milliseconds(10);
  const std::string volumes = "  volumes:\n  - {name: fine, emptyDir: {}}\n  - {name: dead, emptyDir: {}}\n";
  for (int i = 0; i < 10; ++i)
    write("h" + std::to_string(i) + ".yaml", manifest("hanging" + std::to_string(i), volumes));
  start();
  // One whose thread has not begun when the patience ends has passed none of them, and says so first.
  ASSERT_TRUE(until([&] {
    const std::string said = container("hanging0").state().waiting().message();
    return said.contains("unmounted volumes=[dead], ") && said.ends_with("context deadline exceeded");
  }));
  EXPECT_EQ(waiting("hanging0"), "ContainerCreating");
  write("z.yaml", manifest("other", volumes));
  ASSERT_TRUE(until([&] { return is_ready("other"); }));
  remove("h0.yaml");
  ASSERT_TRUE(until([&] { return runtime_.count("stop-sandbox hanging0") == 1; }));
  settle();
  EXPECT_NE(status("hanging0"), nullptr);
  EXPECT_THAT(runtime_.sandboxes, SizeIs(11));
  open->count_down();
  ASSERT_TRUE(until([&] {
    for (int i = 1; i < 10; ++i) {
      if (!is_ready("hanging" + std::to_string(i))) return false;
    }
    return status("hanging0") == nullptr;
  }));
  EXPECT_THAT(runtime_.sandboxes, SizeIs(10));
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ + "/kubelet/pods"), {}), 10);
}

// As kubelet does: its last words and its log stay, also when gantryd starts anew.
TEST_F(AgentTest, APodThatHasEndedHasNoVolumesAnyMore) {
  write("a.yaml", manifest("a", "  restartPolicy: OnFailure\n  volumes:\n  - {name: data, emptyDir: {}}\n"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  const std::string folder = root_ + "/kubelet/pods/" + agent_->pods()[0].uid;
  const std::string volume = folder + "/volumes/kubernetes.io~empty-dir/data";
  std::ofstream(volume + "/file") << "x";
  runtime_.exit("web", 1);
  ASSERT_TRUE(until([&] { return container("a").restart_count() == 1 && is_ready("a"); }));
  EXPECT_TRUE(fs::exists(volume + "/file")) << "as long as it is to go on";
  runtime_.exit("web", 0);
  const auto is_empty = [&] {
    for (int i = 0; i < 1000 && fs::exists(folder + "/volumes"); ++i) settle();
    return !fs::exists(folder + "/volumes") && fs::exists(folder + "/containers/web/1") && phase("a") == "Succeeded";
  };
  EXPECT_TRUE(is_empty());
  restart();
  ASSERT_TRUE(until([&] { return phase("a") == "Succeeded"; }));
  EXPECT_TRUE(is_empty());
  EXPECT_EQ(runtime_.count("create web 2"), 0);
}

TEST_F(AgentTest, AdoptsWhatRuns) {
  write("a.yaml", manifest("a"));
  write("b.yaml", manifest("b"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a") && is_ready("b"); }));
  runtime_.calls.clear();
  restart();
  ASSERT_TRUE(until([&] { return is_ready("a") && is_ready("b"); }));
  settle();
  EXPECT_THAT(steps(), IsEmpty());
  // And what ended, or whose manifest went, meanwhile.
  agent_.reset();
  runtime_.exit("web", 3);
  std::string ended = runtime_.containers.at(runtime_.id_of("web")).sandbox_id;
  std::string pod = runtime_.sandboxes.at(ended).config.metadata().name();
  remove(pod == "a" ? "b.yaml" : "a.yaml");
  start();
  ASSERT_TRUE(until([&] { return runtime_.sandboxes.size() == 1 && is_ready(pod); }));
  EXPECT_EQ(container(pod).restart_count(), 1);
  EXPECT_EQ(container(pod).last_state().terminated().exit_code(), 3);
}

TEST_F(AgentTest, LeavesThePodsOfOthersAlone) {
  fake::v1::RunPodSandboxRequest request;
  request.mutable_config()->mutable_metadata()->set_name("crictl");
  request.mutable_config()->mutable_metadata()->set_uid("u1");
  (*request.mutable_config()->mutable_labels())["io.kubernetes.pod.uid"] = "u1";
  bool made = false;
  loop_.spawn([](FakeRuntime& runtime, fake::v1::RunPodSandboxRequest request, bool& made) -> Task<> {
    made = (co_await runtime.run_pod_sandbox(request)).has_value();
  }(runtime_, request, made));
  ASSERT_TRUE(until([&] { return made; }));
  runtime_.calls.clear();
  start();
  settle();
  EXPECT_THAT(runtime_.calls, IsEmpty());
}

TEST_F(AgentTest, InitContainersRunInTheirOrder) {
  std::string init =
      "  initContainers:\n  - {name: first, image: 'my-app:1.0'}\n  - {name: proxy, image: 'my-app:1.0', "
      "restartPolicy: Always}\n"
      "  - {name: second, image: 'my-app:1.0'}\n";
  write("a.yaml", manifest("a", init));
  start();
  ASSERT_TRUE(until([&] {
    return runtime_.is_running("first") && status("a") != nullptr && status("a")->init_container_statuses_size() > 0 &&
           status("a")->init_container_statuses(0).started();
  }));
  settle();
  EXPECT_THAT(steps(), ElementsAre("run a 0", "create first 0", "start first"));
  EXPECT_EQ(phase("a"), "Pending");
  EXPECT_EQ(waiting("a"), "PodInitializing");
  EXPECT_FALSE(status("a")->init_container_statuses(0).ready());
  EXPECT_FALSE(has_condition("a", "Initialized"));
  runtime_.exit("first", 0);
  ASSERT_TRUE(until([&] { return runtime_.is_running("second"); }));
  EXPECT_FALSE(runtime_.is_running("web"));
  runtime_.exit("second", 1);  // once more, from this one
  ASSERT_TRUE(until([&] { return runtime_.count("create second 1") == 1 && runtime_.is_running("second"); }));
  runtime_.exit("second", 0);
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  EXPECT_TRUE(has_condition("a", "Initialized"));
  for (const auto& init : status("a")->init_container_statuses()) EXPECT_TRUE(init.ready()) << init.name();
  EXPECT_THAT(steps(), ElementsAre("run a 0", "create first 0", "start first", "create proxy 0", "start proxy",
                                   "create second 0", "start second", "create second 1", "start second", "create web 0",
                                   "start web", "remove second 0"));
  runtime_.exit("proxy", 1);
  ASSERT_TRUE(until([&] { return runtime_.count("create proxy 1") == 1 && runtime_.is_running("proxy"); }));
  runtime_.calls.clear();
  remove("a.yaml");
  ASSERT_TRUE(until([&] { return runtime_.sandboxes.empty(); }));
  EXPECT_THAT(runtime_.calls[0], HasSubstr("stop web"));
  EXPECT_THAT(runtime_.calls[1], HasSubstr("stop proxy"));
}

TEST_F(AgentTest, CrashingContainersAreHeldBackLongerAndLonger) {
  runtime_.short_lived["web"] = 1;
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return waiting("a") == "CrashLoopBackOff"; }));
  EXPECT_EQ(container("a").last_state().terminated().exit_code(), 1);
  EXPECT_EQ(phase("a"), "Running");
  EXPECT_FALSE(is_ready("a"));
  // 0, 20, 40, 80, ... ms lie between the starts. Whichever of these waits is the first that was seen: at least 40 and
  // 80 lie before the third start from now.
  const int starts = container("a").restart_count();
  auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(until([&] { return runtime_.count("create web " + std::to_string(starts + 3)) == 1; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(100));
  // Dead ones go, but for the last.
  ASSERT_TRUE(until([&] { return runtime_.count("remove web 2") == 1 && runtime_.containers.size() <= 2; }));
  runtime_.short_lived.clear();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
}

// A start counts when there was one: what the runtime refuses has a back-off of its own.
TEST_F(AgentTest, ARefusedContainerHasNotCrashed) {
  config_.crash = {milliseconds(20), std::chrono::hours(1), std::chrono::hours(1)};
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  runtime_.failures.emplace("create web", Error(Code::kUnavailable, "busy"));
  runtime_.exit("web", 1);
  ASSERT_TRUE(until([&] { return runtime_.count("create web 1") >= 12; }));
  runtime_.failures.clear();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  runtime_.exit("web", 1);
  ASSERT_TRUE(until([&] { return is_ready("a") && container("a").restart_count() == 2; }));
}

TEST_F(AgentTest, ALongGracePeriodIsALongOne) {
  std::string proxy = "  initContainers: [{name: proxy, image: 'my-app:1.0', restartPolicy: Always}]\n";
  write("a.yaml", manifest("a", proxy + "  restartPolicy: Never\n"
                                        "  terminationGracePeriodSeconds: 9223372036854775807\n"));
  write("b.yaml", manifest("b", "  terminationGracePeriodSeconds: 9223372036854775807\n"));
  write("c.yaml", manifest("c", "  terminationGracePeriodSeconds: 604800\n"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a") && is_ready("b") && is_ready("c"); }));
  remove("b.yaml");
  remove("c.yaml");
  ASSERT_TRUE(until([&] { return agent_->pods().size() == 1; }));
  EXPECT_EQ(runtime_.count("stop web 315360000"), 1);
  EXPECT_EQ(runtime_.count("stop web 604800"), 1);
  runtime_.exit("web", 0);  // the last one's; what is left of it is stopped
  ASSERT_TRUE(until([&] { return runtime_.count("stop proxy 315360000") == 1; }));
}

TEST_F(AgentTest, RestartPoliciesHold) {
  runtime_.short_lived["web"] = 0;
  write("done.yaml", manifest("done", "  restartPolicy: OnFailure\n"));
  start();
  ASSERT_TRUE(until([&] { return phase("done") == "Succeeded" && runtime_.count("stop-sandbox done") == 1; }));
  EXPECT_EQ(container("done").state().terminated().reason(), "Completed");
  settle();
  EXPECT_EQ(runtime_.count("start web"), 1);
  runtime_.short_lived["web"] = 2;
  write("never.yaml", manifest("never", "  restartPolicy: Never\n"));
  ASSERT_TRUE(until([&] { return phase("never") == "Failed"; }));
  settle();
  EXPECT_EQ(runtime_.count("start web"), 2);
  restart();
  ASSERT_TRUE(until([&] { return phase("never") == "Failed" && phase("done") == "Succeeded"; }));
  settle();
  EXPECT_EQ(runtime_.count("start web"), 2);
}

TEST_F(AgentTest, ALostSandboxIsReplaced) {
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  runtime_.calls.clear();
  runtime_.lose_sandbox(sandbox_of("a"));
  ASSERT_TRUE(until([&] { return is_ready("a") && container("a").restart_count() == 1; }));
  EXPECT_THAT(steps(), ElementsAre("stop-sandbox a", "run a 1", "create web 1", "start web"));
  EXPECT_EQ(container("a").last_state().terminated().exit_code(), 255);
  // The next loss leaves nothing of the first sandbox.
  runtime_.lose_sandbox(sandbox_of("a"));
  ASSERT_TRUE(
      until([&] { return is_ready("a") && container("a").restart_count() == 2 && runtime_.sandboxes.size() == 2; }));
}

TEST_F(AgentTest, PodsMoveToTheRangeThatTheyAreKeptIn) {
  write("a.yaml", manifest("a"));
  write("once.yaml", manifest("once", "  restartPolicy: Never\n"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a") && is_ready("once"); }));
  runtime_.calls.clear();
  runtime_.address = "10.244.1.2";
  agent_->keep_pods_in({*api::parse_network("10.244.1.0/24")});
  ASSERT_TRUE(until([&] { return is_ready("a") && container("a").restart_count() == 1; }));
  EXPECT_THAT(steps(), ElementsAre("stop web 30", "stop-sandbox a", "run a 1", "create web 1", "start web"));
  EXPECT_TRUE(is_ready("once"));  // runs to its end
}

TEST_F(AgentTest, SomebodyElsesRemovalIsMadeGood) {
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  std::string id = sandbox_of("a");
  runtime_.containers.clear();
  runtime_.sandboxes.clear();
  runtime_.tell(fake::v1::CONTAINER_DELETED_EVENT, id, id);
  ASSERT_TRUE(until([&] { return is_ready("a") && !runtime_.sandboxes.empty(); }));
}

TEST_F(AgentTest, AStormOfEventsStartsNothingTwice) {
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  settle();
  int lists = runtime_.lists;
  std::string id = sandbox_of("a");
  for (int i = 0; i < 10'000; ++i) runtime_.tell(fake::v1::CONTAINER_STARTED_EVENT, runtime_.id_of("web"), id);
  settle();
  EXPECT_LE(runtime_.lists - lists, 3);
  EXPECT_EQ(runtime_.count("start web"), 1);
  // An end in the midst of them is seen.
  for (int i = 0; i < 100; ++i) runtime_.tell(fake::v1::CONTAINER_STARTED_EVENT, runtime_.id_of("web"), id);
  runtime_.exit("web", 1);
  for (int i = 0; i < 100; ++i) runtime_.tell(fake::v1::CONTAINER_STARTED_EVENT, runtime_.id_of("web"), id);
  ASSERT_TRUE(until([&] { return container("a").restart_count() == 1 && is_ready("a"); }));
  EXPECT_EQ(runtime_.count("start web"), 2);
}

TEST_F(AgentTest, AMissingImageIsWaitedFor) {
  runtime_.images.clear();
  write("a.yaml", manifest("a"));
  write("never.yaml", manifest("never") + "    imagePullPolicy: Never\n");
  start();
  ASSERT_TRUE(until([&] { return waiting("a") == "ImagePullBackOff" && waiting("never") == "ErrImageNeverPull"; }));
  EXPECT_THAT(container("a").state().waiting().message(), HasSubstr("the registry has no my-app:1.0"));
  EXPECT_EQ(phase("a"), "Pending");
  runtime_.images["my-app:1.0"] = "";
  ASSERT_TRUE(until([&] { return is_ready("a") && is_ready("never"); }));
  EXPECT_EQ(runtime_.count("start web"), 2);
}

TEST_F(AgentTest, WhatTheRuntimeRefusesIsInTheStatusAndTriedAgain) {
  runtime_.failures.emplace("run a", Error(Code::kUnavailable, "no address is free"));
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return container("a").state().waiting().message().ends_with("no address is free"); }));
  runtime_.failures.clear();
  runtime_.failures.emplace("start", Error(Code::kNotFound, "exec /web: no such file"));
  ASSERT_TRUE(until([&] { return waiting("a") == "CrashLoopBackOff"; }));
  EXPECT_EQ(container("a").last_state().terminated().reason(), "StartError");
  EXPECT_THAT(container("a").last_state().terminated().message(), HasSubstr("exec /web: no such file"));
  runtime_.failures.clear();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
}

// By maxContainerRestartPeriod, however often it was tried.
TEST_F(AgentTest, WhatCantBeStartedComesAgainAsWhatCrashes) {
  config_.crash = {milliseconds(1), milliseconds(2), std::chrono::seconds(10)};
  config_.retry = {milliseconds(1), std::chrono::hours(1), std::chrono::hours(1)};
  runtime_.failures.emplace("start", Error(Code::kNotFound, "exec /web: no such file"));
  write("a.yaml", manifest("a"));
  start();
  EXPECT_TRUE(until([&] { return runtime_.count("create web 20") == 1; }));
}

TEST_F(AgentTest, WhatWaitsForTheNodeIsTriedWhenThatIsSaid) {
  config_.retry = {std::chrono::hours(1), std::chrono::hours(1), std::chrono::hours(1)};
  runtime_.failures.emplace("run a", Error(Code::kUnavailable, "no range yet"));
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return container("a").state().waiting().message().ends_with("no range yet"); }));
  runtime_.failures.clear();
  agent_->look_again();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
}

TEST_F(AgentTest, ConfigurationErrorsAreTheAuthorsToRead) {
  write("a.yaml", manifest("a", "  securityContext: {runAsNonRoot: true}\n"));
  start();
  ASSERT_TRUE(until([&] { return waiting("a") == "CreateContainerConfigError"; }));
  EXPECT_THAT(container("a").state().waiting().message(), HasSubstr("will run as root"));
  write("b.yaml", manifest("b", "  volumes: [{name: v, hostPath: {path: /etc/passwd, type: Directory}}]\n"));
  ASSERT_TRUE(
      until([&] { return container("b").state().waiting().message().find("type check failed") != std::string::npos; }));
  EXPECT_THAT(container("b").state().waiting().message(), HasSubstr("volume \"v\""));
}

TEST_F(AgentTest, AnEndThatFailsIsTriedUntilItIsDone) {
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  runtime_.failures.emplace("stop-sandbox", Error(Code::kUnavailable, "busy"));
  remove("a.yaml");
  ASSERT_TRUE(until([&] { return runtime_.count("stop-sandbox a") >= 3; }));
  EXPECT_THAT(agent_->pods(), SizeIs(1));
  runtime_.failures.clear();
  ASSERT_TRUE(until([&] { return agent_->pods().empty(); }));
  EXPECT_THAT(runtime_.sandboxes, IsEmpty());
}

// Whenever gantryd dies in the midst of it: a sandbox that is still listed says that there is something left to end,
// and the same manifest, put back, does not come upon the data of before.
TEST_F(AgentTest, APodsFoldersGoBeforeItsSandboxes) {
  std::string text = manifest("a", "  volumes: [{name: data, emptyDir: {}}]\n");
  write("a.yaml", text);
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  std::string uid = agent_->pods()[0].uid;
  std::string data = root_ + "/kubelet/pods/" + uid + "/volumes/kubernetes.io~empty-dir/data";
  std::ofstream(data + "/file") << "x";
  runtime_.failures.emplace("remove-sandbox", Error(Code::kUnavailable, "killed"));
  remove("a.yaml");
  ASSERT_TRUE(until([&] { return runtime_.count("remove-sandbox sandbox1") == 1; }));
  agent_.reset();
  EXPECT_FALSE(fs::exists(root_ + "/kubelet/pods/" + uid));
  EXPECT_THAT(runtime_.sandboxes, SizeIs(1));
  runtime_.failures.clear();
  write("a.yaml", text);
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  EXPECT_EQ(agent_->pods()[0].uid, uid);
  EXPECT_TRUE(fs::exists(data));
  EXPECT_FALSE(fs::exists(data + "/file"));
}

// The runtime has lost its records, and the pod of before lives.
TEST_F(AgentTest, WhatAnotherPodOfThatNameHasIsLeftToIt) {
  write("a.yaml", manifest("a", "  volumes: [{name: data, emptyDir: {}}]\n"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  std::string uid = agent_->pods()[0].uid;
  std::string data = root_ + "/kubelet/pods/" + uid + "/volumes/kubernetes.io~empty-dir/data";
  std::string log = root_ + "/logs/default_a_" + uid + "/web/0.log";
  std::ofstream(data + "/file") << "x";
  fs::create_directories(fs::path(log).parent_path());
  std::ofstream(log) << "x";
  agent_.reset();
  runtime_.sandboxes.clear();
  runtime_.containers.clear();
  runtime_.calls.clear();
  runtime_.failures.emplace("run a", Error(Code::kFailedPrecondition, "sandbox s1 runs this pod"));
  start();
  ASSERT_TRUE(until([&] { return runtime_.count("run a 0") >= 3; }));
  EXPECT_THAT(container("a").state().waiting().message(), HasSubstr("sandbox s1 runs this pod"));
  EXPECT_EQ(steps(), std::vector<std::string>(steps().size(), "run a 0"));
  // Nor by a manifest that changes, or goes.
  write("a.yaml", manifest("a", "  hostname: other\n  volumes: [{name: data, emptyDir: {}}]\n"));
  ASSERT_TRUE(until([&] { return agent_->pods().size() == 1 && agent_->pods()[0].uid != uid && status("a"); }));
  remove("a.yaml");
  ASSERT_TRUE(until([&] { return agent_->pods().empty(); }));
  EXPECT_TRUE(fs::exists(data + "/file"));
  EXPECT_TRUE(fs::exists(log));
}

TEST_F(AgentTest, LastWordsAreInTheStatus) {
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  const auto& mounts = runtime_.containers.at(runtime_.id_of("web")).config.mounts();
  ASSERT_EQ(mounts.size(), 2);
  EXPECT_EQ(mounts[0].container_path(), "/etc/hosts");
  EXPECT_EQ(mounts[1].container_path(), "/dev/termination-log");
  std::ofstream(mounts[1].host_path()) << "the disk is full";
  runtime_.exit("web", 1);
  ASSERT_TRUE(until([&] { return container("a").restart_count() == 1; }));
  EXPECT_EQ(container("a").last_state().terminated().message(), "the disk is full");
}

TEST_F(AgentTest, StopLeavesPodsRunning) {
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  agent_->stop();
  runtime_.calls.clear();
  remove("a.yaml");
  runtime_.exit("web", 1);
  settle();
  EXPECT_THAT(runtime_.calls, IsEmpty());
}

}  // namespace
}  // namespace gantry::agent
