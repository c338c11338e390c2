// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/seccomp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/plan/seccomp_profile.h"
#include "runtime/plan/seccomp_run_for_test.h"

namespace gantry::runtime {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;

SeccompPlan default_for(CapabilitySet bounding) {
  SeccompCache cache;
  auto plan = cache.runtime_default(bounding);
  EXPECT_TRUE(plan) << plan.error().message();
  return plan ? *plan : SeccompPlan();
}

Result<SeccompPlan> from_json(std::string_view json, CapabilitySet bounding = kDefaultCapabilities) {
  SeccompCache cache;
  return cache.profile(json, "/test.json", bounding);
}

// A typo in the table would be a call that is silently denied.
TEST(SeccompDefault, EveryNameIsKnown) {
  for (const SeccompRule& rule : default_seccomp_profile(~CapabilitySet{0}).rules) {
    if (seccomp_syscall_resolve_name(rule.name.c_str()) != __NR_SCMP_ERROR) continue;
    auto alone = compile_seccomp({.default_action = SCMP_ACT_ERRNO(EPERM), .rules = {rule}});
    auto nothing = compile_seccomp({.default_action = SCMP_ACT_ERRNO(EPERM)});
    ASSERT_TRUE(alone && nothing);
    bool newer_than_libseccomp = rule.name == "uretprobe" || rule.name == "riscv_hwprobe";
    EXPECT_TRUE(alone->program != nothing->program || newer_than_libseccomp) << rule.name;
  }
}

#if defined(__x86_64__)
TEST(SeccompDefault, WhatIsAllowed) {
  SeccompPlan plan = default_for(kDefaultCapabilities);
  for (int number :
       {SYS_read,       SYS_write,  SYS_openat,     SYS_execve,      SYS_futex,      SYS_mmap,       SYS_rt_sigreturn,
        SYS_exit_group, SYS_ptrace, SYS_arch_prctl, SYS_chroot,      SYS_mknodat,    SYS_setuid,     SYS_capset,
        SYS_seccomp,    SYS_prctl,  SYS_openat2,    SYS_futex_waitv, SYS_faccessat2, SYS_socketpair, SYS_ioctl}) {
    EXPECT_EQ(call(plan, number), kAllow) << number;
  }
  for (int number : {SYS_mount,
                     SYS_umount2,
                     SYS_unshare,
                     SYS_setns,
                     SYS_reboot,
                     SYS_init_module,
                     SYS_bpf,
                     SYS_perf_event_open,
                     SYS_keyctl,
                     SYS_add_key,
                     SYS_request_key,
                     SYS_userfaultfd,
                     SYS_kexec_load,
                     SYS_swapon,
                     SYS_settimeofday,
                     SYS_io_uring_setup,
                     SYS_open_by_handle_at,
                     SYS_fsopen,
                     SYS_move_mount,
                     SYS_mount_setattr,
                     SYS_pivot_root,
                     SYS_syslog,
                     SYS_process_madvise,
                     SYS_iopl,
                     SYS_vhangup,
                     SYS_mbind,
                     SYS_sethostname,
                     SYS_nfsservctl}) {
    EXPECT_EQ(call(plan, number), kEperm) << number;
  }
}

TEST(SeccompDefault, Arguments) {
  SeccompPlan plan = default_for(kDefaultCapabilities);
  for (std::uint64_t personality : {0x0UL, 0x8UL, 0x20000UL, 0x20008UL, 0xffffffffUL}) {
    EXPECT_EQ(call(plan, SYS_personality, personality), kAllow) << personality;
  }
  for (std::uint64_t personality : {0x0040000UL, 0x1UL, 0x100000000UL}) {
    EXPECT_EQ(call(plan, SYS_personality, personality), kEperm) << personality;
  }
  for (std::uint64_t family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_BLUETOOTH, AF_CAN, AF_NFC}) {
    EXPECT_EQ(call(plan, SYS_socket, family), kAllow) << family;
  }
  // The kernel reads an int: what hides behind the upper half must not pass either.
  for (std::uint64_t family : {std::uint64_t{AF_VSOCK}, std::uint64_t{AF_ALG}, 12UL, 37UL, 0x100000000UL | AF_ALG,
                               0x100000000UL | AF_INET, 1000UL}) {
    EXPECT_EQ(call(plan, SYS_socket, family), kEperm) << family;
  }
  EXPECT_EQ(call(plan, SYS_clone, CLONE_VM | CLONE_FS | CLONE_THREAD | CLONE_SIGHAND), kAllow);
  EXPECT_EQ(call(plan, SYS_clone, SIGCHLD), kAllow);
  for (std::uint64_t flag :
       {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP}) {
    EXPECT_EQ(call(plan, SYS_clone, flag | SIGCHLD), kEperm) << flag;
  }
  EXPECT_EQ(call(plan, SYS_clone3), kEnosys);
}

