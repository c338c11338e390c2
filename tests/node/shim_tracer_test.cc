// SPDX-License-Identifier: Apache-2.0
// deps: gantry_shim_client gantry_runtime_plan
// Containers that look into what a shim starts in them and beside them.
#include <dirent.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sysmacros.h>

#include <set>

#include "tests/support/shim_fixture.h"

namespace gantry::shim {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kSysPtrace = 19;
constexpr std::uint64_t bit(unsigned capability) { return std::uint64_t{1} << capability; }

// Runs `body` as a process of the container whose first process is `pid`: in its namespaces, as root with these
// capabilities. The test waits for it with finish().
pid_t enter_container(pid_t pid, std::uint64_t capabilities, int (*body)(int), int argument) {
  pid_t helper = ::fork();
  if (helper != 0) return helper;
  auto pidfd = sys::pidfd_open(pid);
  auto all = sys::CloneFlag::kNewMount | sys::CloneFlag::kNewPid | sys::CloneFlag::kNewNet | sys::CloneFlag::kNewIpc |
             sys::CloneFlag::kNewUts | sys::CloneFlag::kNewCgroup;
  if (!pidfd || !sys::setns(*pidfd, all)) ::_exit(100);
  pid_t inside = ::fork();
  if (inside != 0) {
    int status = 0;
    ::waitpid(inside, &status, 0);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 101);
  }
  for (unsigned capability = 0; capability < 64; ++capability) {
    if ((capabilities >> capability & 1) == 0) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  auto low = static_cast<std::uint32_t>(capabilities), high = static_cast<std::uint32_t>(capabilities >> 32);
  __user_cap_data_struct data[2] = {{low, low, 0}, {high, high, 0}};
  if (::syscall(SYS_capset, &header, data) < 0) ::_exit(102);
  ::_exit(body(argument));
}
// ---- attackers ----------------------------------------------------------------------------------------------------

struct Loot {
  int processes = 0;  // that were looked into
  int attached = 0;
  char worst[200] = {};
};

// Where a null device is: 0 when there is nothing.
dev_t file_system_of(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? info.st_dev : 0;
}
// Of the test's own one, looked at before any container is entered.
const dev_t kHostsDev = file_system_of("/dev/null");

// Looks at every process that appears in the container, as fast as it can, until it is told to end ("e"): its
// descriptors, its capabilities, its program. Anything that is not the container's own is written down; who asks ("?")
// is told of it so far.
int look_into_all(int channel) {
  auto note = [](Loot& loot, const char* what, const std::string& value) {
    if (loot.worst[0] == '\0') std::snprintf(loot.worst, sizeof(loot.worst), "%s: %s", what, value.c_str());
  };
  Loot loot;
  ::fcntl(channel, F_SETFL, O_NONBLOCK);
  (void)!::write(channel, "r", 1);
  std::set<long> known;
  for (;;) {
    char byte = 0;
    if (::read(channel, &byte, 1) == 1 && byte == 'e') break;
    if (byte == '?') (void)!::write(channel, &loot, sizeof(loot));
    // Numbers are given in a row: the next ones are tried before they can be listed.
    DIR* proc = ::opendir("/proc");
    while (const dirent* entry = ::readdir(proc)) {
      long pid = std::atol(entry->d_name);
      if (pid <= 1 || pid == ::getpid()) continue;
      std::string base = "/proc/" + std::to_string(pid);
      bool readable = false;
      for (int fd = 0; fd < 64; ++fd) {
        char target[256];
        ssize_t size = ::readlink((base + "/fd/" + std::to_string(fd)).c_str(), target, sizeof(target));
        if (size < 0) continue;
        readable = true;
        std::string link(target, static_cast<std::size_t>(size));
        // A null device on another file system than the host's is the container's own.
        if (link == "/dev/null" && file_system_of(base + "/fd/" + std::to_string(fd)) != kHostsDev) continue;
        bool harmless = link.starts_with("pipe:") || link == "/null" || link.starts_with("/dev/pts/") ||
                        (fd == 3 && link.starts_with("socket:")) || link.starts_with("/proc");
        if (!harmless) note(loot, "descriptor", std::to_string(fd) + " " + link);
      }
      std::string status = slurp(base + "/status");
      std::size_t at = status.find("CapPrm:\t");
      if (at != status.npos) {
        auto permitted = std::strtoull(status.c_str() + at + 8, nullptr, 16);
        if ((permitted & ~bit(kSysPtrace)) != 0) note(loot, "capabilities", status.substr(at, 24));
      }
      char program[256];
      ssize_t size = ::readlink((base + "/exe").c_str(), program, sizeof(program));
      if (size > 0) {
        int exe = ::open((base + "/exe").c_str(), O_WRONLY | O_CLOEXEC);
        if (exe >= 0) {
          std::string name(program, static_cast<std::size_t>(size));
          if (::write(exe, "x", 1) == 1) note(loot, "wrote", name);
          ::close(exe);
        }
      }
      if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0) {
        ++loot.attached;
        ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
        int ignored;
        if (::waitpid(static_cast<pid_t>(pid), &ignored, __WALL) == pid) ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
      }
      if (readable && known.insert(pid).second) ++loot.processes;
    }
    ::closedir(proc);
  }
  (void)!::write(channel, &loot, sizeof(loot));
  return 0;
}

