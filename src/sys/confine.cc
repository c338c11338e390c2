// SPDX-License-Identifier: Apache-2.0
#include "sys/confine.h"

#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace gantry::sys {
namespace {

// A sanitizer's shadow alone is terabytes of addresses.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kCanLimitMemory = false;
#else
constexpr bool kCanLimitMemory = true;
#endif

std::unexpected<Error> failed(const char* what) { return std::unexpected(Error::from_errno(errno, what)); }

Result<MountFd> empty_root() {
  auto context = FsContext::open("tmpfs");
  if (!context) return std::unexpected(std::move(context.error()));
  if (auto made = context->create(); !made) return std::unexpected(std::move(made.error()));
  return context->mount(MountAttr::kReadOnly | MountAttr::kNoSuid | MountAttr::kNoDev | MountAttr::kNoExec);
}

// The new root is laid over "/", made the root, and the old one, which is then beneath it, let go with all its mounts.
Status take_root(FdRef folder) {
  auto step = mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  if (!step) return step;
  auto slash = open_dir(kCwd, "/");
  if (!slash) return std::unexpected(std::move(slash.error()));
  if (step = attach(folder, *slash); !step) return step;
  if (step = fchdir(folder); !step) return step;
  if (step = pivot_root(".", "."); !step) return step;
  if (step = sys::umount2(".", MNT_DETACH); !step) return step;
  if (::chdir("/") < 0) return failed("chdir /");
  return {};
}

Status enter_namespaces(FdRef folder) {
  auto entered = unshare(CloneFlag::kNewMount | CloneFlag::kNewNet | CloneFlag::kNewIpc | CloneFlag::kNewUts);
  if (!entered) return entered;
  if (folder.is_open()) return take_root(folder);
  auto empty = empty_root();
  if (!empty) return std::unexpected(std::move(empty.error()));
  return take_root(*empty);
}

Status become(unsigned user) {
  if (::setgroups(0, nullptr) < 0) return failed("setgroups");
  if (::setresgid(user, user, user) < 0) return failed("setresgid");
  if (::setresuid(user, user, user) < 0) return failed("setresuid");
  return {};
}

Status drop_capabilities(std::span<const int> kept, unsigned user) {
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; ++cap) {
    if (::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) return failed("prctl PR_CAPBSET_DROP");
  }
  if (user != 0) {
    if (auto step = become(user); !step) return step;
  }
  std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> caps(::cap_init(), ::cap_free);
  if (caps == nullptr) return failed("cap_init");
  if (!kept.empty()) {
    for (cap_flag_t set : {CAP_PERMITTED, CAP_EFFECTIVE}) {
      if (::cap_set_flag(caps.get(), set, static_cast<int>(kept.size()), kept.data(), CAP_SET) < 0)
        return failed("cap_set_flag");
    }
  }
  if (::cap_set_proc(caps.get()) < 0) return failed("capset");
  return prctl(PR_SET_NO_NEW_PRIVS, 1);
}

Status stay_private(bool dies_with_parent) {
  if (auto step = prctl(PR_SET_DUMPABLE, 0); !step) return step;
  return dies_with_parent ? prctl(PR_SET_PDEATHSIG, SIGKILL) : Status();
}

Status limit(__rlimit_resource_t resource, rlim_t value, const char* what) {
  rlimit both{};
  if (::getrlimit(resource, &both) < 0) return failed(what);
  both.rlim_cur = both.rlim_max = std::min(value, both.rlim_max);  // raising one would want CAP_SYS_RESOURCE
  if (::setrlimit(resource, &both) < 0) return failed(what);
  return {};
}

Status set_limits(const Confinement& confinement) {
  // A file that grows beyond its limit shall be an error of write, not the end of the process.
  ::signal(SIGXFSZ, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  auto step = limit(RLIMIT_FSIZE, confinement.file_bytes, "setrlimit FSIZE");
  if (!step) return step;
  if (step = limit(RLIMIT_CORE, 0, "setrlimit CORE"); !step) return step;
  if (step = limit(RLIMIT_NPROC, 0, "setrlimit NPROC"); !step) return step;
  if (confinement.cpu_seconds != 0) {
    if (step = limit(RLIMIT_CPU, confinement.cpu_seconds, "setrlimit CPU"); !step) return step;
  }
  if (step = limit(RLIMIT_NOFILE, confinement.open_files, "setrlimit NOFILE"); !step) return step;
  if (kCanLimitMemory && confinement.memory_bytes != 0)
    return limit(RLIMIT_AS, confinement.memory_bytes, "setrlimit AS");
  return {};
}

constexpr int kAnyProgram[] = {SCMP_SYS(read),
                               SCMP_SYS(write),
                               SCMP_SYS(close),
                               SCMP_SYS(lseek),
                               SCMP_SYS(fstat),
                               SCMP_SYS(newfstatat),
                               SCMP_SYS(fcntl),
                               SCMP_SYS(munmap),
                               SCMP_SYS(mremap),
                               SCMP_SYS(brk),
                               SCMP_SYS(madvise),
                               SCMP_SYS(futex),
                               SCMP_SYS(rt_sigreturn),
                               SCMP_SYS(rt_sigprocmask),
                               SCMP_SYS(restart_syscall),
                               SCMP_SYS(clock_gettime),
                               SCMP_SYS(gettimeofday),
                               SCMP_SYS(getrandom),
                               SCMP_SYS(getpid),
                               SCMP_SYS(gettid),
                               SCMP_SYS(sched_yield),
                               SCMP_SYS(exit),
                               SCMP_SYS(exit_group)};

Status filter_calls(std::span<const int> more) {
  std::unique_ptr<void, void (*)(void*)> filter(::seccomp_init(SCMP_ACT_KILL_PROCESS), ::seccomp_release);
  if (filter == nullptr) return fail(Code::kInternal, "seccomp_init failed");
  int error = 0;
  for (std::span<const int> calls : {std::span<const int>(kAnyProgram), more}) {
    for (int call : calls) {
      if (error == 0) error = ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
    }
  }
  for (int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {
    if (error == 0) {
      error = ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
  }
  if (error == 0) error = ::seccomp_load(filter.get());
  if (error != 0) return std::unexpected(Error::from_errno(-error, "load the seccomp filter"));
  return {};
}

}  // namespace

Status confine(const Confinement& confinement) {
  auto step = stay_private(confinement.dies_with_parent);
  if (!step) return step;
  if (step = close_range(static_cast<unsigned>(confinement.last_fd) + 1, false); !step) return step;
  if (step = enter_namespaces(confinement.folder); !step) return step;
  if (step = drop_capabilities(confinement.capabilities, confinement.user); !step) return step;
  // A change of the user has undone it.
  if (step = stay_private(confinement.dies_with_parent); !step) return step;
  if (step = set_limits(confinement); !step) return step;
  return filter_calls(confinement.calls);
}

}  // namespace gantry::sys