TEST(SeccompDefault, Capabilities) {
  SeccompPlan without = default_for(0);
  struct Row {
    int capability;
    std::vector<int> calls;
  };
  for (const auto& [capability, calls] :
       {Row{CAP_SYS_ADMIN,
            {SYS_mount, SYS_unshare, SYS_setns, SYS_clone3, SYS_fsopen, SYS_bpf, SYS_sethostname, SYS_syslog}},
        Row{CAP_SYS_BOOT, {SYS_reboot}}, Row{CAP_SYS_MODULE, {SYS_init_module, SYS_finit_module}},
        Row{CAP_SYS_TIME, {SYS_clock_settime}}, Row{CAP_BPF, {SYS_bpf}}, Row{CAP_PERFMON, {SYS_perf_event_open}},
        Row{CAP_DAC_READ_SEARCH, {SYS_open_by_handle_at}}, Row{CAP_SYS_NICE, {SYS_mbind, SYS_set_mempolicy_home_node}},
        Row{CAP_SYSLOG, {SYS_syslog}}, Row{CAP_SYS_PTRACE, {SYS_kcmp, SYS_pidfd_getfd}}, Row{CAP_SYS_RAWIO, {SYS_iopl}},
        Row{CAP_SYS_PACCT, {SYS_acct}}, Row{CAP_SYS_TTY_CONFIG, {SYS_vhangup}}}) {
    SeccompPlan with = default_for(capability_bit(capability));
    for (int number : calls) {
      EXPECT_NE(call(without, number), kAllow) << capability_name(capability) << " " << number;
      EXPECT_EQ(call(with, number), kAllow) << capability_name(capability) << " " << number;
    }
  }
  SeccompPlan admin = default_for(capability_bit(CAP_SYS_ADMIN));
  EXPECT_EQ(call(admin, SYS_clone, CLONE_NEWUSER), kAllow);
  EXPECT_EQ(call(default_for(0), SYS_chroot), kEperm);
}

// Calls that this libseccomp does not know by name, and those that nobody knows.
TEST(SeccompDefault, NewCalls) {
  SeccompPlan plan = default_for(kDefaultCapabilities);
  for (int number : {451, 452, 453, 454, 455, 456, 457, 458, 462, 463, 464, 465, 466}) {
    EXPECT_EQ(call(plan, number), kAllow) << number;
    EXPECT_EQ(call(plan, number, 0, 0, AUDIT_ARCH_I386), kAllow) << number;
    if (number != 453) EXPECT_EQ(call(plan, 0x40000000 | number), kAllow) << number;  // shadow stacks are not x32's
  }
  EXPECT_EQ(call(plan, 459), kEperm);  // lsm_get_self_attr, of CAP_SYS_ADMIN
  EXPECT_EQ(call(default_for(capability_bit(CAP_SYS_ADMIN)), 459), kAllow);
  for (int number : {467, 500, 1000, 0x3fffffff}) {
    EXPECT_EQ(call(plan, number), kEnosys) << number;
    EXPECT_EQ(call(plan, number, 0, 0, AUDIT_ARCH_I386), kEnosys) << number;
  }
  EXPECT_EQ(call(plan, -1), kEnosys);
}

