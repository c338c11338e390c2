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
#include <unistd.h>

#include <cstring>

namespace gantry::bench {
namespace {

void done(int result) {
  if (result < 0) _exit(99);
}

[[noreturn]] void child(const char* rootfs) {
  done(::unshare(CLONE_NEWCGROUP));
  done(::mount(rootfs, rootfs, nullptr, MS_BIND | MS_REC, nullptr));
  done(::chdir(rootfs));
  done(::mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr));
  done(::mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
  done(::mkdir("dev/pts", 0755));
  done(::mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
  done(::mkdir("dev/shm", 0755));
  done(::mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"));
  done(::mkdir("dev/mqueue", 0755));
  done(::mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr));
  done(::mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, nullptr));
  done(::mount("cgroup", "sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, nullptr));
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
    done(::mknod(d.path, S_IFCHR | 0666, makedev(d.major, d.minor)));
  }
  done(::symlink("/proc/self/fd", "dev/fd"));
  done(::symlink("/proc/self/fd/0", "dev/stdin"));
  done(::symlink("/proc/self/fd/1", "dev/stdout"));
  done(::symlink("/proc/self/fd/2", "dev/stderr"));
  done(::symlink("pts/ptmx", "dev/ptmx"));
  for (const char* masked : {"proc/kcore", "proc/keys", "proc/timer_list", "proc/sched_debug", "proc/acpi", "proc/scsi",
                             "sys/firmware", "proc/asound", "proc/latency_stats", "proc/timer_stats"}) {
    struct stat info;
    if (::stat(masked, &info) < 0) continue;
    if (S_ISDIR(info.st_mode)) {
      done(::mount("tmpfs", masked, "tmpfs", MS_RDONLY, "size=0k"));
    } else {
      done(::mount("dev/null", masked, nullptr, MS_BIND, nullptr));
    }
  }
  for (const char* path : {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"}) {
    struct stat info;
    if (::stat(path, &info) < 0) continue;
    done(::mount(path, path, nullptr, MS_BIND | MS_REC, nullptr));
    done(::mount(nullptr, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr));
  }
  done(static_cast<int>(::syscall(SYS_pivot_root, ".", ".")));
  done(::umount2(".", MNT_DETACH));
  done(::chdir("/"));
  char program[] = "/bin/true";
  char* argv[] = {program, nullptr};
  char* envp[] = {nullptr};
  ::execve(program, argv, envp);
  _exit(98);
}

}  // namespace

Times measure_floor(const char* rootfs, int cgroup_fd, Floor floor, int runs) {
  Times times;
  for (int i = 0; i < runs; ++i) {
    int executed[2];
    if (::pipe2(executed, O_CLOEXEC) < 0) return {};
    std::int64_t before = now();
    clone_args args{};
    args.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_INTO_CGROUP;
    if (floor.has_own_namespaces) args.flags |= CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<std::uint64_t>(cgroup_fd);
    long pid = ::syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) child(rootfs);
    ::close(executed[1]);
    char byte;
    ssize_t end = ::read(executed[0], &byte, 1);
    if (!floor.until_end) times.push_back(now() - before);
    int status = 0;
    ::waitpid(static_cast<pid_t>(pid), &status, 0);
    if (floor.until_end) times.push_back(now() - before);
    ::close(executed[0]);
    if (end != 0 || status != 0) return {};
  }
  return times;
}

}  // namespace gantry::bench
