// SPDX-License-Identifier: Apache-2.0
// deps: gantry_shim_client gantry_runtime_plan
// The shim on the real kernel: containers out of plans, their output, their ends, and what is left when somebody is
// killed.
#include <signal.h>

#include "tests/support/shim_fixture.h"

namespace gantry::shim {
namespace {

using namespace std::chrono_literals;

TEST_F(ShimTest, AContainerRunsLogsAndEnds) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    auto plan = t.shell_plan(
        "echo to out; echo to err >&2; echo pid $$; cd /proc/sys/kernel && echo x > hostname; "
        "cat /proc/kcore | wc -c; read x; exit 7");
    auto started = co_await t.start(*client, "c1", plan);
    EXPECT_TRUE(started.has_value()) << started.error().message();
    co_await ends.any.wait();
    EXPECT_EQ(ends.events.at(0).code, 7);
    EXPECT_EQ(ends.events[0].started_at, started->started_at);
    EXPECT_GT(ends.events[0].finished_at, started->started_at);
    EXPECT_EQ(log_content("/run/t/c1.log", "stdout"), "to out\npid 1\n0\n");
    EXPECT_NE(log_content("/run/t/c1.log", "stderr").find("to err\n"), std::string::npos);
    EXPECT_NE(log_content("/run/t/c1.log", "stderr").find("Read-only"), std::string::npos);
    auto record = read_exit_record(*sys::open_dir(sys::kCwd, "/run/t/records"), "c1");
    EXPECT_TRUE(record.has_value() && record->has_value());
    if (record && *record) EXPECT_EQ((*record)->code, 7);
    EXPECT_TRUE((co_await client->forget("c1")).has_value());
    co_await client->shutdown();
    EXPECT_FALSE(client->is_alive());
  }(*this));
  remove_cgroups();
}

TEST_F(ShimTest, ACommandThatIsNotThereIsAnErrorAndLeavesNothing) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    auto plan = t.shell_plan("");
    plan.process.args = {"no-such-program"};
    auto started = co_await t.start(*client, "c1", plan);
    EXPECT_FALSE(started.has_value());
    if (!started) EXPECT_EQ(started.error().message(), "exec: \"no-such-program\": executable file not found in $PATH");
    auto state = co_await client->state();
    EXPECT_TRUE(state->containers.empty());
    plan = t.shell_plan("");
    plan.process.args = {"/bin"};
    auto folder = co_await t.start(*client, "c2", plan);
    EXPECT_FALSE(folder.has_value());
    if (!folder) EXPECT_EQ(folder.error().message(), "exec: \"/bin\": Permission denied");
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(ShimTest, KilledContainersAndTheirOrphansEndTogether) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    auto plan = t.shell_plan("busybox sleep 1000 & busybox sleep 1000 & echo ready; wait");
    plan.namespaces.new_pid = false;  // the host's: nothing but the cgroup holds them together
    (void)co_await t.start(*client, "c1", plan);
    EXPECT_TRUE((co_await client->signal("c1", SIGKILL)).has_value());
    co_await ends.any.wait();
    EXPECT_EQ(ends.events.at(0).code, 137);
    EXPECT_EQ(ends.events[0].signal, SIGKILL);
    EXPECT_NE(slurp("/sys/fs/cgroup" + test::cgroup_path() + "/c1/cgroup.events").find("populated 0"),
              std::string::npos);
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(ShimTest, ExecRunsInTheContainersNamespaces) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    (void)co_await t.start(*client, "c1", t.shell_plan("echo hello > /dev/shm/x; busybox sleep 1000"));
    runtime::Plan plan;
    plan.namespaces.join_process = 0;
    plan.process.args = {"sh", "-c",
                         "while ! [ -e /dev/shm/x ]; do :; done; cat /dev/shm/x; ls /proc | grep -c '^1$'; exit 3"};
    plan.process.env = {"PATH=/bin"};
    int out[2];
    EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
    OwnFd reader(out[0]);
    Client::ExecFds fds;
    fds.plan = std::move(*make_plan_memfd(*runtime::encode_plan(plan, 1)));
    fds.cgroup = std::move(*sys::openat(test::cgroup_dir(), "c1", O_RDONLY | O_DIRECTORY));
    fds.in = std::move(*sys::openat(sys::kCwd, "/dev/null", O_RDONLY));
    fds.out = OwnFd(out[1]);
    fds.err = std::move(*fds.out.duplicate());
    auto exec = co_await client->exec("c1", false, std::move(fds));
    EXPECT_TRUE(exec.has_value()) << exec.error().message();
    auto status = co_await (*exec)->wait();
    EXPECT_TRUE(status.has_value());
    EXPECT_EQ(status->code, 3);
    EXPECT_EQ(*sys::read_all(reader, 1000), "hello\n1\n");
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(ShimTest, TerminalsWorkForContainersAndExecs) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    auto plan = t.shell_plan("test -t 0 && test -t 1 && stty size && tty; echo done");
    plan.process.args = {"sh", "-c", "test -t 0 && test -t 1 && busybox stty size && busybox tty"};
    plan.process.terminal = true;
    plan.process.rows = 24;
    plan.process.columns = 80;
    StartRequest request;
    request.terminal = true;
    auto started = co_await t.start(*client, "c1", plan, request);
    EXPECT_TRUE(started.has_value()) << started.error().message();
    co_await ends.any.wait();
    EXPECT_EQ(ends.events.at(0).code, 0);
    EXPECT_EQ(log_content("/run/t/c1.log", "stdout"), "24 80\r\n/dev/pts/0\r\n");
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(ShimTest, WhoConnectsAnewFindsTheContainersAsTheyAre) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    auto runs = co_await t.start(*client, "runs", t.shell_plan("busybox sleep 1000"));
    (void)co_await t.start(*client, "ended", t.shell_plan("exit 9"));
    co_await ends.any.wait();
    client.reset();  // gantryd is gone
    auto again = co_await Client::connect(t.loop_, t.run_, "pod1.sock");
    EXPECT_TRUE(again.has_value()) << again.error().message();
    EXPECT_EQ((*again)->sandbox_id(), "pod1");
    auto state = co_await (*again)->state();
    EXPECT_EQ(state->containers.size(), 2U);
    for (const auto& container : state->containers) {
      if (container.container_id == "runs") {
        EXPECT_FALSE(container.exited);
        EXPECT_EQ(container.pid, runs->pid);
        EXPECT_EQ(container.exit.started_at, runs->started_at);
      } else {
        EXPECT_TRUE(container.exited);
        EXPECT_EQ(container.exit.code, 9);
      }
    }
    co_await (*again)->shutdown();
  }(*this));
  remove_cgroups();
}

