// SPDX-License-Identifier: Apache-2.0
// Profile to program. libseccomp knows the names; the program is made here, because what libseccomp makes of a profile
// with hundreds of calls takes the kernel as long to load as all other steps of a container's start together. Numbers
// with the same decision are mostly neighbours, so a search among ranges is a fraction of its length. It means the same
// (a test compares them call by call), but for this: rules of one call are tried in the order of the profile, where
// libseccomp's order is its own; and a call that is newer than the newest that the profile names gives ENOSYS, as runc
// has it: its author meant neither to allow nor to deny it, and a program that is told EPERM for what its libc only
// tries first fails for nothing.
#include <linux/ipc.h>
#include <linux/net.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <utility>

#include "runtime/plan/seccomp_code.h"
#include "runtime/plan/seccomp_profile.h"
#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

// x32 goes by x86_64's architecture, with this bit in its numbers. Beneath the first of its own they are x86_64's.
constexpr std::uint32_t kX32Bit = 0x40000000;
constexpr std::uint32_t kFirstX32Call = 512;

// System calls since Linux 6.5, which Debian 12's libseccomp does not know by name, or not all. Numbers are the same
// everywhere.
struct NewCall {
  std::string_view name;
  std::uint32_t number;
};
constexpr NewCall kNewCalls[] = {
    {"cachestat", 451},         {"fchmodat2", 452},         {"map_shadow_stack", 453}, {"futex_wake", 454},
    {"futex_wait", 455},        {"futex_requeue", 456},     {"statmount", 457},        {"listmount", 458},
    {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},        {"listxattrat", 465},      {"removexattrat", 466},
    {"open_tree_attr", 467},    {"file_getattr", 468},      {"file_setattr", 469},     {"listns", 470},
};

// Calls that 32-bit x86 also reaches through another one, which has a number for each in its first argument. libseccomp
// does not tell their own numbers, which most have since Linux 4.3 and 5.1.
struct InnerCall {
  std::string_view name;
  const char* outer;
  std::uint64_t inner;
  std::uint32_t number;  // 0: none
};
constexpr InnerCall kInnerCalls[] = {
    {"socket", "socketcall", SYS_SOCKET, 359},
    {"bind", "socketcall", SYS_BIND, 361},
    {"connect", "socketcall", SYS_CONNECT, 362},
    {"listen", "socketcall", SYS_LISTEN, 363},
    {"accept", "socketcall", SYS_ACCEPT, 0},
    {"getsockname", "socketcall", SYS_GETSOCKNAME, 367},
    {"getpeername", "socketcall", SYS_GETPEERNAME, 368},
    {"socketpair", "socketcall", SYS_SOCKETPAIR, 360},
    {"send", "socketcall", SYS_SEND, 0},
    {"recv", "socketcall", SYS_RECV, 0},
    {"sendto", "socketcall", SYS_SENDTO, 369},
    {"recvfrom", "socketcall", SYS_RECVFROM, 371},
    {"shutdown", "socketcall", SYS_SHUTDOWN, 373},
    {"setsockopt", "socketcall", SYS_SETSOCKOPT, 366},
    {"getsockopt", "socketcall", SYS_GETSOCKOPT, 365},
    {"sendmsg", "socketcall", SYS_SENDMSG, 370},
    {"recvmsg", "socketcall", SYS_RECVMSG, 372},
    {"accept4", "socketcall", SYS_ACCEPT4, 364},
    {"recvmmsg", "socketcall", SYS_RECVMMSG, 337},
    {"sendmmsg", "socketcall", SYS_SENDMMSG, 345},
    {"semop", "ipc", SEMOP, 0},
    {"semget", "ipc", SEMGET, 393},
    {"semctl", "ipc", SEMCTL, 394},
    {"semtimedop", "ipc", SEMTIMEDOP, 0},
    {"msgsnd", "ipc", MSGSND, 400},
    {"msgrcv", "ipc", MSGRCV, 401},
    {"msgget", "ipc", MSGGET, 399},
    {"msgctl", "ipc", MSGCTL, 402},
    {"shmat", "ipc", SHMAT, 397},
    {"shmdt", "ipc", SHMDT, 398},
    {"shmget", "ipc", SHMGET, 395},
    {"shmctl", "ipc", SHMCTL, 396},
};
constexpr std::uint64_t kInnerMask = 0xffff;  // the kernel takes what is above for a version of ipc

// A negative number, written with 64 bits, as a process of 32 bits has it in an argument.
scmp_datum_t narrowed(scmp_datum_t value) { return value >> 32 == 0xffffffff ? value & 0xffffffff : value; }

// What a profile decides for the calls of one architecture.
class Table {
 public:
  Table(std::uint32_t arch, std::uint32_t default_action)
      : arch_(arch), base_(arch == SCMP_ARCH_X32 ? kX32Bit : 0), default_(default_action) {}

  void add(const SeccompRule& rule) {
    if (auto number = number_of(rule.name.c_str())) add(*number, rule.conditions, rule.action);
  }
  // The other arguments of the inner call lie behind a pointer, so whatever the rule's conditions are, this has none.
  // To be called after all of add(): what the profile says of the outer call itself comes first.
  void add_inner(const SeccompRule& rule) {
    for (const InnerCall& inner : kInnerCalls) {
      if (inner.name != rule.name) continue;
      if (auto outer = number_of(inner.outer))
        add(*outer, {SCMP_A0(SCMP_CMP_MASKED_EQ, kInnerMask, inner.inner)}, rule.action);
    }
  }

