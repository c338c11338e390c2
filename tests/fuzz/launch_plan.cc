// SPDX-License-Identifier: Apache-2.0
// A plan's flat form, as the launcher reads it while it carries the plan out. It does so here on a thread whose system
// calls are answered by this program: they succeed and do nothing. An input that is a config.json is taken as the plan
// that is made of it, so that the corpus does not go out of date with the form.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

#include "runtime/launch/steps.h"
#include "runtime/oci/oci_plan.h"
#include "runtime/plan/seccomp.h"
#include "tests/fuzz/fuzz.h"

namespace runtime = gantry::runtime;
using gantry::fuzz::expect;

// In place of libc's, which have all threads of a program do the same: the others really would.
extern "C" {
int setgroups(std::size_t count, const gid_t* groups) noexcept {
  return static_cast<int>(::syscall(SYS_setgroups, count, groups));
}
int setresgid(gid_t real, gid_t effective, gid_t saved) noexcept {
  return static_cast<int>(::syscall(SYS_setresgid, real, effective, saved));
}
int setresuid(uid_t real, uid_t effective, uid_t saved) noexcept {
  return static_cast<int>(::syscall(SYS_setresuid, real, effective, saved));
}
}

namespace {

// What a thread and its sanitizers need; a write only to where they complain.
constexpr int kReal[] = {SYS_mmap,          SYS_munmap,      SYS_mprotect, SYS_mremap,         SYS_brk,
                         SYS_madvise,       SYS_futex,       SYS_exit,     SYS_rt_sigaction,   SYS_rt_sigprocmask,
                         SYS_rt_sigreturn,  SYS_sigaltstack, SYS_gettid,   SYS_getpid,         SYS_sched_yield,
                         SYS_clock_gettime, SYS_tgkill,      SYS_rseq,     SYS_set_robust_list};

template <typename T>
T* argument(const ucontext_t& context, int which) {
  return reinterpret_cast<T*>(context.uc_mcontext.gregs[which]);
}

// Every call succeeds: every descriptor is 0, every file is empty and of a procfs, every process the second one.
void answer(int, siginfo_t* info, void* at) {
  ucontext_t& context = *static_cast<ucontext_t*>(at);
  switch (info->si_syscall) {
    case SYS_fstat:
      std::memset(argument<struct stat>(context, REG_RSI), 0, sizeof(struct stat));
      break;
    case SYS_newfstatat:
      std::memset(argument<struct stat>(context, REG_RDX), 0, sizeof(struct stat));
      break;
    case SYS_statx: {
      auto* answer = argument<struct statx>(context, REG_R8);
      std::memset(answer, 0, sizeof(struct statx));
      answer->stx_mask = ~0U;
      break;
    }
    case SYS_fstatfs: {
      auto* answer = argument<struct statfs>(context, REG_RSI);
      std::memset(answer, 0, sizeof(struct statfs));
      answer->f_type = PROC_SUPER_MAGIC;
      break;
    }
    case SYS_read:  // whoever holds it lets it go on; files are empty
      context.uc_mcontext.gregs[REG_RAX] = context.uc_mcontext.gregs[REG_RDX] == 1 ? 1 : 0;
      return;
    case SYS_write:
      context.uc_mcontext.gregs[REG_RAX] = context.uc_mcontext.gregs[REG_RDX];
      return;
    default:
      break;
  }
  context.uc_mcontext.gregs[REG_RAX] = 0;
}

void take_calls() {
  std::vector<sock_filter> code = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (int call : kReal) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3));
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STDERR_FILENO, 0, 1));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
  sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  expect(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  expect(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "the filter is loaded");
}

std::vector<char> plan_of(const std::uint8_t* bytes, std::size_t size) {
  if (size != 0 && bytes[0] == '{') {
    runtime::SeccompCache seccomp(0);
    auto config = runtime::oci::parse_config(gantry::fuzz::text_of(bytes, size));
    auto planned = config ? runtime::oci::plan_config(*config, runtime::HostFacts(), seccomp)
                          : gantry::Result<runtime::oci::PlannedContainer>(std::unexpected(config.error()));
    auto plan = planned ? runtime::encode_plan(planned->plan, planned->sources.size())
                        : gantry::Result<std::string>(std::unexpected(planned.error()));
    if (plan) return {plan->begin(), plan->end()};
  }
  return {bytes, bytes + size};
}

}  // namespace

#ifdef GANTRY_FUZZER
// A thread without system calls can't write down what broke it, nor end the program: scripts/fuzz does, after a while.
void keep(const std::vector<char>& plan) {
  static int file = ::open("build/fuzz/found/launch_plan-last", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (::ftruncate(file, 0) == 0) (void)!::pwrite(file, plan.data(), plan.size(), 0);
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* bytes, std::size_t size, std::size_t most);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t size, std::size_t most, unsigned) {
  std::vector<char> plan = plan_of(bytes, size);
  if (plan.size() > most) return LLVMFuzzerMutate(bytes, size, most);
  std::memcpy(bytes, plan.data(), plan.size());
  return LLVMFuzzerMutate(bytes, plan.size(), most);
}
#else
void keep(const std::vector<char>&) {}
#endif

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static void* notes = [] {
    struct sigaction action{};
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO;
    expect(::sigaction(SIGSYS, &action, nullptr) == 0, "sigaction");
    return ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  }();
  // Of its own, so that a read behind it is seen; aligned, as a mapping is.
  std::vector<char> plan = plan_of(bytes, size);
  keep(plan);
  if (auto needs = runtime::clone_needs(plan); !needs) gantry::fuzz::expect_sentence(needs.error());
  std::jthread([&] {
    take_calls();
    runtime::LaunchRequest request{.plan = plan, .notes = static_cast<runtime::LaunchNotes*>(notes)};
    runtime::Launch launch(request);
    (void)launch.run();
  }).join();
  return 0;
}
