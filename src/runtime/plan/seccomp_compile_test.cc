// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <set>

#include "base/owned_fd.h"
#include "runtime/plan/seccomp_profile.h"
#include "runtime/plan/seccomp_run_for_test.h"
#include "sys/file.h"

namespace gantry::runtime {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;
constexpr int kX32 = 0x40000000;

// What libseccomp makes of the same profile.
SeccompPlan by_libseccomp(const SeccompProfile& profile) {
  std::unique_ptr<void, void (*)(void*)> context(seccomp_init(profile.default_action), seccomp_release);
  for (std::uint32_t arch : profile.architectures) EXPECT_EQ(seccomp_arch_add(context.get(), arch), 0);
  for (const SeccompRule& rule : profile.rules) {
    int number = seccomp_syscall_resolve_name(rule.name.c_str());
    if (number == __NR_SCMP_ERROR || rule.action == profile.default_action) continue;
    int added = seccomp_rule_add_array(context.get(), rule.action, number,
                                       static_cast<unsigned>(rule.conditions.size()), rule.conditions.data());
    EXPECT_TRUE(added == 0 || added == -EEXIST) << rule.name << " " << added;
  }
  OwnFd file(::memfd_create("oracle", MFD_CLOEXEC));
  EXPECT_EQ(seccomp_export_bpf(context.get(), file.get()), 0);
  ::lseek(file.get(), 0, SEEK_SET);
  auto program = sys::read_all(file, 1U << 20);
  EXPECT_TRUE(program);
  return SeccompPlan{program ? *program : "", 0};
}

constexpr std::uint64_t kArguments[] = {0,          1,           2,           8,          9,          0x10,
                                        0x11,       0x1f,        0x2f,        0x20000,    0x20008,    0x40000,
                                        0x10000000, 0x7e020000,  0x7fffffff,  0x80000000, 0xffffffff, 1UL << 32,
                                        1UL << 63,  0x100000001, 0x10000000a, ~0UL - 1,   ~0UL};

// Every number on every architecture, with arguments on both sides of what profiles compare with.
void expect_same(SeccompProfile profile, const std::set<int>& but_for = {}) {
  // Calls that libseccomp does not know can't be compared.
  std::erase_if(profile.rules, [](const SeccompRule& rule) {
    return seccomp_syscall_resolve_name(rule.name.c_str()) == __NR_SCMP_ERROR;
  });
  auto ours = compile_seccomp(profile);
  ASSERT_TRUE(ours) << ours.error().message();
  SeccompPlan theirs = by_libseccomp(profile);
  auto has = [&](std::uint32_t arch) {
    return std::ranges::find(profile.architectures, arch) != profile.architectures.end();
  };
  bool has_x32 = has(SCMP_ARCH_X32);
  for (std::uint64_t arg0 : kArguments) {
    for (std::uint64_t arg1 : {0UL, 9UL}) {
      for (int number = 0; number < 600; ++number) {
        if (but_for.contains(number)) continue;
        for (std::uint32_t arch : {AUDIT_ARCH_X86_64 + 0U, AUDIT_ARCH_I386 + 0U}) {
          if (arch == AUDIT_ARCH_I386 && (!has(SCMP_ARCH_X86) || arg0 >> 32 != 0)) continue;
          std::uint32_t got = call(*ours, number, arg0, arg1, arch);
          std::uint32_t wanted = call(theirs, number, arg0, arg1, arch);
          if (got == kEnosys && wanted == profile.default_action) continue;  // newer than the profile
          if (arch == AUDIT_ARCH_X86_64 && number >= 512 && has_x32) wanted = call(theirs, number | kX32, arg0, arg1);
          ASSERT_EQ(got, wanted) << number << " of " << arch << " with " << arg0 << ", " << arg1;
        }
        if (!has_x32) continue;
        std::uint32_t got = call(*ours, number | kX32, arg0, arg1);
        std::uint32_t wanted = call(theirs, number | kX32, arg0, arg1);
        if (got == kEnosys || got == wanted) continue;
        if (number >= 512 || got != call(theirs, number, arg0, arg1))
          ADD_FAILURE() << number << " of x32 with " << arg0;
      }
    }
  }
}

constexpr int kI386Socket = 359;
constexpr int kI386Ipc = 117;  // version bits of its argument are ours alone to mask

TEST(SeccompCompile, TheDefaultProfileMeansWhatItMeansToLibseccomp) {
  // socket is decided in order, which is not libseccomp's way; seccomp_test.cc has it.
  expect_same(default_seccomp_profile(kDefaultCapabilities), {SYS_socket, kI386Socket});
  expect_same(default_seccomp_profile(0), {SYS_socket, kI386Socket});
  expect_same(default_seccomp_profile(~CapabilitySet{0}), {SYS_socket, kI386Socket});
}

TEST(SeccompCompile, EveryComparisonMeansWhatItMeansToLibseccomp) {
  for (scmp_compare op :
       {SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_LE, SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ}) {
    for (std::uint64_t value : {0UL, 9UL, 0xffffffffUL, 0x100000000UL, 0x10000000aUL, ~0UL}) {
      for (std::uint64_t second : {0UL, 8UL, 0x100000000UL}) {
        if (op != SCMP_CMP_MASKED_EQ && second != 0) continue;
        SeccompProfile profile;
        profile.rules = {{"kill", SCMP_ACT_ALLOW, {SCMP_A0(op, value, second)}},
                         {"tkill", SCMP_ACT_ALLOW, {SCMP_A0(op, value, second), SCMP_A1(SCMP_CMP_EQ, 9)}},
                         {"tkill", SCMP_ACT_ALLOW, {SCMP_A1(SCMP_CMP_GT, 77)}}};
        auto ours = compile_seccomp(profile);
        ASSERT_TRUE(ours);
        SeccompPlan theirs = by_libseccomp(profile);
        for (int number : {SYS_kill, SYS_tkill}) {
          for (std::uint64_t arg0 : kArguments) {
            for (std::uint64_t arg1 : {0UL, 9UL, 78UL}) {
              ASSERT_EQ(call(*ours, number, arg0, arg1), call(theirs, number, arg0, arg1))
                  << op << " " << value << " " << second << ": " << number << " with " << arg0 << ", " << arg1;
            }
          }
        }
      }
    }
  }
}

TEST(SeccompCompile, MultiplexedCalls) {
  constexpr int kI386Socketcall = 102;
  SeccompProfile profile;
  profile.default_action = SCMP_ACT_ALLOW;
  profile.architectures = {SCMP_ARCH_X86};
  profile.rules = {{"socket", SCMP_ACT_ERRNO(13), {}}, {"semop", SCMP_ACT_ERRNO(13), {}}};
  expect_same(profile, {kI386Ipc});
  auto plan = compile_seccomp(profile);
  ASSERT_TRUE(plan);
  EXPECT_EQ(call(*plan, kI386Socketcall, 1, 0, AUDIT_ARCH_I386), SECCOMP_RET_ERRNO | 13);
  EXPECT_EQ(call(*plan, kI386Socketcall, 2, 0, AUDIT_ARCH_I386), SECCOMP_RET_ALLOW);
  EXPECT_EQ(call(*plan, kI386Ipc, 1, 0, AUDIT_ARCH_I386), SECCOMP_RET_ERRNO | 13);
  EXPECT_EQ(call(*plan, kI386Ipc, 0x10001, 0, AUDIT_ARCH_I386), SECCOMP_RET_ERRNO | 13);
  // What is said of the outer call itself goes before.
  profile.rules.push_back({"socketcall", SCMP_ACT_ERRNO(38), {}});
  plan = compile_seccomp(profile);
  ASSERT_TRUE(plan);
  EXPECT_EQ(call(*plan, kI386Socketcall, 1, 0, AUDIT_ARCH_I386), kEnosys);
}

TEST(SeccompCompile, RulesOfOneCallAreTriedInOrder) {
  SeccompProfile profile;
  profile.rules = {{"kill", SCMP_ACT_ERRNO(7), {SCMP_A0(SCMP_CMP_EQ, 7)}},
                   {"kill", SCMP_ACT_ALLOW, {SCMP_A0(SCMP_CMP_LE, 8)}},
                   {"kill", SCMP_ACT_ERRNO(9), {}},
                   {"kill", SCMP_ACT_ALLOW, {}}};
  auto plan = compile_seccomp(profile);
  ASSERT_TRUE(plan);
  EXPECT_EQ(call(*plan, SYS_kill, 7), SECCOMP_RET_ERRNO | 7);
  EXPECT_EQ(call(*plan, SYS_kill, 8), SECCOMP_RET_ALLOW);
  EXPECT_EQ(call(*plan, SYS_kill, 9), SECCOMP_RET_ERRNO | 9);
}

TEST(SeccompCompile, NegativeNumbersOn32Bits) {
  constexpr int kI386Kill = 37;
  SeccompProfile profile;
  profile.architectures = {SCMP_ARCH_X86};
  profile.rules = {{"kill", SCMP_ACT_ALLOW, {SCMP_A0(SCMP_CMP_EQ, ~0UL)}}};
  auto plan = compile_seccomp(profile);
  ASSERT_TRUE(plan);
  EXPECT_EQ(call(*plan, kI386Kill, 0xffffffff, 0, AUDIT_ARCH_I386), SECCOMP_RET_ALLOW);
  EXPECT_EQ(call(*plan, SYS_kill, ~0UL), SECCOMP_RET_ALLOW);
  EXPECT_EQ(call(*plan, SYS_kill, 0xffffffff), SECCOMP_RET_ERRNO | 1U);
}

// Alternating decisions make as many ranges as there are calls: farther apart than conditional jumps reach.
TEST(SeccompCompile, ManyRanges) {
  SeccompProfile profile;
  for (int number = 0; number < 450; ++number) {
    char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
    if (name != nullptr) profile.rules.push_back({name, SCMP_ACT_ERRNO(static_cast<std::uint32_t>(100 + number)), {}});
    std::free(name);
  }
  expect_same(profile);
  // And conditions for all of them, farther still.
  for (SeccompRule& rule : profile.rules) rule.conditions = {SCMP_A0(SCMP_CMP_GT, 5)};
  auto plan = compile_seccomp(profile);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(call(*plan, SYS_mount, 6), SECCOMP_RET_ERRNO | (100U + SYS_mount));
  EXPECT_EQ(call(*plan, SYS_mount, 5), SECCOMP_RET_ERRNO | 1U);
}

TEST(SeccompCompile, AProgramThatIsTooLong) {
  SeccompProfile profile;
  for (std::uint64_t i = 0; i < 2000; ++i) profile.rules.push_back({"kill", SCMP_ACT_ALLOW, {SCMP_A0(SCMP_CMP_EQ, i)}});
  auto plan = compile_seccomp(profile);
  ASSERT_FALSE(plan);
  EXPECT_TRUE(plan.error().is_resource());
}
#endif

}  // namespace
}  // namespace gantry::runtime