// `body` in a container, with CAP_SYS_PTRACE, from when it says that it is ready until end().
class Attacker {
 public:
  Attacker(pid_t container, int (*body)(int)) {
    int channel[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
    attacker_ = enter_container(container, bit(kSysPtrace), body, channel[1]);
    ::close(channel[1]);
    channel_ = OwnFd(channel[0]);
    char byte;
    EXPECT_EQ(::read(channel_.get(), &byte, 1), 1);
  }
  // What it says so far.
  std::string ask() { return answer("?"); }
  // What it says last.
  std::string end() {
    std::string last = answer("e");
    channel_.close();
    EXPECT_EQ(finish(attacker_), 0);
    return last;
  }

 private:
  std::string answer(const char* word) {
    EXPECT_EQ(::write(channel_.get(), word, 1), 1);
    char said[1024];
    auto size = ::read(channel_.get(), said, sizeof(said));
    return std::string(said, size > 0 ? static_cast<std::size_t>(size) : 0);
  }

  OwnFd channel_;
  pid_t attacker_ = -1;
};

// look_into_all() in a container; end() expects that it saw nothing.
class Attack {
 public:
  explicit Attack(pid_t container) : attacker_(container, look_into_all) {}
  // Whether it came near to so many processes. On a busy machine it comes too late to most.
  bool came_near(int processes) { return taken(attacker_.ask()).processes > processes; }
  Loot end() {
    Loot loot = taken(attacker_.end());
    EXPECT_STREQ(loot.worst, "");
    return loot;
  }

 private:
  static Loot taken(const std::string& said) {
    Loot loot;
    EXPECT_EQ(said.size(), sizeof(loot));
    if (said.size() == sizeof(loot)) std::memcpy(&loot, said.data(), sizeof(loot));
    return loot;
  }