TEST(SeccompDefault, OtherArchitectures) {
  SeccompPlan plan = default_for(kDefaultCapabilities);
  constexpr int kI386Read = 3, kI386Mount = 21, kI386Socket = 359, kI386Chown32 = 212, kI386Clone = 120,
                kI386Clone3 = 435;
  EXPECT_EQ(call(plan, kI386Read, 0, 0, AUDIT_ARCH_I386), kAllow);
  EXPECT_EQ(call(plan, kI386Chown32, 0, 0, AUDIT_ARCH_I386), kAllow);
  EXPECT_EQ(call(plan, kI386Mount, 0, 0, AUDIT_ARCH_I386), kEperm);
  EXPECT_EQ(call(plan, kI386Socket, AF_INET, 0, AUDIT_ARCH_I386), kAllow);
  EXPECT_EQ(call(plan, kI386Socket, AF_ALG, 0, AUDIT_ARCH_I386), kEperm);
  EXPECT_EQ(call(plan, kI386Clone, CLONE_NEWUSER, 0, AUDIT_ARCH_I386), kEperm);
  EXPECT_EQ(call(plan, kI386Clone3, 0, 0, AUDIT_ARCH_I386), kEnosys);
  constexpr int kX32 = 0x40000000;
  EXPECT_EQ(call(plan, kX32 | SYS_read), kAllow);
  EXPECT_EQ(call(plan, kX32 | SYS_mount), kEperm);
  EXPECT_EQ(call(plan, kX32 | 520), kAllow);  // execve of x32 alone
  // Anything else is ended.
  for (std::uint32_t arch : {AUDIT_ARCH_AARCH64 + 0U, AUDIT_ARCH_ARM + 0U, 0U}) {
    EXPECT_EQ(call(plan, SYS_read, 0, 0, arch), SECCOMP_RET_KILL_PROCESS) << arch;
  }
}

