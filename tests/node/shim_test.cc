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
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
    auto plan = t.shell_plan("");
    plan.process.args = {"no-such-program"};
    auto started = co_await t.start(client, "c1", plan);
    EXPECT_FALSE(started.has_value());
    if (!started) EXPECT_EQ(started.error().message(), "exec: \"no-such-program\": executable file not found in $PATH");
    auto state = co_await client.state();
    EXPECT_TRUE(state->containers.empty());
    plan = t.shell_plan("");
    plan.process.args = {"/bin"};
    auto folder = co_await t.start(client, "c2", plan);
    EXPECT_FALSE(folder.has_value());
    if (!folder) EXPECT_EQ(folder.error().message(), "exec: \"/bin\": Permission denied");
  });
}

TEST_F(ShimTest, KilledContainersAndTheirOrphansEndTogether) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    auto plan = t.shell_plan("busybox sleep 1000 & busybox sleep 1000 & echo ready; wait");
    plan.namespaces.new_pid = false;  // the host's: nothing but the cgroup holds them together
    (void)co_await t.start(client, "c1", plan);
    EXPECT_TRUE((co_await client.signal("c1", SIGKILL)).has_value());
    co_await ends.any.wait();
    EXPECT_EQ(ends.events.at(0).code, 137);
    EXPECT_EQ(ends.events[0].signal, SIGKILL);
    EXPECT_NE(slurp("/sys/fs/cgroup" + test::cgroup_path() + "/c1/cgroup.events").find("populated 0"),
              std::string::npos);
  });
}

TEST_F(ShimTest, ExecRunsInTheContainersNamespaces) {
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
    (void)co_await t.start(client, "c1", t.shell_plan("echo hello > /dev/shm/x; busybox sleep 1000"));
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
    auto exec = co_await client.exec("c1", false, std::move(fds));
    EXPECT_TRUE(exec.has_value()) << exec.error().message();
    auto status = co_await (*exec)->wait();
    EXPECT_TRUE(status.has_value());
    EXPECT_EQ(status->code, 3);
    EXPECT_EQ(*sys::read_all(reader, 1000), "hello\n1\n");
  });
}

TEST_F(ShimTest, TerminalsWorkForContainersAndExecs) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    auto plan = t.shell_plan("test -t 0 && test -t 1 && stty size && tty; echo done");
    plan.process.args = {"sh", "-c", "test -t 0 && test -t 1 && busybox stty size && busybox tty"};
    plan.process.terminal = true;
    plan.process.rows = 24;
    plan.process.columns = 80;
    StartRequest request;
    request.terminal = true;
    auto started = co_await t.start(client, "c1", plan, request);
    EXPECT_TRUE(started.has_value()) << started.error().message();
    co_await ends.any.wait();
    EXPECT_EQ(ends.events.at(0).code, 0);
    EXPECT_EQ(log_content("/run/t/c1.log", "stdout"), "24 80\r\n/dev/pts/0\r\n");
  });
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
    EXPECT_TRUE(co_await ended.wait_for(kPatience));
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

