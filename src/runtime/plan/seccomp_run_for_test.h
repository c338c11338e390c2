// SPDX-License-Identifier: Apache-2.0
// Runs a seccomp program as the kernel does. For tests and fuzzers.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/plan/plan.h"

namespace gantry::runtime {

// Nothing when there is an instruction that seccomp would not take, or the program's end is run over.
inline std::optional<std::uint32_t> run_seccomp(std::string_view program, const seccomp_data& data) {
  std::size_t count = program.size() / sizeof(sock_filter);
  std::vector<sock_filter> code(count);
  std::memcpy(code.data(), program.data(), program.size());
  std::uint32_t a = 0;
  for (std::size_t pc = 0; pc < count; ++pc) {
    const sock_filter& i = code[pc];
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (i.k % 4 != 0 || i.k > sizeof(data) - 4) return std::nullopt;
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, sizeof(a));
        break;
      case BPF_JMP | BPF_JA:
        pc += i.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        pc += a == i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        pc += a > i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        pc += a >= i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        pc += (a & i.k) != 0 ? i.jt : i.jf;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= i.k;
        break;
      case BPF_RET | BPF_K:
        return i.k;
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;
}

inline std::uint32_t call(const SeccompPlan& plan, int number, std::uint64_t arg0 = 0, std::uint64_t arg1 = 0,
                          std::uint32_t arch = AUDIT_ARCH_X86_64) {
  return run_seccomp(plan.program,
                     {.nr = number, .arch = arch, .instruction_pointer = 0, .args = {arg0, arg1, 0, 0, 0, 0}})
      .value();
}

}  // namespace gantry::runtime