  Attacker attacker_;
};

TEST_F(ShimTest, AContainerThatMayTraceSeesNothingOfAnExecOnItsWay) {
  with_pod([](ShimTest& t, Client& client, Ends&) -> Task<> {
    auto plan = t.shell_plan("busybox sleep 1000");
    auto& capabilities = plan.process.capabilities;
    capabilities.bounding = capabilities.effective = capabilities.permitted = bit(kSysPtrace);
    auto started = co_await t.start(client, "c1", plan);
    EXPECT_TRUE(started.has_value()) << started.error().message();
    Attack attack(started->pid);
    auto exec = exec_plan({"busybox", "true"});
    exec.process.capabilities = capabilities;
    auto as_user = exec;
    as_user.process.uid = as_user.process.gid = 1000;
    int worked = 0, tried = 0;
    for (; tried < 300 || (tried < 6000 && !attack.came_near(5)); ++tried) {
      auto executed = co_await t.execute(client, "c1", tried % 2 == 0 ? exec : as_user);
      if (executed.code == 0) ++worked;
    }
    Loot loot = attack.end();
    EXPECT_GT(loot.processes, 5) << "the attack did not come near";
    EXPECT_GT(worked, tried / 6 * 5);
    RecordProperty("attached", loot.attached);
  });
}

// Takes a copy of each socket that a process in the container has, and keeps it, until the pipe is closed: what a
// launch reports by never ends then.
int hold_all_sockets(int channel) {
  ::fcntl(channel, F_SETFL, O_NONBLOCK);
  (void)!::write(channel, "r", 1);
  char byte;
  while (::read(channel, &byte, 1) != 1) {
    DIR* proc = ::opendir("/proc");
    while (const dirent* entry = ::readdir(proc)) {
      int pid = std::atoi(entry->d_name);
      if (pid <= 1 || pid == ::getpid()) continue;
      OwnFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
      if (process.is_open()) (void)::syscall(SYS_pidfd_getfd, process.get(), 3, 0);
    }
    ::closedir(proc);
  }
  return 0;
}

// Not one launch waits for whoever holds it up.
TEST_F(ShimTest, AContainerThatMayTraceHoldsNoLaunchUpForEver) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    co_await t.make_pod_pid(client);
    StartRequest request;
    request.join_pod_pid = true;
    auto plan = t.shell_plan("busybox sleep 1000");
    plan.namespaces.new_pid = false;
    auto& capabilities = plan.process.capabilities;
    capabilities.bounding = capabilities.effective = capabilities.permitted = bit(kSysPtrace);
    auto thief = co_await t.start(client, "c1", plan, request);
    EXPECT_TRUE(thief.has_value()) << thief.error().message();
    Attacker attacker(thief->pid, hold_all_sockets);
    capabilities.bounding = capabilities.effective = capabilities.permitted = 0;
    int held = 0;
    auto note = [&](const auto& result, Code code) {
      if (result) return;
      EXPECT_EQ(result.error().code(), code) << result.error().message();
      ++held;
    };
    for (int i = 0; i < 200 && held < 2; ++i) {
      note(co_await t.start(client, "late" + std::to_string(i), plan, request, 300ms), Code::kDeadlineExceeded);
    }
    EXPECT_EQ(held, 2) << "the attack did not come near";
    for (int i = 0; i < 200 && held < 4; ++i) {
      auto executed = co_await t.begin_exec(client, "c1", exec_plan({"busybox", "sleep", "1000"}), 300ms);
      EXPECT_EQ(executed.error, executed.exec ? "" : "the launch was not over within 0 s and was ended");
      if (!executed.exec) ++held;
    }
    EXPECT_EQ(held, 4) << "the attack did not come near";
    for (int i = 0; i < 200 && held < 6; ++i) {
      // Whoever stops a container does not wait for its start, either.
      std::string id = "stopped" + std::to_string(i);
      t.loop_.spawn([](ShimTest& test, Client& c, std::string name) -> Task<> {
        co_await test.loop_.sleep_for(300ms);
        EXPECT_TRUE((co_await c.kill(name)).has_value());
      }(t, client, id));
      note(co_await t.start(client, id, plan, request), Code::kAborted);
    }
    EXPECT_EQ(held, 6) << "the attack did not come near";
    attacker.end();
    auto after = co_await t.run_container(client, ends, "after", t.shell_plan("exit 5"));
    EXPECT_EQ(after.code, 5);
  });
}

