// SPDX-License-Identifier: Apache-2.0
// deps: gantry_shim_client gantry_runtime_plan
// The shim on the real kernel: containers out of plans, their output, their ends, and what is left when somebody is
// killed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "runtime/plan/plan.h"
#include "shim/client.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/socket.h"
#include "tests/support/world.h"

namespace gantry::shim {
namespace {

using namespace std::chrono_literals;

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

// A log without time stamps, streams apart: what the container wrote.
std::string log_content(const std::string& path, const std::string& stream) {
  std::ifstream file(path);
  std::string line, content;
  while (std::getline(file, line)) {
    std::size_t name = line.find(' ') + 1;
    if (line.compare(name, stream.size(), stream) != 0) continue;
    std::size_t tag = name + stream.size() + 1;
    content += line.substr(tag + 2);
    if (line[tag] == 'F') content += '\n';
  }
  return content;
}

class ShimTest : public ::testing::Test {
 public:
  void SetUp() override {
    ASSERT_EQ(::mkdir("/run/t", 0700), 0);
    auto dir = sys::openat(sys::kCwd, "/run/t", O_RDONLY | O_DIRECTORY);
    run_ = DirFd(std::move(*dir));
    // A root for containers: busybox and the folders that mounts go to.
    ASSERT_EQ(std::system("mkdir -p /run/t/root/bin && cp /bin/busybox /run/t/root/bin/busybox && "
                          "ln -s busybox /run/t/root/bin/sh && mkdir -p /run/t/records /run/t/cg && chmod 755 /run/t"),
              0);
    auto file = sys::openat(sys::kCwd, GANTRY_BIN "/gantry-shim", O_RDONLY);
    ASSERT_TRUE(file.has_value()) << file.error().message();
    auto memfd = sys::sealed_memfd("gantry-shim", *file);
    ASSERT_TRUE(memfd.has_value());
    auto made = Template::launch(loop_, *memfd);
    ASSERT_TRUE(made.has_value()) << made.error().message();
    template_ = std::move(*made);
  }
  void TearDown() override {
    template_.reset();
    ASSERT_EQ(std::system("rm -rf /run/t"), 0);
  }

  void run(Task<> task) {
    loop_.spawn([](Loop& loop, Task<> inner) -> Task<> {
      co_await inner;
      loop.stop();
    }(loop_, std::move(task)));
    loop_.run();
  }

  OwnFd make_cgroup(const std::string& name) {
    EXPECT_TRUE(sys::mkdirat(test::cgroup_dir(), name.c_str(), 0755));
    return std::move(*sys::openat(test::cgroup_dir(), name.c_str(), O_RDONLY | O_DIRECTORY));
  }

  Task<std::unique_ptr<Client>> spawn(std::string id) {
    Template::SpawnFds fds;
    fds.cgroup = make_cgroup("shim-" + id);
    fds.listener = std::move(*sys::listen_unix(run_, (id + ".sock").c_str(), SOCK_SEQPACKET, 16));
    fds.records = std::move(*sys::clone_mount(run_, "records", sys::Recursive::kNo));
    SpawnRequest request;
    request.sandbox_id = id;
    auto client = co_await template_->spawn(std::move(request), std::move(fds));
    EXPECT_TRUE(client.has_value()) << client.error().message();
    co_return std::move(*client);
  }

  runtime::Plan shell_plan(const std::string& script) {
    runtime::Plan plan;
    plan.namespaces.new_pid = true;
    plan.namespaces.new_cgroup = true;
    plan.root.rootfs = 0;
    plan.process.args = {"sh", "-c", script};
    plan.process.env = {"PATH=/bin"};
    plan.process.capabilities = {~0ULL, 0, 0, 0, 0};
    plan.process.capabilities.bounding = plan.process.capabilities.effective = plan.process.capabilities.permitted = 1;
    runtime::MountPlan proc;
    proc.target = "/proc";
    proc.type = "proc";
    runtime::MountPlan dev;
    dev.target = "/dev";
    dev.type = "tmpfs";
    dev.options = {"mode=755", "size=65536k"};
    runtime::MountPlan pts;
    pts.target = "/dev/pts";
    pts.type = "devpts";
    pts.options = {"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"};
    runtime::MountPlan shm;
    shm.kind = runtime::MountKind::kPodShm;
    shm.target = "/dev/shm";
    plan.mounts = {proc, dev, pts, shm};
    plan.devices = {{"/dev/null", S_IFCHR | 0666, 1, 3, 0, 0}, {"/dev/zero", S_IFCHR | 0666, 1, 5, 0, 0}};
    plan.links = {{"/dev/ptmx", "pts/ptmx"}};
    plan.masked_paths = {"/proc/kcore", "/proc/acpi", "/nothing/here"};
    plan.read_only_paths = {"/proc/sys"};
    return plan;
  }

  Task<Result<StartedAnswer>> start(Client& client, std::string id, runtime::Plan plan, StartRequest request = {}) {
    Client::StartFds fds;
    auto bytes = runtime::encode_plan(plan, 1);
    EXPECT_TRUE(bytes.has_value()) << bytes.error().message();
    fds.plan = std::move(*make_plan_memfd(*bytes));
    fds.cgroup = make_cgroup(id);
    fds.log = std::move(*sys::openat(run_, (id + ".log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0640));
    fds.others.push_back(std::move(*sys::clone_mount(run_, "root", sys::Recursive::kNo)));
    request.container_id = id;
    return client.start(std::move(request), std::move(fds));
  }

  // Waits for the end of container `id`.
  struct Ends {
    explicit Ends(Loop& loop) : any(loop) {}
    Event any;
    std::vector<ExitedEvent> events;
  };
  void observe(Client& client, Ends& ends) {
    client.observe({[&ends](const ExitedEvent& e) {
                      ends.events.push_back(e);
                      ends.any.set();
                    },
                    [] {}});
  }

  // Until the kernel says that a cgroup has no process left, or five seconds.
  static void wait_until_empty(const std::string& name) {
    auto events = sys::openat(test::cgroup_dir(), (name + "/cgroup.events").c_str(), O_RDONLY);
    ASSERT_TRUE(events.has_value());
    for (int i = 0; i < 50; ++i) {
      char text[128] = {};
      ASSERT_GT(::pread(events->get(), text, sizeof(text) - 1, 0), 0);
      if (std::strstr(text, "populated 0") != nullptr) return;
      pollfd change{events->get(), POLLPRI, 0};
      ::poll(&change, 1, 100);
    }
    ADD_FAILURE() << name << " is still populated";
  }

  void remove_cgroups() {
    for (const auto& name : *sys::list_dir(test::cgroup_dir())) {
      auto info = sys::fstatat(test::cgroup_dir(), name.c_str(), 0);
      if (!info || !S_ISDIR(info->st_mode)) continue;
      wait_until_empty(name);
      EXPECT_TRUE(sys::unlinkat(test::cgroup_dir(), name.c_str(), AT_REMOVEDIR)) << name;
    }
  }

  Loop loop_;
  DirFd run_;
  std::unique_ptr<Template> template_;
};

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
