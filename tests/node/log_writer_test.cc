// SPDX-License-Identifier: Apache-2.0
// deps: gantry_shim_client gantry_runtime_plan
// The log writer when the disk is full, when it is flooded, and when logs are rotated meanwhile: not a byte is lost,
// and every record is whole.
#include <signal.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "tests/support/shim_fixture.h"

namespace gantry::shim {
namespace {

using namespace std::chrono_literals;

std::string sequence(int from, int to) {
  std::string lines;
  for (int i = from; i <= to; ++i) lines += std::to_string(i) + "\n";
  return lines;
}

class LogWriterTest : public ShimTest {
 public:
  // A disk of 64 KiB at /run/t/small, with the container's log on it.
  Task<Result<StartedAnswer>> start_on_small_disk(Client& client, std::string id, runtime::Plan plan) {
    EXPECT_EQ(shell("mkdir /run/t/small && mount -t tmpfs -o size=64k none /run/t/small"), 0);
    Client::StartFds fds;
    fds.plan = std::move(*make_plan_memfd(*runtime::encode_plan(plan, 1)));
    fds.cgroup = make_cgroup(id);
    fds.log = std::move(*sys::openat(run_, "small/log", O_CREAT | O_WRONLY | O_APPEND, 0640));
    fds.others.push_back(std::move(*sys::clone_mount(run_, "root", sys::Recursive::kNo)));
    StartRequest request;
    request.container_id = id;
    return client.start(std::move(request), std::move(fds));
  }
  static bool has_open(pid_t pid, const std::string& path) {
    auto folder = sys::open_dir(sys::kCwd, ("/proc/" + std::to_string(pid) + "/fd").c_str());
    for (const auto& fd : *sys::list_dir(*folder)) {
      auto link = sys::readlinkat(*folder, fd.c_str());
      if (link && *link == path) return true;
    }
    return false;
  }
  static bool wait_until_full() {
    return wait_for_file("/run/t/small/log", [](const std::string&) {
      struct statvfs info;
      return ::statvfs("/run/t/small", &info) == 0 && info.f_bavail == 0;
    });
  }
};

// Every line of a log is a record of the CRI format.
void expect_whole_records(const std::string& path) {
  std::istringstream lines(slurp(path));
  std::string line;
  while (std::getline(lines, line)) {
    bool whole = line.size() > 40 && line[4] == '-' && line[10] == 'T' && line[29] == 'Z' &&
                 (line.compare(30, 10, " stdout F ") == 0 || line.compare(30, 10, " stderr F ") == 0 ||
                  line.compare(30, 10, " stdout P ") == 0 || line.compare(30, 10, " stderr P ") == 0);
    EXPECT_TRUE(whole) << path << ": " << line;
    if (!whole) return;
  }
}

TEST_F(LogWriterTest, AFullDiskPausesTheContainerAndLosesNothing) {
  run([](LogWriterTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    (void)co_await t.start_on_small_disk(*client, "c1", t.shell_plan("busybox seq 1 40000; echo end >&2"));
    EXPECT_TRUE(wait_until_full());
    // Another container of the pod is not held up.
    auto other = co_await t.run_container(*client, ends, "c2", t.shell_plan("echo free"));
    EXPECT_EQ(other.out, "free\n");
    EXPECT_TRUE((co_await client->state())->containers.size() == 2);
    // Room, found without being told.
    EXPECT_EQ(t.shell("mount -o remount,size=8m /run/t/small"), 0);
    EXPECT_EQ((co_await ends.of("c1")).code, 0);
    EXPECT_TRUE(log_content("/run/t/small/log", "stdout") == sequence(1, 40000));
    EXPECT_EQ(log_content("/run/t/small/log", "stderr"), "end\n");
    expect_whole_records("/run/t/small/log");
    co_await client->shutdown();
  }(*this));
  EXPECT_EQ(shell("umount /run/t/small"), 0);
  remove_cgroups();
}

TEST_F(LogWriterTest, ARotationFromAFullDiskTearsNoRecord) {
  run([](LogWriterTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    (void)co_await t.start_on_small_disk(*client, "c1", t.shell_plan("busybox seq 1 40000"));
    EXPECT_TRUE(wait_until_full());
    auto fresh = sys::openat(t.run_, "c1.log", O_CREAT | O_WRONLY | O_APPEND, 0640);
    EXPECT_TRUE((co_await client->reopen_log("c1", std::move(*fresh))).has_value());
    EXPECT_EQ((co_await ends.of("c1")).code, 0);
    EXPECT_TRUE(log_content("/run/t/small/log", "stdout") + log_content("/run/t/c1.log", "stdout") ==
                sequence(1, 40000));
    expect_whole_records("/run/t/small/log");
    expect_whole_records("/run/t/c1.log");
    co_await client->shutdown();
  }(*this));
  EXPECT_EQ(shell("umount /run/t/small"), 0);
  remove_cgroups();
}

TEST_F(LogWriterTest, AContainerThatEndsOnAFullDiskKeepsItsLog) {
  run([](LogWriterTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    pid_t writer = log_writer_of(*client);
    (void)co_await t.start_on_small_disk(*client, "c1", t.shell_plan("busybox seq 1 40000"));
    EXPECT_TRUE(wait_until_full());
    (void)co_await client->kill("c1");
    (void)co_await ends.of("c1");
    std::string before = log_content("/run/t/small/log", "stdout");
    EXPECT_EQ(t.shell("mount -o remount,size=8m /run/t/small"), 0);
    // The file is let go when it has all that was read: whole lines and at most one piece.
    EXPECT_TRUE(
        wait_for_file("/run/t/small/log", [&](const std::string&) { return !has_open(writer, "/run/t/small/log"); }));
    std::string content = log_content("/run/t/small/log", "stdout");
    EXPECT_GT(content.size(), before.size());
    EXPECT_TRUE(sequence(1, 40000).starts_with(content.substr(0, content.rfind('\n') + 1)));
    expect_whole_records("/run/t/small/log");
    co_await client->shutdown();
  }(*this));
  EXPECT_EQ(shell("umount /run/t/small"), 0);
  remove_cgroups();
}

TEST_F(LogWriterTest, WhatWasReadIsWrittenThoughTheShimIsGone) {
  run([](LogWriterTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    pid_t writer = log_writer_of(*client);
    auto writer_end = sys::pidfd_open(writer);
    (void)co_await t.start_on_small_disk(*client, "c1", t.shell_plan("busybox seq 1 40000"));
    EXPECT_TRUE(wait_until_full());
    Event ended(t.loop_);
    client->observe({[](const ExitedEvent&) {}, [&] { ended.set(); }});
    EXPECT_TRUE(sys::pidfd_send_signal(client->pidfd(), SIGKILL));
    EXPECT_TRUE(co_await ended.wait_for(kPatience));
    EXPECT_TRUE(sys::write_file(t.make_cgroup("c1"), "cgroup.kill", "1"));
    wait_until_empty("c1");
    std::string before = log_content("/run/t/small/log", "stdout");
    Watch gone(t.loop_, *writer_end);
    EXPECT_EQ(t.shell("mount -o remount,size=8m /run/t/small"), 0);
    (void)co_await gone.readable();
    std::string content = log_content("/run/t/small/log", "stdout");
    EXPECT_GT(content.size(), before.size());
    EXPECT_TRUE(sequence(1, 40000).starts_with(content.substr(0, content.rfind('\n') + 1)));
    expect_whole_records("/run/t/small/log");
  }(*this));
  EXPECT_EQ(shell("umount /run/t/small"), 0);
  remove_cgroups();
}

// Whoever has no number left for a descriptor says so, or does without; nobody takes it for the other's end.
TEST_F(LogWriterTest, RunningOutOfDescriptorsEndsNoPod) {
  run([](LogWriterTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    pid_t writer = log_writer_of(*client);
    auto limit = [](pid_t pid, rlim_t most) {
      rlimit now{}, next{};
      ::prlimit(pid, RLIMIT_NOFILE, nullptr, &now);
      next = {most, now.rlim_max};
      EXPECT_EQ(::prlimit(pid, RLIMIT_NOFILE, &next, nullptr), 0);
    };
    (void)co_await client->state();  // all that it has closed is closed
    limit(client->pid(), fds_of(client->pid()) + 2);
    auto started = co_await t.start(*client, "c1", t.shell_plan("true"));
    EXPECT_TRUE(!started && started.error().is_resource());
    std::string refusal = started ? "started" : started.error().message();
    EXPECT_NE(refusal.find("no descriptor is free in the shim"), std::string::npos) << refusal;
    limit(client->pid(), 1024);
    auto ran = co_await t.run_container(*client, ends, "c2", t.shell_plan("echo works"));
    EXPECT_EQ(ran.out, "works\n");
    limit(writer, fds_of(writer));
    (void)co_await t.run_container(*client, ends, "c3", t.shell_plan("echo lost"));
    limit(writer, 1024);
    ran = co_await t.run_container(*client, ends, "c4", t.shell_plan("echo works again"));
    EXPECT_EQ(ran.out, "works again\n");
    EXPECT_TRUE(client->is_alive());
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(LogWriterTest, AFloodOnBothStreamsLeavesExecsAndOthersAlone) {
  run([](LogWriterTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    (void)co_await t.start(*client, "flood", t.shell_plan("busybox yes out & busybox yes err >&2"));
    EXPECT_TRUE(wait_for_text("/run/t/flood.log", "stderr F err"));
    for (int i = 0; i < 20; ++i) {
      auto executed = co_await t.execute(*client, "flood", exec_plan({"busybox", "echo", "still here"}));
      EXPECT_EQ(executed.output, "still here\n") << executed.error;
      // Rotated and dropped, or it would fill the memory.
      EXPECT_TRUE(sys::unlinkat(t.run_, "flood.log", 0).has_value());
      auto fresh = sys::openat(t.run_, "flood.log", O_CREAT | O_WRONLY | O_APPEND, 0640);
      EXPECT_TRUE((co_await client->reopen_log("flood", std::move(*fresh))).has_value());
    }
    auto other = co_await t.run_container(*client, ends, "c2", t.shell_plan("echo me too"));
    EXPECT_EQ(other.out, "me too\n");
    (void)co_await client->kill("flood");
    (void)co_await ends.of("flood");
    expect_whole_records("/run/t/flood.log");
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(LogWriterTest, AShimIsNotHeldUpByALogWriterThatIs) {
  run([](LogWriterTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    (void)co_await t.start(*client, "c1", t.shell_plan("while :; do echo x; busybox usleep 1000; done"));
    EXPECT_TRUE(wait_for_text("/run/t/c1.log", "stdout F x"));
    // Stopped, as a disk that hangs would.
    pid_t pid = log_writer_of(*client);
    EXPECT_EQ(::kill(pid, SIGSTOP), 0);
    int refused = 0;
    for (int i = 0; i < 1000 && refused == 0; ++i) {
      auto fresh = sys::openat(t.run_, "c1.log", O_CREAT | O_WRONLY | O_APPEND, 0640);
      auto reopened = co_await client->reopen_log("c1", std::move(*fresh));
      if (!reopened) {
        ++refused;
        EXPECT_EQ(reopened.error().message(), "the disk that the log of c1 is on does not answer");
      }
    }
    EXPECT_EQ(refused, 1);
    EXPECT_EQ((co_await t.start(*client, "c2", t.shell_plan("echo late; exit 4"))).has_value(), true);
    EXPECT_EQ((co_await t.execute(*client, "c1", exec_plan({"busybox", "echo", "fine"}))).output, "fine\n");
    EXPECT_EQ(::kill(pid, SIGCONT), 0);
    EXPECT_EQ((co_await ends.of("c2")).code, 4);
    EXPECT_EQ(log_content("/run/t/c2.log", "stdout"), "late\n");
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

}  // namespace
}  // namespace gantry::shim
