// SPDX-License-Identifier: Apache-2.0
#include "cri/make_spec.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "sys/file.h"

namespace gantry::cri {
namespace {

namespace fs = std::filesystem;

TEST(MakeSpec, SeccompIsOffWhenNotGivenAndDefaultWhenEmpty) {
  v1::ContainerConfig config;
  v1::PodSandboxConfig pod;
  auto* security = config.mutable_linux()->mutable_security_context();
  EXPECT_EQ(make_spec(config, pod)->seccomp.kind, runtime::SeccompKind::kUnconfined);
  security->mutable_seccomp();
  EXPECT_EQ(make_spec(config, pod)->seccomp.kind, runtime::SeccompKind::kRuntimeDefault);
  security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Localhost);
  security->mutable_seccomp()->set_localhost_ref("/p.json");
  EXPECT_EQ(make_spec(config, pod)->seccomp.path, "/p.json");
  security->set_privileged(true);
  EXPECT_EQ(make_spec(config, pod)->seccomp.kind, runtime::SeccompKind::kUnconfined);
}

TEST(MakeSpec, PidNamespaces) {
  v1::ContainerConfig config;
  v1::PodSandboxConfig pod;
  auto* of_pod = pod.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  auto* of_container = config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  EXPECT_EQ(make_spec({}, {})->namespaces.pid, runtime::PidMode::kPod) << "what nobody sets is the pod's";
  of_pod->set_pid(v1::NODE);
  EXPECT_EQ(make_spec(config, pod)->namespaces.pid, runtime::PidMode::kNode);
  of_container->set_pid(v1::CONTAINER);
  EXPECT_EQ(make_spec(config, pod)->namespaces.pid, runtime::PidMode::kContainer);
  of_container->set_pid(v1::TARGET);
  EXPECT_EQ(make_spec(config, pod)->namespaces.pid, runtime::PidMode::kTarget);
}

TEST(MakeSpec, PathsToMaskAreThoseThatAreGiven) {
  v1::ContainerConfig config;
  auto spec = make_spec(config, {});
  ASSERT_TRUE(spec && spec->masked_paths);
  EXPECT_TRUE(spec->masked_paths->empty()) << "an empty list is how Kubernetes says procMount: Unmasked";
  config.mutable_linux()->mutable_security_context()->add_masked_paths("/proc/kcore");
  EXPECT_EQ(*make_spec(config, {})->masked_paths, std::vector<std::string>{"/proc/kcore"});
}

TEST(MakeSpec, Resources) {
  v1::LinuxContainerResources from;
  from.set_cpu_quota(-1);
  from.set_memory_limit_in_bytes(15 << 20);
  from.set_memory_swap_limit_in_bytes(15 << 20);
  from.add_hugepage_limits()->set_page_size("2MB");
  auto resources = make_resources(from);
  ASSERT_TRUE(resources) << resources.error().message();
  EXPECT_EQ(resources->cpu.quota, -1);
  EXPECT_EQ(resources->memory.limit, 15 << 20);
  ASSERT_EQ(resources->hugepages.size(), 1U);
  EXPECT_EQ(resources->hugepages[0].limit, 0U) << "who does not ask for them gets none";
  from.set_cpu_shares(-5);
  ASSERT_FALSE(make_resources(from));
  EXPECT_NE(make_resources(from).error().message().find("cpu_shares -5"), std::string::npos);
  from.set_cpu_shares(0);
  (*from.mutable_unified())["cgroup.procs"] = "1";
  EXPECT_FALSE(make_resources(from));
}

TEST(MakeSpec, WhatAPodCostsIsBesideItsContainers) {
  v1::LinuxPodSandboxConfig pod;
  pod.mutable_resources()->set_cpu_shares(102);
  pod.mutable_resources()->set_memory_limit_in_bytes(1000);
  EXPECT_EQ(pod_resources(pod).memory_limit_in_bytes(), 1000);
  auto& more = *pod.mutable_overhead();
  more.set_cpu_shares(256);
  more.set_cpu_quota(25'000);
  more.set_cpu_period(100'000);
  more.set_memory_limit_in_bytes(200);
  auto sum = pod_resources(pod);
  EXPECT_EQ(sum.cpu_shares(), 358);
  EXPECT_EQ(sum.cpu_quota(), 0) << "what is not limited stays so";
  EXPECT_EQ(sum.memory_limit_in_bytes(), 1200);
  pod.mutable_resources()->set_cpu_quota(10'000);
  pod.mutable_resources()->set_cpu_period(100'000);
  more.set_memory_limit_in_bytes(INT64_MAX);
  sum = pod_resources(pod);
  EXPECT_EQ(sum.cpu_quota(), 35'000);
  EXPECT_EQ(sum.memory_limit_in_bytes(), INT64_MAX);
}

TEST(MakeSpec, StopSignals) {
  v1::ContainerConfig config;
  runtime::ImageProcess image;
  EXPECT_EQ(*stop_signal(config, image), SIGTERM);
  image.stop_signal = "SIGQUIT";
  EXPECT_EQ(*stop_signal(config, image), SIGQUIT);
  config.set_stop_signal(v1::SIGNAL_SIGRTMINPLUS3);
  EXPECT_EQ(*stop_signal(config, image), 37);
  config.set_stop_signal(v1::SIGNAL_RUNTIME_DEFAULT);
  image.stop_signal = "SIGBOGUS";
  EXPECT_FALSE(stop_signal(config, image));
  // Every value that the CRI has is a signal, and comes back as one.
  for (int value = v1::Signal_MIN + 1; value <= v1::Signal_MAX; ++value) {
    if (!v1::Signal_IsValid(value)) continue;
    config.set_stop_signal(static_cast<v1::Signal>(value));
    auto signal = stop_signal(config, {});
    ASSERT_TRUE(signal) << v1::Signal_Name(config.stop_signal());
    v1::Signal back = signal_value(*signal);
    ASSERT_NE(back, v1::SIGNAL_RUNTIME_DEFAULT) << v1::Signal_Name(config.stop_signal());
    config.set_stop_signal(back);
    EXPECT_EQ(*stop_signal(config, {}), *signal);
  }
}

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/gantry-log-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(LogTest, IsMadeWithItsFoldersAndAppended) {
  auto log = open_log(folder_ / "pod/x", "main/0.log");
  ASSERT_TRUE(log) << log.error().message();
  ASSERT_TRUE(sys::write_all(*log, "one\n"));
  auto again = open_log(folder_ / "pod/x", "main/0.log");
  ASSERT_TRUE(again && sys::write_all(*again, "two\n"));
  EXPECT_EQ(fs::file_size(folder_ / "pod/x/main/0.log"), 8U);
  EXPECT_FALSE(open_log("", "0.log")->is_open());
  EXPECT_FALSE(open_log(folder_, "")->is_open());
}

TEST_F(LogTest, NeverLeavesItsFolder) {
  fs::create_directories(folder_ / "logs");
  fs::create_directory_symlink("..", folder_ / "logs/up");
  fs::create_symlink(folder_ / "canary", folder_ / "logs/link.log");
  ASSERT_EQ(::mkfifo((folder_ / "logs/fifo").c_str(), 0600), 0);
  for (const char* path : {"up/canary", "link.log", "fifo", "up/../canary"}) {
    EXPECT_FALSE(open_log(folder_ / "logs", path)) << path;
  }
  EXPECT_FALSE(fs::exists(folder_ / "canary"));
  fs::create_directories(folder_ / "host");
  fs::create_directory_symlink(folder_ / "host", folder_ / "pod");
  for (const char* folder : {"pod", "pod/"}) EXPECT_FALSE(open_log(folder_ / folder, "main/0.log")) << folder;
  EXPECT_TRUE(fs::is_empty(folder_ / "host"));
}

}  // namespace
}  // namespace gantry::cri
