// SPDX-License-Identifier: Apache-2.0
#include "tests/support/world.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "cgroups/hierarchy.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/pipe.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::test {
namespace {

const std::string kCgroupRoot = "/sys/fs/cgroup";
const std::string kCgroupPrefix = "/gantry-test-";

std::string g_cgroup_path;
OwnFd g_cgroup;
volatile pid_t g_first = 0;

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "node test: %s: %s (uid %d; node tests need root with CAP_SYS_ADMIN and cgroup v2 mounted)\n",
               what, std::strerror(errno), static_cast<int>(::geteuid()));
  std::exit(1);
}

void remove_cgroup(const std::string& path) {
  // Children first; everything in them is dead or dying by now, and the folder goes when the last one is reaped.
  auto dir = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!dir) return;
  (void)sys::write_file(*dir, "cgroup.kill", "1");
  if (auto names = sys::list_dir(*dir)) {
    for (const auto& name : *names) {
      auto info = sys::fstatat(*dir, name.c_str(), AT_SYMLINK_NOFOLLOW);
      if (info && S_ISDIR(info->st_mode)) remove_cgroup(path + "/" + name);
    }
  }
  ::rmdir(path.c_str());
}

// Whoever lives holds the lock of his folder: one that can be had was left by a runner that was killed.
void remove_left_cgroups() {
  auto root = sys::openat(sys::kCwd, kCgroupRoot.c_str(), O_RDONLY | O_DIRECTORY);
  auto names = root ? sys::list_dir(*root) : Result<std::vector<std::string>>(std::vector<std::string>());
  if (!names) return;
  for (const std::string& name : *names) {
    if (!("/" + name).starts_with(kCgroupPrefix)) continue;
    auto left = sys::openat(*root, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (left && sys::try_lock_exclusive(*left).value_or(false)) remove_cgroup(kCgroupRoot + "/" + name);
  }
}

void take_cgroup(const std::string& full) {
  remove_left_cgroups();
  // Another who begins at the same time may take it for a left one until its lock is held.
  for (struct stat named{}, held{}; named.st_ino == 0 || named.st_ino != held.st_ino;) {
    if (::mkdir(full.c_str(), 0755) < 0 && errno != EEXIST) give_up(full.c_str());
    auto dir = sys::openat(sys::kCwd, full.c_str(), O_RDONLY | O_DIRECTORY);
    if (!dir) continue;
    if (!sys::lock_exclusive(*dir) || ::fstat(dir->get(), &held) < 0) give_up(full.c_str());
    if (::stat(full.c_str(), &named) < 0) named = {};
    g_cgroup = std::move(*dir);
  }
}

void must_mount(const char* source, const char* target, const char* type, unsigned long flags) {
  if (::mount(source, target, type, flags, nullptr) < 0) give_up(target);
}

void enter(pid_t outside_pid) {
  must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  must_mount("tmpfs", "/run", "tmpfs", MS_NOSUID);
  must_mount("tmpfs", "/mnt", "tmpfs", MS_NOSUID);
  auto hierarchy = cgroups::detached_hierarchy();
  if (!hierarchy) give_up("cgroup v2");
  ::umount2("/sys/fs/cgroup", MNT_DETACH);
  auto place = sys::open_dir(sys::kCwd, "/sys/fs/cgroup");
  if (!place || !sys::attach(*hierarchy, *place)) give_up("/sys/fs/cgroup");
  g_cgroup_path = kCgroupPrefix + std::to_string(outside_pid);
  take_cgroup(kCgroupRoot + g_cgroup_path);
  if (!sys::raise_loopback()) give_up("set lo up");
}

// All that is in the world ends with its first process; what it leaves is put away by run_in_own_world().
void end_world(int) {
  int kept = errno;
  ::kill(g_first, SIGKILL);
  errno = kept;
}

}  // namespace

const std::string& cgroup_path() { return g_cgroup_path; }
FdRef cgroup_dir() { return g_cgroup; }

std::size_t count_open_fds() {
  auto dir = sys::open_dir(sys::kCwd, "/proc/self/fd");
  auto names = sys::list_dir(*dir);
  return names->size();
}

std::size_t count_mounts() {
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  std::size_t count = 0;
  while (std::getline(file, line)) ++count;
  return count;
}

int run_in_own_world(int (*body)()) {
  if (::unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0) give_up("unshare");
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) give_up("make mounts private");
  pid_t outside = ::getpid();
  pid_t first = ::fork();
  if (first == 0) {
    // Pid 1 of the new namespace: runs the body in a child and reaps what that orphans. If the runner is killed, all
    // goes.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    enter(outside);
    pid_t child = ::fork();
    if (child == 0) std::exit(body());
    int status = 0;
    while (::wait(&status) != child) {
    }
    std::_Exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
  g_first = first;
  for (int ending : {SIGTERM, SIGINT, SIGHUP}) ::signal(ending, end_world);
  int status = 0;
  while (::waitpid(first, &status, 0) < 0 && errno == EINTR) {
  }
  // The mounts that the child made are ours too: the folder is seen in the pure view.
  remove_cgroup(kCgroupRoot + kCgroupPrefix + std::to_string(outside));
  // At once: LeakSanitizer's look at exit does not work for a process whose children are in another PID namespace. The
  // child has had its own.
  std::_Exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

}  // namespace gantry::test
