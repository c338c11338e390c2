// SPDX-License-Identifier: Apache-2.0
// A pod's shim on the real kernel, for node tests of what it runs: ShimTest has a template of shims, a root folder with
// busybox for containers, and short ways to start one, to execute something in it, and to wait for its end. Everything
// lies in /run/t of the test's world. Header only: its users name gantry_shim_client and gantry_runtime_plan as deps.
//
// A test's body is a coroutine, given to run() or, when it wants a pod, to with_pod():
//   run([](ShimTest& t) -> Task<> { auto client = co_await t.spawn("pod1"); ... }(*this));
//   with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> { ... });
// In a coroutine EXPECT_ works and ASSERT_ does not.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "runtime/plan/plan.h"
#include "shim/client.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/socket.h"
#include "tests/support/world.h"

namespace gantry::shim {

inline std::string slurp(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

// A log without time stamps, streams apart: what the container wrote.
inline std::string log_content(const std::string& path, const std::string& stream) {
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

// For what takes milliseconds on an idle machine: only a hang, or a machine that is very busy, comes near it.
constexpr std::chrono::seconds kPatience{60};

// Waits, by the kernel's events, until `path` is there and `holds(its content)`; kPatience at most. Of a file in /proc
// there are no events: see eventually().
inline bool wait_for_file(const std::string& path, const std::function<bool(const std::string&)>& holds) {
  OwnFd notify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  std::string folder = path.substr(0, path.rfind('/'));
  if (::inotify_add_watch(notify.get(), folder.c_str(), IN_MODIFY | IN_CREATE | IN_CLOSE_WRITE) < 0) return false;
  auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!holds(slurp(path))) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd changed{notify.get(), POLLIN, 0};
    if (left <= 0 || ::poll(&changed, 1, static_cast<int>(left)) <= 0) return holds(slurp(path));
    char events[4096];
    while (::read(notify.get(), events, sizeof(events)) > 0) {
    }
  }
  return true;
}
inline bool wait_for_text(const std::string& path, const std::string& text) {
  return wait_for_file(path, [&](const std::string& content) { return content.find(text) != std::string::npos; });
}

// The exit code of a child of the test, 128 + its signal.
inline int finish(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
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

  // Makes it, unless it is there from a start that failed.
  OwnFd make_cgroup(const std::string& name) {
    auto made = sys::mkdirat(test::cgroup_dir(), name.c_str(), 0755);
    EXPECT_TRUE(made || made.error().is_already_exists()) << name;
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

  static std::size_t fds_of(pid_t pid) {
    return sys::list_dir(*sys::open_dir(sys::kCwd, ("/proc/" + std::to_string(pid) + "/fd").c_str()))->size();
  }
  // Children of a process, in the order in which they were made.
  static std::vector<pid_t> children(pid_t parent) {
    std::string base = "/proc/" + std::to_string(parent);
    std::istringstream pids(slurp(base + "/task/" + std::to_string(parent) + "/children"));
    std::vector<pid_t> found;
    pid_t pid = 0;
    while (pids >> pid) found.push_back(pid);
    return found;
  }
  // A shim makes it before it says hello.
  static pid_t log_writer_of(const Client& client) { return children(client.pid()).at(0); }
  static int shell(const std::string& command) { return std::system(command.c_str()); }

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

  Task<Result<StartedAnswer>> start(Client& client, std::string id, runtime::Plan plan, StartRequest request = {},
                                    Duration limit = kLaunchLimit) {
    auto bytes = runtime::encode_plan(plan, 1);
    EXPECT_TRUE(bytes.has_value()) << bytes.error().message();
    return start_bytes(client, std::move(id), *bytes, std::move(request), limit);
  }
  Task<Result<StartedAnswer>> start_bytes(Client& client, std::string id, const std::string& plan,
                                          StartRequest request = {}, Duration limit = kLaunchLimit) {
    Client::StartFds fds;
    fds.plan = std::move(*make_plan_memfd(plan));
    fds.cgroup = make_cgroup(id);
    fds.log = std::move(*sys::openat(run_, (id + ".log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0640));
    fds.others.push_back(std::move(*sys::clone_mount(run_, "root", sys::Recursive::kNo)));
    request.container_id = id;
    return client.start(std::move(request), std::move(fds), limit);
  }

  // The ends of containers, as they come.
  struct Ends {
    explicit Ends(Loop& loop) : any(loop) {}
    Event any;
    std::vector<ExitedEvent> events;
    Task<ExitedEvent> of(std::string id) {
      for (;;) {
        for (const auto& event : events) {
          if (event.container_id == id) co_return event;
        }
        any.reset();
        if (co_await any.wait_for(kPatience)) continue;
        ADD_FAILURE() << "no end of " << id;
        co_return ExitedEvent();
      }
    }
  };
  void observe(Client& client, Ends& ends) {
    client.observe({[&ends](const ExitedEvent& e) {
                      ends.events.push_back(e);
                      ends.any.set();
                    },
                    [] {}});
  }

  // A test's body with a pod to do it in.
  using Body = std::function<Task<>(ShimTest&, Client&, Ends&)>;
  void with_pod(Body body) {
    run([](ShimTest& t, Body inner) -> Task<> {
      auto client = co_await t.spawn("pod1");
      Ends ends(t.loop_);
      t.observe(*client, ends);
      co_await inner(t, *client, ends);
      co_await client->shutdown();
    }(*this, std::move(body)));
    remove_cgroups();
  }
  // A PID namespace of the pod's own, with gantry-init in it.
  Task<> make_pod_pid(Client& client) {
    auto file = sys::openat(sys::kCwd, GANTRY_BIN "/gantry-init", O_RDONLY);
    ConfigureRequest configure;
    configure.hostname = "the-pod";
    configure.pod_pid = true;
    auto configured =
        co_await client.configure(configure, std::move(*sys::sealed_memfd("gantry-init", *file)), make_cgroup("init"));
    EXPECT_TRUE(configured.has_value()) << configured.error().message();
  }

  // A container from its start to its end.
  struct Ran {
    std::string error;  // of its start
    int code = -1;
    std::string out, err;
  };
  Task<Ran> run_container(Client& client, Ends& ends, std::string id, runtime::Plan plan, StartRequest request = {}) {
    Ran ran;
    auto started = co_await start(client, id, std::move(plan), std::move(request));
    if (!started) {
      ran.error = started.error().message();
      co_return ran;
    }
    auto ended = co_await ends.of(id);
    ran.code = ended.code;
    ran.out = log_content("/run/t/" + id + ".log", "stdout");
    ran.err = log_content("/run/t/" + id + ".log", "stderr");
    co_return ran;
  }

  // An exec in container `id`, which has its output (64 KiB at most) in a pipe.
  static runtime::Plan exec_plan(std::vector<std::string> args) {
    runtime::Plan plan;
    plan.namespaces.join_process = 0;
    plan.process.args = std::move(args);
    plan.process.env = {"PATH=/bin"};
    return plan;
  }
  struct Executing {
    std::string error;
    std::unique_ptr<Client::Exec> exec;
    OwnFd output;
  };
  Task<Executing> begin_exec(Client& client, std::string id, runtime::Plan plan, Duration limit = kLaunchLimit) {
    Executing executing;
    auto bytes = runtime::encode_plan(plan, 1);
    EXPECT_TRUE(bytes.has_value()) << bytes.error().message();
    Client::ExecFds fds;
    fds.plan = std::move(*make_plan_memfd(*bytes));
    fds.cgroup = std::move(*sys::openat(test::cgroup_dir(), id.c_str(), O_RDONLY | O_DIRECTORY));
    if (!plan.process.terminal) {
      int out[2];
      EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
      executing.output = OwnFd(out[0]);
      fds.in = std::move(*sys::openat(sys::kCwd, "/dev/null", O_RDONLY));
      fds.out = OwnFd(out[1]);
      fds.err = std::move(*fds.out.duplicate());
    }
    auto exec = co_await client.exec(id, plan.process.terminal, std::move(fds), limit);
    if (exec) {
      executing.exec = std::move(*exec);
      if (plan.process.terminal) executing.output = executing.exec->take_terminal();
    } else {
      executing.error = exec.error().message();
    }
    co_return executing;
  }
  struct Executed {
    std::string error;
    int code = -1;
    std::string output;
  };
  Task<Executed> execute(Client& client, std::string id, runtime::Plan plan) {
    auto executing = co_await begin_exec(client, std::move(id), std::move(plan));
    Executed executed{std::move(executing.error), -1, ""};
    if (!executing.exec) co_return executed;
    auto status = co_await executing.exec->wait();
    if (status) executed.code = status->code;
    char text[65536];
    for (;;) {
      auto size = sys::read(executing.output, text, sizeof(text));
      if (!size || *size == 0) break;  // a terminal's end is an error
      executed.output.append(text, *size);
    }
    co_return executed;
  }

  // For what nobody tells: asks until it holds, for kPatience; whether it does.
  Task<bool> eventually(std::function<bool()> holds) {
    auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) co_return false;
      co_await loop_.sleep_for(std::chrono::milliseconds(1));
    }
    co_return true;
  }

  // Until the kernel says that a cgroup has no process left, or kPatience.
  static void wait_until_empty(const std::string& name) {
    auto events = sys::openat(test::cgroup_dir(), (name + "/cgroup.events").c_str(), O_RDONLY);
    ASSERT_TRUE(events.has_value());
    auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      char text[128] = {};
      ASSERT_GT(::pread(events->get(), text, sizeof(text) - 1, 0), 0);
      if (std::strstr(text, "populated 0") != nullptr) return;
      pollfd change{events->get(), POLLPRI, 0};
      ::poll(&change, 1, 100);
    }
    ADD_FAILURE() << name << " is still populated";
  }

  void remove_cgroups() {
    auto names = *sys::list_dir(test::cgroup_dir());
    for (const auto& name : names) {
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

}  // namespace gantry::shim