TEST(SeccompProfile, CriForm) {
  // No architectures, no errno: what critest sends.
  auto plan = from_json(R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
      {"names":["chmod","fchmodat","fchmodat2"],"action":"SCMP_ACT_ERRNO"},{"name":"sethostname","action":"SCMP_ACT_ERRNO","errnoRet":13}]})");
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(call(*plan, SYS_chmod), kEperm);
  EXPECT_EQ(call(*plan, SYS_fchmodat), kEperm);
  EXPECT_EQ(call(*plan, 452), kEperm);  // newer than libseccomp, and denied all the same
  EXPECT_EQ(call(*plan, SYS_sethostname), SECCOMP_RET_ERRNO | EACCES);
  EXPECT_EQ(call(*plan, SYS_mount), kAllow);
  EXPECT_EQ(call(*plan, 5000), kAllow);  // the kernel's own ENOSYS is as good
  EXPECT_EQ(call(*plan, SYS_read, 0, 0, AUDIT_ARCH_I386), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(call(*plan, 0x40000000 | SYS_read), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(plan->flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
}

TEST(SeccompProfile, DockerForm) {
  constexpr std::string_view kProfile = R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,
    "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
               {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],
    "syscalls":[{"names":["read","no_such_call","prctl"],"action":"SCMP_ACT_ALLOW","args":null},
      {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
      {"names":["reboot"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"]}},
      {"names":["getpid"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64","x32"]}},
      {"names":["getppid"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["s390x"]}},
      {"names":["getuid"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["amd64"]}},
      {"names":["getgid"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
      {"names":["getsid"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"999.0"}},
      {"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":9,"op":"SCMP_CMP_EQ"}]},
      {"names":["tkill"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},
      {"names":["umask"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":240,"valueTwo":16,"op":"SCMP_CMP_MASKED_EQ"}]}]})";
  auto plan = from_json(kProfile);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(call(*plan, SYS_read), kAllow);
  EXPECT_EQ(call(*plan, 3, 0, 0, AUDIT_ARCH_I386), kAllow);
  EXPECT_EQ(call(*plan, SYS_mount), kEperm);
  EXPECT_EQ(call(*plan, SYS_getpid), kAllow);
  EXPECT_EQ(call(*plan, SYS_getppid), kEperm);
  EXPECT_EQ(call(*plan, SYS_getuid), kEperm);
  EXPECT_EQ(call(*plan, SYS_getgid), kAllow);
  EXPECT_EQ(call(*plan, SYS_getsid), kEperm);
  EXPECT_EQ(call(*plan, SYS_kill, 1, 9), kAllow);
  EXPECT_EQ(call(*plan, SYS_kill, 1, 8), kEperm);
  EXPECT_EQ(call(*plan, SYS_tkill, 1), kAllow);
  EXPECT_EQ(call(*plan, SYS_tkill, 2), kAllow);
  EXPECT_EQ(call(*plan, SYS_tkill, 3), kEperm);
  EXPECT_EQ(call(*plan, SYS_umask, 0x1f), kAllow);
  EXPECT_EQ(call(*plan, SYS_umask, 0x2f), kEperm);
  // Newer than anything the profile names, on each architecture: not its author's doing.
  EXPECT_EQ(call(*plan, SYS_tkill + 1), kEnosys);
  EXPECT_EQ(call(*plan, SYS_reboot), kAllow);
  auto admin = from_json(kProfile, capability_bit(CAP_SYS_ADMIN));
  ASSERT_TRUE(admin);
  EXPECT_EQ(call(*admin, SYS_mount), kAllow);
  EXPECT_NE(call(*admin, SYS_reboot), kAllow);
}
#endif

TEST(SeccompProfile, Actions) {
  auto plan = from_json(
      R"({"defaultAction":"SCMP_ACT_LOG","flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_TSYNC"],"syscalls":[
      {"names":["getpid"],"action":"SCMP_ACT_KILL"},{"names":["getppid"],"action":"SCMP_ACT_KILL_PROCESS"},
      {"names":["getuid"],"action":"SCMP_ACT_TRAP"},{"names":["getgid"],"action":"SCMP_ACT_TRACE","errnoRet":7}]})");
  ASSERT_TRUE(plan) << plan.error().message();
  std::uint32_t native = seccomp_arch_native();
  EXPECT_EQ(call(*plan, SYS_getpid, 0, 0, native), SECCOMP_RET_KILL_THREAD);
  EXPECT_EQ(call(*plan, SYS_getppid, 0, 0, native), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(call(*plan, SYS_getuid, 0, 0, native), SECCOMP_RET_TRAP);
  EXPECT_EQ(call(*plan, SYS_getgid, 0, 0, native), SECCOMP_RET_TRACE | 7);
  EXPECT_EQ(call(*plan, SYS_read, 0, 0, native), SECCOMP_RET_LOG);
  EXPECT_EQ(plan->flags, SECCOMP_FILTER_FLAG_LOG);
}

TEST(SeccompProfile, CallsThatNobodyKnowsYetAreTheTracersToo) {
  for (std::string action : {"ALLOW", "LOG", "TRACE"}) {
    auto plan = from_json(R"({"defaultAction":"SCMP_ACT_)" + action +
                          R"(","syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ERRNO"}]})");
    ASSERT_TRUE(plan) << plan.error().message();
    std::uint32_t native = seccomp_arch_native();
    EXPECT_EQ(call(*plan, 9999, 0, 0, native), call(*plan, SYS_read, 0, 0, native)) << action;
  }
}

TEST(SeccompProfile, CallsLeftToAnAgent) {
  constexpr std::string_view kProfile =
      R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/agent","listenerMetadata":"m",
      "flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"syscalls":[{"names":["getpid"],"action":"%"}]})";
  auto with = [&](std::string_view action) {
    std::string text(kProfile);
    return from_json(text.replace(text.find('%'), 1, action));
  };
  auto plan = with("SCMP_ACT_NOTIFY");
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(call(*plan, SYS_getpid, 0, 0, seccomp_arch_native()), SECCOMP_RET_USER_NOTIF);
  EXPECT_EQ(plan->flags, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
  EXPECT_EQ(plan->agent.path, "/agent");
  EXPECT_EQ(plan->agent.metadata, "m");
  plan = with("SCMP_ACT_LOG");
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->flags, 0U) << "the kernel takes neither without a listener";
  EXPECT_EQ(plan->agent.path, "");
}

TEST(SeccompProfile, RefusedWithAReason) {
  struct Row {
    const char* json;
    const char* reason;
  };
  for (
      const auto& [json, reason] : {
          Row{"", "not JSON"},
          Row{"[]", "not a JSON object"},
          Row{"{", "not JSON"},
          Row{"{}", "defaultAction: is missing: one of SCMP_ACT_ALLOW, SCMP_ACT_ERRNO"},
          Row{R"({"defaultAction":1})", "defaultAction: 1 is wrong: a text"},
          Row{R"({"defaultAction":"ALLOW"})", "defaultAction: \"ALLOW\" is unknown: one of SCMP_ACT_ALLOW, "},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_NATIVE","x86"]})",
              "architectures[0]: \"SCMP_ARCH_NATIVE\" is unknown"},
          Row{R"({"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/x"})",
              "defaultAction: SCMP_ACT_NOTIFY would hold up"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":1})", "listenerPath: 1 is wrong"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"})",
              "listenerMetadata: goes with a listenerPath"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]})",
              "listenerPath: is missing: an agent's socket, for SCMP_ACT_NOTIFY of \"read\""},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[{"names":["read","write"],"action":"SCMP_ACT_NOTIFY"}]})",
              "syscalls: SCMP_ACT_NOTIFY would hold up write"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_NEW"]})", "FLAG_NEW"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}})",
              "syscalls: an object is wrong: a list was expected"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[1]})",
              "syscalls[0]: 1 is wrong: an object was expected"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ALLOW"}]})",
              "syscalls[0].names: is missing"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[""],"action":"SCMP_ACT_ERRNO"}]})",
              "syscalls[0].names: has an empty name"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":70000}]})",
              "syscalls[0].errnoRet: 70000 is wrong: a number from 0 to 4095 was expected"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]})",
              "syscalls[0].args[0].index: 6 is wrong: a number from 0 to 5 was expected"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"op":"=="}]}]})",
              "syscalls[0].args[0].op: \"==\" is unknown: one of SCMP_CMP_NE, "},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]}]})",
              "syscalls[0].args[0].value: -1 is wrong"},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","includes":{"caps":["CAP_X"]}}]})",
              "syscalls[0].includes.caps: "},
          Row{R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","includes":{"minKernel":"new"}}]})",
              "syscalls[0].includes.minKernel: \"new\" is wrong: a form such as 4.8 was expected"},
          Row{R"({"a":[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]})", "not JSON"},
      }) {
    auto plan = from_json(json);
    ASSERT_FALSE(plan) << json;
    EXPECT_THAT(plan.error().message(), HasSubstr(reason)) << json;
    EXPECT_THAT(plan.error().message(), HasSubstr("/test.json")) << json;
  }
}