TEST_F(ShimTest, APodsOwnInitReapsAndHoldsNothing) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    co_await t.make_pod_pid(client);
    StartRequest request;
    request.join_pod_pid = true;
    auto plan = t.shell_plan("busybox sleep 1000");
    plan.namespaces.new_pid = false;
    (void)co_await t.start(client, "a", plan, request);
    // Orphans of two generations, and what is seen of pid 1. It can't be killed from within either.
    plan = t.shell_plan(
        "busybox hostname; for i in 1 2 3 4 5 6 7 8 9 10; do (busybox true & busybox true &) ; done; "
        "while busybox grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do :; done; echo none; "
        "busybox cat /proc/1/comm; busybox grep -E '^(Cap|NoNew)' /proc/1/status; "
        "busybox readlink /proc/1/fd/0 /proc/1/fd/1 /proc/1/fd/2 /proc/1/root /proc/1/exe /proc/1/cwd; "
        "kill -9 1; busybox cat /proc/1/comm");
    plan.namespaces.new_pid = false;
    auto ran = co_await t.run_container(client, ends, "b", plan, request);
    EXPECT_EQ(ran.out,
              "the-pod\nnone\ngantry-init\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
              "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n"
              "gantry-init\n")
        << ran.error << ran.err;
    auto on_a_terminal = t.shell_plan("busybox tty; echo x > /dev/tty; echo $(busybox ls /proc/self/fd)");
    on_a_terminal.namespaces.new_pid = false;
    on_a_terminal.process.terminal = true;
    on_a_terminal.devices.push_back({"/dev/tty", S_IFCHR | 0666, 5, 0, 0, 0});
    request.terminal = true;
    ran = co_await t.run_container(client, ends, "t", on_a_terminal, request);
    EXPECT_EQ(ran.out, "/dev/pts/0\r\nx\r\n0 1 2 3\r\n") << ran.error << ran.err;
    request.terminal = false;
    // By our own eyes: nothing but the null device.
    pid_t init = children(client.pid()).at(1);
    EXPECT_EQ(slurp("/proc/" + std::to_string(init) + "/comm"), "gantry-init\n");
    for (const auto& fd :
         *sys::list_dir(*sys::open_dir(sys::kCwd, ("/proc/" + std::to_string(init) + "/fd").c_str()))) {
      EXPECT_TRUE(
          sys::readlinkat(sys::kCwd, ("/proc/" + std::to_string(init) + "/fd/" + fd).c_str())->ends_with("/null"));
    }
    // Its end ends the namespace; who would join it then is told.
    EXPECT_EQ(::kill(init, SIGKILL), 0);
    (void)co_await ends.of("a");
    auto late = co_await t.start(client, "late", plan, request);
    EXPECT_FALSE(late.has_value());
    if (!late) EXPECT_EQ(late.error().message(), "the process whose PID namespace was to be joined has ended");
  });
}

TEST_F(ShimTest, AContainerJoinsThePidNamespaceOfItsTarget) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await t.start(client, "target", t.shell_plan("busybox sleep 1000; true"));
    StartRequest request;
    request.target_container = "target";
    auto plan = t.shell_plan("busybox tr '\\0' ' ' < /proc/1/cmdline; [ $$ -gt 1 ] && echo not the first");
    plan.namespaces.new_pid = false;
    auto ran = co_await t.run_container(client, ends, "debug", plan, request);
    EXPECT_EQ(ran.out, "sh -c busybox sleep 1000; true not the first\n") << ran.error << ran.err;
    (void)co_await client.kill("target");
    (void)co_await ends.of("target");
    ran = co_await t.run_container(client, ends, "debug2", plan, request);
    EXPECT_EQ(ran.error, "target container target is not running");
  });
}

TEST_F(ShimTest, AnIdlePodIsSmallAndSleeps) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    (void)co_await t.start(client, "c1", t.shell_plan("busybox sleep 1000"));
    (void)co_await t.run_container(client, ends, "c2", t.shell_plan("busybox yes '' | busybox head -c 3000000"));
    (void)co_await t.execute(client, "c1", exec_plan({"busybox", "true"}));
    (void)co_await client.state();
    std::vector<pid_t> pids = {client.pid(), log_writer_of(client)};
    for (pid_t pid : pids) {
      std::string text = slurp("/proc/" + std::to_string(pid) + "/smaps_rollup");
      long kilobytes = 0;
      for (const char* field : {"Private_Clean:", "Private_Dirty:"}) {
        kilobytes += std::atol(text.c_str() + text.find(field) + std::strlen(field));
      }
      std::printf("%s: %ld KiB private\n", pid == client.pid() ? "shim" : "log writer", kilobytes);
      if (kilobytes > 200) std::printf("%s\n", slurp("/proc/" + std::to_string(pid) + "/smaps").c_str());
#if !__has_feature(address_sanitizer)
      EXPECT_LT(kilobytes, 256);
#endif
    }
    // Once they sleep, they sleep. What they still had to do they may do late.
    auto times = [&] {
      std::string all;
      for (pid_t pid : pids) all += slurp("/proc/" + std::to_string(pid) + "/schedstat");
      return all;
    };
    bool slept = false;
    for (int tries = 0; tries < 10 && !slept; ++tries) {
      const std::string before = times();
      co_await t.loop_.sleep_for(1s);  // a measure, not a wait: they must not run meanwhile
      slept = times() == before;
    }
    EXPECT_TRUE(slept);
  });
}

}  // namespace
}  // namespace gantry::shim