TEST_F(ShimTest, TheEndOfAShimIsSeen) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Event ended(t.loop_);
    client->observe({[](const ExitedEvent&) {}, [&] { ended.set(); }});
    (void)co_await t.start(*client, "c1", t.shell_plan("busybox sleep 1000"));
    EXPECT_TRUE(sys::pidfd_send_signal(client->pidfd(), SIGKILL).has_value());
    EXPECT_TRUE(co_await ended.wait_for(5s));
    auto state = co_await client->state();
    EXPECT_FALSE(state.has_value());
    EXPECT_TRUE(sys::write_file(*sys::openat(test::cgroup_dir(), "c1", O_RDONLY), "cgroup.kill", "1").has_value());
    auto gone = co_await Client::connect(t.loop_, t.run_, "pod1.sock");
    EXPECT_FALSE(gone.has_value());
  }(*this));
  remove_cgroups();
}

TEST_F(ShimTest, NoLogByteIsLostAcrossRotationAndALongLine) {
  run([](ShimTest& t) -> Task<> {
    auto client = co_await t.spawn("pod1");
    Ends ends(t.loop_);
    t.observe(*client, ends);
    (void)co_await t.start(*client, "c1",
                           t.shell_plan("busybox seq 1 20000; busybox head -c 100000 /dev/zero | busybox tr '\\0' x; "
                                        "echo; busybox seq 20001 40000"));
    for (int i = 0; i < 20 && !ends.any.is_set(); ++i) {
      std::string name = "c1.log." + std::to_string(i);
      EXPECT_TRUE(sys::renameat2(t.run_, "c1.log", t.run_, name.c_str(), 0).has_value());
      auto fresh = sys::openat(t.run_, "c1.log", O_CREAT | O_WRONLY | O_APPEND, 0640);
      EXPECT_TRUE((co_await client->reopen_log("c1", std::move(*fresh))).has_value());
    }
    co_await ends.any.wait();
    std::string all;
    for (int i = 0; i < 20; ++i) all += log_content("/run/t/c1.log." + std::to_string(i), "stdout");
    all += log_content("/run/t/c1.log", "stdout");
    std::string expected;
    for (int i = 1; i <= 20000; ++i) expected += std::to_string(i) + "\n";
    expected += std::string(100000, 'x') + "\n";
    for (int i = 20001; i <= 40000; ++i) expected += std::to_string(i) + "\n";
    EXPECT_TRUE(all == expected) << all.size() << " bytes, expected " << expected.size();
    co_await client->shutdown();
  }(*this));
  remove_cgroups();
}

}  // namespace
}  // namespace gantry::shim