TEST(SeccompProfile, IsBounded) {
  auto plan = from_json(std::string(kMaxSeccompProfileBytes + 1, ' '));
  ASSERT_FALSE(plan);
  EXPECT_TRUE(plan.error().is_resource());
  std::string many = R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read")";
  for (std::size_t i = 0; i < kMaxSeccompRules; ++i) many += R"(,"x")";
  plan = from_json(many + R"(],"action":"SCMP_ACT_ERRNO"}]})");
  ASSERT_FALSE(plan);
  EXPECT_TRUE(plan.error().is_resource());
}

TEST(SeccompCache, KeepsProgramsWithinItsCapacity) {
  SeccompCache cache(2);
  auto first = cache.runtime_default(0);
  ASSERT_TRUE(first);
  EXPECT_EQ(cache.runtime_default(0)->program, first->program);
  EXPECT_EQ(cache.size(), 1U);
  constexpr std::string_view kNone = R"({"defaultAction":"SCMP_ACT_ALLOW"})";
  ASSERT_TRUE(cache.profile(kNone, "a", 0));
  ASSERT_TRUE(cache.profile(kNone, "b", 0));  // the same text
  EXPECT_EQ(cache.size(), 2U);
  ASSERT_TRUE(cache.profile(kNone, "a", 1));
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_FALSE(cache.profile("x", "a", 1));  // failures are not kept
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_EQ(cache.runtime_default(0)->program, first->program);
}

// The kernel's word on it: loads the program in a child, calls, and reports what it saw by its exit code.
TEST(SeccompDefault, TheKernelTakesIt) {
  SeccompPlan plan = default_for(kDefaultCapabilities);
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    sock_fprog program{static_cast<unsigned short>(plan.program.size() / sizeof(sock_filter)),
                       reinterpret_cast<sock_filter*>(plan.program.data())};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(100);
    if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, plan.flags, &program) != 0) ::_exit(101);
    if (::getpid() <= 0) ::_exit(102);
    if (::unshare(CLONE_NEWUSER) != -1 || errno != EPERM) ::_exit(103);
    if (::syscall(SYS_clone3, nullptr, 0) != -1 || errno != ENOSYS) ::_exit(104);
    if (::socket(AF_ALG, SOCK_SEQPACKET, 0) != -1 || errno != EPERM) ::_exit(105);
    if (::socket(AF_UNIX, SOCK_STREAM, 0) < 0) ::_exit(106);
    if (::syscall(SYS_keyctl, 0, 0, 0, 0, 0) != -1 || errno != EPERM) ::_exit(107);
    if (::syscall(600) != -1 || errno != ENOSYS) ::_exit(108);
    if (::syscall(452, -1, "x", 0, 0) != -1 || (errno != EBADF && errno != ENOSYS)) ::_exit(109);
    pid_t grandchild = ::fork();  // libc's fallback to clone works
    if (grandchild == 0) ::_exit(0);
    int status = 0;
    if (grandchild < 0 || ::waitpid(grandchild, &status, 0) != grandchild || status != 0) ::_exit(110);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace gantry::runtime