  // Of the numbers from `first` on, to the end.
  void append_ranges(SeccompRanges& ranges, std::uint32_t first, bool deny_newer) const {
    SeccompDecision by_default{{}, default_};
    std::uint32_t next = first;
    for (auto call = calls_.lower_bound(first); call != calls_.end(); ++call) {
      if (call->first > next) append(ranges, next, by_default);
      append(ranges, call->first, call->second);
      next = call->first + 1;
    }
    append(ranges, next, deny_newer ? SeccompDecision{{}, SCMP_ACT_ERRNO(ENOSYS)} : by_default);
  }

 private:
  std::optional<std::uint32_t> number_of(const char* name) const {
    int number = seccomp_syscall_resolve_name_arch(arch_, name);
    if (number >= 0) return static_cast<std::uint32_t>(number) - base_;
    if (number == __NR_SCMP_ERROR) {
      auto call = std::ranges::find(kNewCalls, std::string_view(name), &NewCall::name);
      if (call != std::end(kNewCalls)) return call->number;
    } else if (arch_ == SCMP_ARCH_X86) {
      auto call = std::ranges::find(kInnerCalls, std::string_view(name), &InnerCall::name);
      if (call != std::end(kInnerCalls) && call->number != 0) return call->number;
    }
    return std::nullopt;
  }

  bool has_32_bits() const { return arch_ == SCMP_ARCH_X86 || arch_ == SCMP_ARCH_ARM; }

  // Nothing comes after an alternative without conditions: it is what is done otherwise.
  void add(std::uint32_t number, const std::vector<scmp_arg_cmp>& conditions, std::uint32_t action) {
    auto [place, is_new] = calls_.try_emplace(number, SeccompDecision{{}, default_});
    if (is_closed_[number]) return;
    if (conditions.empty()) {
      place->second.otherwise = action;
      is_closed_[number] = true;
    } else {
      place->second.alternatives.push_back({conditions, action});
      for (scmp_arg_cmp& condition : place->second.alternatives.back().conditions) {
        if (has_32_bits()) {
          condition.datum_a = narrowed(condition.datum_a);
          condition.datum_b = narrowed(condition.datum_b);
        }
        // As libseccomp takes it: what is outside of the mask means nothing.
        if (condition.op == SCMP_CMP_MASKED_EQ) condition.datum_b &= condition.datum_a;
      }
    }
  }

  static void append(SeccompRanges& ranges, std::uint32_t first, const SeccompDecision& decision) {
    if (ranges.empty() || ranges.back().second != decision) ranges.emplace_back(first, decision);
  }

  std::uint32_t arch_, base_, default_;
  std::map<std::uint32_t, SeccompDecision> calls_;  // by number, without base_
  std::map<std::uint32_t, bool> is_closed_;
};

// A tracer decides about calls that are newer than the profile as well.
bool is_permissive(std::uint32_t action) {
  return action == SCMP_ACT_ALLOW || action == SCMP_ACT_LOG || (action & SECCOMP_RET_ACTION_FULL) == SCMP_ACT_TRACE(0);
}

}  // namespace

std::vector<std::uint32_t> compatible_architectures() {
#if defined(__x86_64__)
  return {SCMP_ARCH_X86, SCMP_ARCH_X32};
#elif defined(__aarch64__)
  return {SCMP_ARCH_ARM};
#else
  return {};
#endif
}

std::string_view native_architecture_name() {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__aarch64__)
  return "arm64";
#else
  return "unknown";
#endif
}

Result<SeccompPlan> compile_seccomp(const SeccompProfile& profile) {
  if (profile.rules.size() > kMaxSeccompRules) {
    return fail(Code::kResourceExhausted, cat("seccomp: the profile has ", profile.rules.size(), " rules: at most ",
                                              kMaxSeccompRules, " are taken"));
  }
  bool deny_newer = !is_permissive(profile.default_action);
  std::map<std::uint32_t, Table> tables;  // by SCMP_ARCH_*, which are AUDIT_ARCH_* but for x32
  tables.try_emplace(seccomp_arch_native(), seccomp_arch_native(), profile.default_action);
  for (std::uint32_t arch : profile.architectures) tables.try_emplace(arch, arch, profile.default_action);
  std::map<std::uint32_t, SeccompCalls> architectures;
  for (auto& [arch, table] : tables) {
    for (const SeccompRule& rule : profile.rules) table.add(rule);
    for (const SeccompRule& rule : profile.rules) table.add_inner(rule);
    if (arch != SCMP_ARCH_X32) table.append_ranges(architectures[arch].ranges, 0, deny_newer);
  }
  if (auto native = architectures.find(SCMP_ARCH_X86_64); native != architectures.end()) {
    auto x32 = tables.find(SCMP_ARCH_X32);
    if (x32 != tables.end()) {
      native->second.mask = ~kX32Bit;
      x32->second.append_ranges(native->second.ranges, kFirstX32Call, deny_newer);
    } else {
      native->second.ranges.emplace_back(kX32Bit, SeccompDecision{{}, SCMP_ACT_KILL_PROCESS});
    }
  }
  auto program = seccomp_code(architectures);
  if (!program) return std::unexpected(std::move(program.error()));
  return SeccompPlan{std::move(*program), profile.flags, profile.agent};
}

}  // namespace gantry::runtime
