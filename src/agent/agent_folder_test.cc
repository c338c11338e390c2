// SPDX-License-Identifier: Apache-2.0
// How an agent finds and reads the manifests of its folder.
#include <sys/stat.h>

#include "agent/agent_fixture.h"

namespace gantry::agent {
namespace {

TEST_F(AgentTest, RunsThePodOfAManifest) {
  write("my-app.yaml", manifest("my-app"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("my-app"); }));
  EXPECT_THAT(steps(), ElementsAre("run my-app 0", "create web 0", "start web"));
  const auto* now = status("my-app");
  EXPECT_EQ(now->phase(), "Running");
  EXPECT_EQ(now->pod_ip(), "10.88.0.5");
  EXPECT_EQ(now->host_ip(), "192.0.2.1");
  EXPECT_EQ(now->qos_class(), "BestEffort");
  EXPECT_TRUE(now->container_statuses(0).state().has_running());
  const auto& sandbox = runtime_.sandboxes.begin()->second.config;
  EXPECT_EQ(sandbox.labels().at("io.kubernetes.pod.name"), "my-app");
  EXPECT_EQ(sandbox.labels().at("io.kubernetes.pod.namespace"), "default");
  EXPECT_EQ(sandbox.annotations().at("kubernetes.io/config.source"), "file");
  std::string folder = "default_my-app_" + sandbox.metadata().uid();
  EXPECT_EQ(sandbox.log_directory(), root_ + "/logs/" + folder);
  std::string link = root_ + "/links/my-app_default_web-" + runtime_.id_of("web") + ".log";
  EXPECT_EQ(fs::read_symlink(link), root_ + "/logs/" + folder + "/web/0.log");
}

TEST_F(AgentTest, PodsComeAndGoWithTheirFiles) {
  start();
  write("a.yaml", manifest("a", "  terminationGracePeriodSeconds: 7\n"));
  write("b.yml", manifest("b"));
  ASSERT_TRUE(until([&] { return is_ready("a") && is_ready("b"); }));
  std::string folder = root_ + "/logs/default_a_" + runtime_.sandboxes.at(sandbox_of("a")).config.metadata().uid();
  fs::create_directories(folder + "/web");
  runtime_.calls.clear();
  std::string id = sandbox_of("a");
  remove("a.yaml");
  ASSERT_TRUE(until([&] { return agent_->pods().size() == 1; }));
  EXPECT_THAT(steps(), ElementsAre("stop web 7", "stop-sandbox a", "remove-sandbox " + id));
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_THAT(runtime_.sandboxes, SizeIs(1));
  EXPECT_TRUE(is_ready("b"));
  remove("b.yml");
  ASSERT_TRUE(until([&] { return agent_->pods().empty(); }));
  EXPECT_EQ(fs::directory_iterator(root_ + "/links"), fs::directory_iterator());
  EXPECT_EQ(fs::directory_iterator(root_ + "/kubelet/pods"), fs::directory_iterator());
}

TEST_F(AgentTest, AChangedManifestIsANewPodAfterTheOldOne) {
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  std::string uid = agent_->pods()[0].uid;
  write("a.yaml", "# a comment does not matter\n" + manifest("a"));
  settle();
  EXPECT_EQ(agent_->pods()[0].uid, uid);
  runtime_.calls.clear();
  write("a.yaml", manifest("a", "  hostname: other\n"));
  ASSERT_TRUE(until([&] { return agent_->pods()[0].uid != uid && is_ready("a") && agent_->pods().size() == 1; }));
  EXPECT_THAT(steps(), ElementsAre("stop web 30", "stop-sandbox a", "remove-sandbox sandbox1", "run a 0",
                                   "create web 0", "start web"));
}

TEST_F(AgentTest, ATypoNamesFileLineAndFieldAndTouchesNothing) {
  write("a.yaml", manifest("a"));
  write("b.yaml", manifest("b"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a") && is_ready("b"); }));
  runtime_.calls.clear();
  write("a.yaml", manifest("a", "  restartPolicie: Never\n"));
  write("c.yaml", manifest("c"));
  ASSERT_TRUE(until([&] { return is_ready("c"); }));
  ASSERT_THAT(agent_->problems(), SizeIs(1));
  EXPECT_EQ(agent_->problems()[0].file, "a.yaml");
  EXPECT_THAT(agent_->problems()[0].sentence, HasSubstr("spec.restartPolicie"));
  EXPECT_THAT(agent_->problems()[0].sentence, HasSubstr("line 6"));
  EXPECT_THAT(steps(), ElementsAre("run c 0", "create web 0", "start web"));
  EXPECT_TRUE(is_ready("a"));
  // Also over a restart, with nothing but the runtime to know the pod from.
  restart();
  ASSERT_TRUE(until([&] { return is_ready("b") && is_ready("c"); }));
  settle();
  EXPECT_NE(sandbox_of("a"), "");
  EXPECT_THAT(steps(), SizeIs(3));
  remove("a.yaml");
  ASSERT_TRUE(until([&] { return sandbox_of("a").empty() && runtime_.sandboxes.size() == 2; }));
  EXPECT_THAT(agent_->problems(), IsEmpty());
}

TEST_F(AgentTest, TwoFilesOfOnePodAreOnePod) {
  write("a.yaml", manifest("web"));
  write("b.yaml", manifest("web", "  hostname: second\n"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("web"); }));
  settle();
  EXPECT_THAT(runtime_.sandboxes, SizeIs(1));
  ASSERT_THAT(agent_->problems(), SizeIs(1));
  EXPECT_EQ(agent_->problems()[0].file, "b.yaml");
  EXPECT_THAT(agent_->problems()[0].sentence, HasSubstr("a.yaml"));
  remove("a.yaml");
  ASSERT_TRUE(until([&] {
    auto id = sandbox_of("web");
    return !id.empty() && runtime_.sandboxes.at(id).config.hostname() == "second" && is_ready("web");
  }));
  EXPECT_THAT(agent_->problems(), IsEmpty());
}

TEST_F(AgentTest, OtherFilesAreNoManifests) {
  write(".hidden.yaml", manifest("hidden"));
  write("notes.txt", "x");
  fs::create_symlink("/etc/passwd", config_.manifest_dir + "/out.yaml");
  ASSERT_EQ(::mkfifo((config_.manifest_dir + "/pipe.yaml").c_str(), 0600), 0);
  write("big.yaml", std::string(kMaxManifestBytes + 1, '#'));
  write("probe.yaml", manifest("probe") + "    livenessProbe: {grpc: {port: 80, mode: TLS}}\n");
  write("two.yaml", manifest("x") + "---\n" + manifest("y"));
  start();
  settle();
  EXPECT_THAT(runtime_.calls, IsEmpty());
  std::map<std::string, std::string> problems;
  for (const auto& problem : agent_->problems()) problems[problem.file] = problem.sentence;
  ASSERT_THAT(problems, SizeIs(5));
  EXPECT_THAT(problems["out.yaml"], HasSubstr("out of the folder"));
  EXPECT_THAT(problems["pipe.yaml"], HasSubstr("not a regular file"));
  EXPECT_THAT(problems["big.yaml"], HasSubstr("1048576"));
  EXPECT_THAT(problems["probe.yaml"],
              HasSubstr("spec.containers[0].livenessProbe.grpc.mode: line 9: is not supported yet"));
  EXPECT_THAT(problems["two.yaml"], HasSubstr("one Pod a file"));
}

TEST_F(AgentTest, AFileIsReadWhenItIsWhole) {
  start();
  std::string path = config_.manifest_dir + "/a.yaml";
  std::string text = manifest("a");
  std::ofstream half(path);
  half << text.substr(0, 40) << std::flush;
  settle();
  EXPECT_THAT(agent_->problems(), IsEmpty());
  half << text.substr(40);
  half.close();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  // By rename, and by a link whose target is swapped.
  write(".b", manifest("b"));
  fs::rename(config_.manifest_dir + "/.b", config_.manifest_dir + "/b.yaml");
  write(".c1", manifest("c"));
  write(".c2", manifest("c2"));
  fs::create_symlink(".c1", config_.manifest_dir + "/c.yaml");
  ASSERT_TRUE(until([&] { return is_ready("b") && is_ready("c"); }));
  fs::rename(config_.manifest_dir + "/.c2", config_.manifest_dir + "/.c1");
  ASSERT_TRUE(until([&] { return is_ready("c2") && sandbox_of("c").empty(); }));
}

TEST_F(AgentTest, ARemovedFolderEndsNothing) {
  write("a.yaml", manifest("a"));
  start();
  ASSERT_TRUE(until([&] { return is_ready("a"); }));
  fs::rename(config_.manifest_dir, root_ + "/away");
  for (int i = 0; i < 300 && agent_->problems().empty(); ++i) settle();
  settle();  // for what must not follow
  ASSERT_THAT(agent_->problems(), SizeIs(1));
  EXPECT_TRUE(is_ready("a"));
  EXPECT_EQ(agent_->problems()[0].file, "");
}

}  // namespace
}  // namespace gantry::agent
