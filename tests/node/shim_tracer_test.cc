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

// Looks at every process that appears in the container, as fast as it can, until the pipe is closed: its descriptors,
// its capabilities, its program. Anything that is not the container's own is written down.
int look_into_all(int channel) {
  auto note = [](Loot& loot, const char* what, const std::string& value) {
    if (loot.worst[0] == '\0') std::snprintf(loot.worst, sizeof(loot.worst), "%s: %s", what, value.c_str());
  };
  Loot loot;
  ::fcntl(channel, F_SETFL, O_NONBLOCK);
  (void)!::write(channel, "r", 1);
  std::set<long> known;
  for (;;) {
    char byte;
    if (::read(channel, &byte, 1) == 1) break;
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

// look_into_all() in a container, with CAP_SYS_PTRACE, from when it looks until end(), which expects that it saw
// nothing.
class Attack {
 public:
  explicit Attack(pid_t container) {
    int channel[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
    attacker_ = enter_container(container, bit(kSysPtrace), look_into_all, channel[1]);
    ::close(channel[1]);
    channel_ = OwnFd(channel[0]);
    char byte;
    EXPECT_EQ(::read(channel_.get(), &byte, 1), 1);
  }
  Loot end() {
    Loot loot;
    EXPECT_EQ(::write(channel_.get(), "e", 1), 1);
    EXPECT_EQ(::read(channel_.get(), &loot, sizeof(loot)), static_cast<ssize_t>(sizeof(loot)));
    channel_.close();
    EXPECT_EQ(finish(attacker_), 0);
    EXPECT_STREQ(loot.worst, "");
    return loot;
  }

 private:
  OwnFd channel_;
  pid_t attacker_ = -1;
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
    int worked = 0;
    for (int i = 0; i < 300; ++i) {
      auto executed = co_await t.execute(client, "c1", i % 2 == 0 ? exec : as_user);
      if (executed.code == 0) ++worked;
    }
    Loot loot = attack.end();
    EXPECT_GT(loot.processes, 5) << "the attack did not come near";
    EXPECT_GT(worked, 250);
    RecordProperty("attached", loot.attached);
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
    auto ran = co_await t.run_container(client, ends, "c2", t.shell_plan("busybox chmod 0 /proc/self/fd/0"));
    EXPECT_NE(ran.err.find("Read-only file system"), std::string::npos) << ran.err;
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
  int worked = 0;
  for (int i = 0; i < 100; ++i) {
    plan.process.uid = plan.process.gid = i % 2 == 0 ? 0 : 1000;
    auto ran = co_await t.run_container(client, ends, "s" + std::to_string(i), plan, request);
    if (ran.code == 0) ++worked;
  }
  Loot loot = attack.end();
  EXPECT_GT(loot.processes, 3) << "the attack did not come near";
  EXPECT_GT(worked, 80);
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
