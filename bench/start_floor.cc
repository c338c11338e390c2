// SPDX-License-Identifier: Apache-2.0
#include "bench/start_floor.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

namespace gantry::bench {
namespace {

std::int64_t now() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

void must(int result) {
  if (result < 0) _exit(99);
}

[[noreturn]] void child(const char* rootfs) {
  must(::unshare(CLONE_NEWCGROUP));
  must(::mount(rootfs, rootfs, nullptr, MS_BIND | MS_REC, nullptr));
  must(::chdir(rootfs));
  must(::mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr));
  must(::mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
  must(::mkdir("dev/pts", 0755));
  must(::mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
  must(::mkdir("dev/shm", 0755));
  must(::mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"));
  must(::mkdir("dev/mqueue", 0755));
  must(::mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr));
  must(::mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, nullptr));
  must(::mount("cgroup", "sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, nullptr));
  struct Device {
    const char* path;
    unsigned major, minor;
  };
  for (Device d : {Device{"dev/null", 1, 3},
                   {"dev/zero", 1, 5},
                   {"dev/full", 1, 7},
                   {"dev/random", 1, 8},
                   {"dev/urandom", 1, 9},
                   {"dev/tty", 5, 0}}) {
    must(::mknod(d.path, S_IFCHR | 0666, makedev(d.major, d.minor)));
  }
  must(::symlink("/proc/self/fd", "dev/fd"));
  must(::symlink("/proc/self/fd/0", "dev/stdin"));
  must(::symlink("/proc/self/fd/1", "dev/stdout"));
  must(::symlink("/proc/self/fd/2", "dev/stderr"));
  must(::symlink("pts/ptmx", "dev/ptmx"));
  for (const char* masked : {"proc/kcore", "proc/keys", "proc/timer_list", "proc/sched_debug", "proc/acpi", "proc/scsi",
                             "sys/firmware", "proc/asound", "proc/latency_stats", "proc/timer_stats"}) {
    struct stat info;
    if (::stat(masked, &info) < 0) continue;
    if (S_ISDIR(info.st_mode)) {
      must(::mount("tmpfs", masked, "tmpfs", MS_RDONLY, "size=0k"));
    } else {
      must(::mount("dev/null", masked, nullptr, MS_BIND, nullptr));
    }
  }
  for (const char* path : {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"}) {
    struct stat info;
    if (::stat(path, &info) < 0) continue;
    must(::mount(path, path, nullptr, MS_BIND | MS_REC, nullptr));
    must(::mount(nullptr, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr));
  }
  must(static_cast<int>(::syscall(SYS_pivot_root, ".", ".")));
  must(::umount2(".", MNT_DETACH));
  must(::chdir("/"));
  char program[] = "/bin/true";
  char* argv[] = {program, nullptr};
  char* envp[] = {nullptr};
  ::execve(program, argv, envp);
  _exit(98);
}

}  // namespace

std::vector<std::int64_t> measure_floor(const char* rootfs, int cgroup_fd, int runs) {
  std::vector<std::int64_t> times;
  for (int i = 0; i < runs; ++i) {
    int executed[2];
    if (::pipe2(executed, O_CLOEXEC) < 0) return {};
    std::int64_t before = now();
    clone_args args{};
    args.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<std::uint64_t>(cgroup_fd);
    long pid = ::syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) child(rootfs);
    ::close(executed[1]);
    char byte;
    ssize_t end = ::read(executed[0], &byte, 1);
    times.push_back(now() - before);
    ::close(executed[0]);
    int status = 0;
    ::waitpid(static_cast<pid_t>(pid), &status, 0);
    if (end != 0 || status != 0) return {};
  }
  return times;
}

}  // namespace gantry::bench
