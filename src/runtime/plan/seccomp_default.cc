// SPDX-License-Identifier: Apache-2.0
// The default profile as data: what docker's and containerd's default profiles of 2026 allow, ordered by what the calls
// are for. What is not named here gives EPERM. Not here on purpose: io_uring, userfaultfd, keyrings (not namespaced),
// new namespaces, mounts, modules, kexec, swap, clocks, ptrace of the kernel's kind (perf, bpf) without their
// capability.
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "runtime/plan/seccomp_profile.h"
#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

constexpr std::string_view kAlways[] = {
    // Files and folders.
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat "
    "faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat "
    "fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 "
    "futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 mkdir "
    "mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 "
    "pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile "
    "sendfile64 splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee "
    "truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev "
    "cachestat listmount statmount",
    // Extended attributes.
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr "
    "lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat",
    // Waiting for files and events.
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
    "epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit "
    "pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4",
    // Memory.
    "brk get_thread_area madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 "
    "mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free "
    "pkey_mprotect process_mrelease remap_file_pages set_thread_area",
    // Processes, threads and their ids. clone and clone3 have rules of their own.
    "capget capset execve execveat exit exit_group fork get_robust_list getcpu getegid getegid32 geteuid "
    "geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getresgid getresgid32 "
    "getresuid getresuid32 getsid gettid getuid getuid32 pidfd_open pidfd_send_signal prctl rseq "
    "set_robust_list set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups "
    "setgroups32 setpgid setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 "
    "setsid setuid setuid32 uretprobe vfork wait4 waitid waitpid riscv_hwprobe",
    // Tracing one's own processes: the kernel checks them after seccomp since 4.8.
    "process_vm_readv process_vm_writev ptrace",
    // Signals.
    "kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn "
    "tgkill tkill",
    // Futexes.
    "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake",
    // Scheduling and limits.
    "getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam "
    "sched_setscheduler sched_yield setpriority setrlimit ugetrlimit",
    // Time. Setting it needs CAP_SYS_TIME in the kernel; adjtimex also reads.
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time "
    "timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 "
    "timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times",
    // Sockets. socket has a rule of its own. socketcall (32-bit programs) hides the family behind a pointer that no
    // filter
    // can follow. Without it such programs have no network at all, so it stays, as it does upstream; keeping families
    // from
    // them is a security module's matter.
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
    "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair",
    // System V and POSIX IPC.
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
    "mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 "
    "shmat shmctl shmdt shmget",
    // Restricting oneself.
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
    // The rest.
    "getrandom sysinfo uname",
#if defined(__x86_64__)
    "arch_prctl modify_ldt",
#elif defined(__aarch64__)
    "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
#endif
};

struct WithCapability {
  int capability;
  std::string_view names;
};
constexpr WithCapability kWithCapability[] = {
    {CAP_DAC_READ_SEARCH, "open_by_handle_at"},
    {CAP_SYS_ADMIN,
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
     "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
     "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"},
    {CAP_SYS_BOOT, "reboot"},
    {CAP_SYS_CHROOT, "chroot"},
    {CAP_SYS_MODULE, "delete_module finit_module init_module"},
    {CAP_SYS_PACCT, "acct"},
    {CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise"},
    {CAP_SYS_RAWIO, "ioperm iopl"},
    {CAP_SYS_TIME, "clock_settime clock_settime64 settimeofday stime"},
    {CAP_SYS_TTY_CONFIG, "vhangup"},
    {CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {CAP_SYSLOG, "syslog"},
    {CAP_BPF, "bpf"},
    {CAP_PERFMON, "perf_event_open"},
};

// personality(2): PER_LINUX, PER_LINUX32, each also with UNAME26, and the question which one it is.
constexpr std::uint64_t kPersonalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};

// Families of sockets that are kept away: old and unaudited ones (12 to 37: DECnet, Econet, ATM, IrDA, WANPIPE, ISDN,
// CAIF), ALG (a way into the page cache: CVE-2026-31431) and VSOCK (reaches the host past any network namespace), and
// all after MCTP.
constexpr std::uint64_t kDeniedFamilies[] = {AF_DECnet, AF_ECONET, AF_ATMSVC, AF_IRDA, AF_WANPIPE,
                                             AF_ISDN,   AF_CAIF,   AF_ALG,    AF_VSOCK};
constexpr std::uint64_t kLastFamily = 45;  // AF_MCTP

// The flags of clone(2) that make a namespace.
constexpr std::uint64_t kNamespaceFlags =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

void allow_all(SeccompProfile& profile, std::string_view names) {
  while (!names.empty()) profile.rules.push_back({std::string(take_until(names, ' ')), SCMP_ACT_ALLOW, {}});
}

void allow_if(SeccompProfile& profile, const char* name, scmp_arg_cmp condition) {
  profile.rules.push_back({name, SCMP_ACT_ALLOW, {condition}});
}
void deny_if(SeccompProfile& profile, const char* name, scmp_arg_cmp condition) {
  profile.rules.push_back({name, SCMP_ACT_ERRNO(EPERM), {condition}});
}

void add_sockets(SeccompProfile& profile, SeccompForm form) {
  if (form == SeccompForm::kAllowList) {
    for (std::uint64_t family = 0; family <= kLastFamily; ++family) {
      if (std::ranges::find(kDeniedFamilies, family) == std::end(kDeniedFamilies))
        allow_if(profile, "socket", SCMP_A0(SCMP_CMP_EQ, family));
    }
    return;
  }
  // The kernel takes an int. What is above the last family is denied first, so nothing hides in the upper half.
  deny_if(profile, "socket", SCMP_A0(SCMP_CMP_GT, kLastFamily));
  for (std::uint64_t family : kDeniedFamilies) deny_if(profile, "socket", SCMP_A0(SCMP_CMP_EQ, family));
  allow_all(profile, "socket");
}

}  // namespace

SeccompProfile default_seccomp_profile(CapabilitySet bounding, SeccompForm form) {
  SeccompProfile profile;
  profile.default_action = SCMP_ACT_ERRNO(EPERM);
  profile.architectures = compatible_architectures();
  // Speculation is left as the kernel has it: its mitigation for filtered processes costs every container dearly.
  profile.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  for (std::string_view names : kAlways) allow_all(profile, names);
  for (const auto& [capability, names] : kWithCapability) {
    if ((bounding & capability_bit(capability)) != 0) allow_all(profile, names);
  }
  for (std::uint64_t value : kPersonalities) allow_if(profile, "personality", SCMP_A0(SCMP_CMP_EQ, value));
  add_sockets(profile, form);
  if ((bounding & capability_bit(CAP_SYS_ADMIN)) == 0) {
    allow_if(profile, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, kNamespaceFlags, 0));
    // Its flags lie behind a pointer. Told that it is not there, libc takes clone.
    profile.rules.push_back({"clone3", SCMP_ACT_ERRNO(ENOSYS), {}});
  }
  return profile;
}

}  // namespace gantry::runtime