// The node that the test hands over stands for the host's /dev/null, which the test must not put at risk.
TEST_F(ShimTest, TheNullDeviceOfTheHostIsOutOfReach) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    EXPECT_TRUE(sys::mknodat(t.run_, "null", S_IFCHR | 0666, makedev(1, 3)));
    EXPECT_EQ(::chmod("/run/t/null", 0666), 0);
    (void)co_await t.start(client, "c1", t.shell_plan("busybox sleep 1000"));
    for (std::string fd : {"0", "1", "2"}) {
      std::string script =
          "exec 9>&" + fd + "; busybox chmod 0 /proc/self/fd/9; a=$?; busybox chown 7 /proc/self/fd/9; test $a$? = 11";
      Client::ExecFds fds;
      auto plan = exec_plan({"sh", "-c", script});
      auto& capabilities = plan.process.capabilities;
      capabilities.bounding = capabilities.effective = capabilities.permitted = bit(CAP_CHOWN);
      fds.plan = std::move(*make_plan_memfd(*runtime::encode_plan(plan, 1)));
      fds.cgroup = std::move(*sys::openat(test::cgroup_dir(), "c1", O_RDONLY | O_DIRECTORY));
      for (OwnFd* end : {&fds.in, &fds.out, &fds.err}) *end = std::move(*sys::openat(t.run_, "null", O_RDWR));
      auto exec = co_await client.exec("c1", false, std::move(fds));
      EXPECT_TRUE(exec.has_value()) << exec.error().message();
      if (!exec) co_return;
      auto status = co_await (*exec)->wait();
      EXPECT_EQ(status->code, 0) << "changed what is at " << fd;
    }
    auto as_user = exec_plan({"sh", "-c", "echo x > /proc/self/fd/0"});
    as_user.process.uid = as_user.process.gid = 1000;
    EXPECT_EQ((co_await t.execute(client, "c1", as_user)).code, 0);
    // Without an input a container has its own null device there, and changes no other one.
    auto ran = co_await t.run_container(client, ends, "c2", t.shell_plan("busybox chmod 0 /proc/self/fd/0"));
    EXPECT_EQ(ran.code, 0) << ran.err;
    auto next = co_await t.run_container(client, ends, "c3", t.shell_plan("busybox stat -L -c %a /proc/self/fd/0"));
    EXPECT_EQ(next.out, "666\n") << next.err;
    auto info = sys::fstatat(t.run_, "null", 0);
    EXPECT_EQ(info->st_mode & 07777, 0666U);
    EXPECT_EQ(info->st_uid, 0U);
  });
}

// Containers started into a PID namespace in which another one with CAP_SYS_PTRACE looks at all that there is.
Task<> start_under_a_tracer(ShimTest& t, Client& client, ShimTest::Ends& ends, StartRequest request) {
  auto plan = t.shell_plan("busybox sleep 1000");
  auto& capabilities = plan.process.capabilities;
  capabilities.bounding = capabilities.effective = capabilities.permitted = bit(kSysPtrace);
  plan.namespaces.new_pid = !request.join_pod_pid;
  auto started = co_await t.start(client, "c1", plan, request.join_pod_pid ? request : StartRequest());
  EXPECT_TRUE(started.has_value()) << started.error().message();
  Attack attack(started->pid);
  plan.namespaces.new_pid = false;
  plan.process.args = {"busybox", "true"};
  int worked = 0, tried = 0;
  for (; tried < 100 || (tried < 2000 && !attack.came_near(3)); ++tried) {
    plan.process.uid = plan.process.gid = tried % 2 == 0 ? 0 : 1000;
    auto ran = co_await t.run_container(client, ends, "s" + std::to_string(tried), plan, request);
    if (ran.code == 0) ++worked;
  }
  Loot loot = attack.end();
  EXPECT_GT(loot.processes, 3) << "the attack did not come near";
  EXPECT_GT(worked, tried / 5 * 4);
}

TEST_F(ShimTest, AContainerThatMayTraceSeesNothingOfAStartInItsPod) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    co_await t.make_pod_pid(client);
    StartRequest request;
    request.join_pod_pid = true;
    co_await start_under_a_tracer(t, client, ends, request);
  });
}

TEST_F(ShimTest, AContainerThatMayTraceSeesNothingOfItsDebuggersStart) {
  with_pod([](ShimTest& t, Client& client, Ends& ends) -> Task<> {
    StartRequest request;
    request.target_container = "c1";
    co_await start_under_a_tracer(t, client, ends, request);
  });
}

}  // namespace
}  // namespace gantry::shim
