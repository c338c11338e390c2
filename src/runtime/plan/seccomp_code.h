// SPDX-License-Identifier: Apache-2.0
// BPF from decisions: the back end of seccomp_compile.cc. Private to this folder.
#pragma once

#include <linux/filter.h>
#include <seccomp.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace gantry::runtime {

// What becomes of a call: the action of the first alternative whose conditions all hold, else `otherwise`.
struct SeccompAlternative {
  std::vector<scmp_arg_cmp> conditions;
  std::uint32_t action = 0;
};
struct SeccompDecision {
  std::vector<SeccompAlternative> alternatives;
  std::uint32_t otherwise = 0;
};
bool operator==(const SeccompDecision& a, const SeccompDecision& b);

// By the first number that it is for; the first range starts at 0, the last one ends with 0xffffffff.
using SeccompRanges = std::vector<std::pair<std::uint32_t, SeccompDecision>>;

struct SeccompCalls {
  std::uint32_t mask = 0xffffffff;  // bits of the number that count
  SeccompRanges ranges;
};

// By AUDIT_ARCH_*. A process of another architecture is killed. kResourceExhausted when the kernel would refuse its
// length.
Result<std::string> seccomp_code(const std::map<std::uint32_t, SeccompCalls>& architectures);

}  // namespace gantry::runtime
