// SPDX-License-Identifier: Apache-2.0
// The program: the architecture, then a binary search for the number's range, then its action, or a jump to its
// conditions, which lie at the end and are shared by all that decide alike. Only instructions that the kernel's own
// evaluation of filters (SECCOMP_ARCH_NATIVE bitmaps, Linux 5.11) follows stand before an action, so that calls that
// are always allowed cost nothing.
#include "runtime/plan/seccomp_code.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>

#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

static_assert(std::endian::native == std::endian::little);
// A search among so many ranges, with a place for the action of each behind it, is within reach of conditional jumps
// (255).
constexpr std::size_t kMaxNearRanges = 120;

using Instructions = std::vector<sock_filter>;

sock_filter load(std::size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }
sock_filter give(std::uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }
sock_filter jump(std::size_t distance) { return BPF_STMT(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(distance)); }
sock_filter compare(std::uint16_t operation, std::uint32_t value, std::size_t yes, std::size_t no) {
  return BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | operation | BPF_K), value, static_cast<std::uint8_t>(yes),
                  static_cast<std::uint8_t>(no));
}

std::size_t low_word(unsigned argument) { return offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t); }
std::size_t high_word(unsigned argument) { return low_word(argument) + sizeof(std::uint32_t); }

// One condition on a 64-bit argument, word by word: goes on behind itself when it holds, else `miss` instructions
// further.
void append_condition(Instructions& code, const scmp_arg_cmp& condition, std::size_t miss) {
  auto high = static_cast<std::uint32_t>(condition.datum_a >> 32);
  auto low = static_cast<std::uint32_t>(condition.datum_a);
  auto high_of_masked = static_cast<std::uint32_t>(condition.datum_b >> 32);
  auto low_of_masked = static_cast<std::uint32_t>(condition.datum_b);
  auto emit = [&](std::initializer_list<sock_filter> instructions) { code.insert(code.end(), instructions); };
  unsigned arg = condition.arg;
  // Ordered comparisons: decided by the high word unless it is equal.
  auto ordered = [&](std::uint16_t on_low, bool above) {
    emit({load(high_word(arg)), above ? compare(BPF_JGT, high, 3, 0) : compare(BPF_JGT, high, 3 + miss, 0),
          above ? compare(BPF_JEQ, high, 0, 2 + miss) : compare(BPF_JEQ, high, 0, 2), load(low_word(arg)),
          above ? compare(on_low, low, 0, miss) : compare(on_low, low, miss, 0)});
  };
  switch (condition.op) {
    case SCMP_CMP_EQ:
      emit({load(high_word(arg)), compare(BPF_JEQ, high, 0, 2 + miss), load(low_word(arg)),
            compare(BPF_JEQ, low, 0, miss)});
      break;
    case SCMP_CMP_NE:
      emit({load(high_word(arg)), compare(BPF_JEQ, high, 0, 2), load(low_word(arg)), compare(BPF_JEQ, low, miss, 0)});
      break;
    case SCMP_CMP_GT:
      ordered(BPF_JGT, true);
      break;
    case SCMP_CMP_GE:
      ordered(BPF_JGE, true);
      break;
    case SCMP_CMP_LE:
      ordered(BPF_JGT, false);
      break;
    case SCMP_CMP_LT:
      ordered(BPF_JGE, false);
      break;
    default:  // SCMP_CMP_MASKED_EQ
      emit({load(high_word(arg)), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, high),
            compare(BPF_JEQ, high_of_masked, 0, 3 + miss), load(low_word(arg)),
            BPF_STMT(BPF_ALU | BPF_AND | BPF_K, low), compare(BPF_JEQ, low_of_masked, 0, miss)});
  }
}

// Conditions are laid out from the last one back, so that each knows how far it is to the end of its alternative.
Instructions alternative_code(const SeccompAlternative& alternative) {
  Instructions code = {give(alternative.action)};
  for (auto condition = alternative.conditions.rbegin(); condition != alternative.conditions.rend(); ++condition) {
    Instructions part;
    append_condition(part, *condition, code.size());
    code.insert(code.begin(), part.begin(), part.end());
  }
  return code;
}

class Program {
 public:
  Result<std::string> make(const std::map<std::uint32_t, SeccompCalls>& architectures) {
    code_.push_back(load(offsetof(seccomp_data, arch)));
    for (const auto& [arch, calls] : architectures) {
      code_.push_back(compare(BPF_JEQ, arch, 1, 0));
      std::size_t next_arch = code_.size();
      code_.push_back({});
      code_.push_back(load(offsetof(seccomp_data, nr)));
      if (~calls.mask != 0) code_.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, calls.mask));
      search(calls.ranges);
      code_[next_arch] = jump(code_.size() - next_arch - 1);
    }
    code_.push_back(give(SECCOMP_RET_KILL_PROCESS));
    append_conditions();
    if (code_.size() > BPF_MAXINSNS) {
      return fail(Code::kResourceExhausted,
                  cat("seccomp: the profile makes ", code_.size(), " instructions: the kernel takes ", BPF_MAXINSNS));
    }
    return std::string(reinterpret_cast<const char*>(code_.data()), code_.size() * sizeof(sock_filter));
  }

 private:
  using Ranges = std::span<const SeccompRanges::value_type>;

  void search(Ranges ranges) {
    if (ranges.size() <= kMaxNearRanges) {
      std::size_t actions = code_.size() + ranges.size() - 1;
      std::vector<const SeccompDecision*> decisions;
      search_near(ranges, actions, decisions);
      for (const SeccompDecision* decision : decisions) {
        if (!decision->alternatives.empty()) references_.emplace_back(code_.size(), decision);
        code_.push_back(give(decision->otherwise));
      }
      return;
    }
    std::size_t middle = ranges.size() / 2;
    code_.push_back(compare(BPF_JGE, ranges[middle].first, 0, 1));
    std::size_t right = code_.size();
    code_.push_back({});
    search(ranges.first(middle));
    code_[right] = jump(code_.size() - right - 1);
    search(ranges.subspan(middle));
  }

  // Comparisons alone, one fewer than ranges; the actions lie from `actions` on in the order of `decisions`. Gives the
  // place where the search among `ranges` begins.
  std::size_t search_near(Ranges ranges, std::size_t actions, std::vector<const SeccompDecision*>& decisions) {
    if (ranges.size() == 1) {
      auto same = std::ranges::find_if(decisions, [&](const auto* other) { return *other == ranges[0].second; });
      if (same == decisions.end()) same = decisions.insert(same, &ranges[0].second);
      return actions + static_cast<std::size_t>(same - decisions.begin());
    }
    std::size_t middle = ranges.size() / 2;
    std::size_t at = code_.size();
    code_.push_back({});
    std::size_t left = search_near(ranges.first(middle), actions, decisions);
    std::size_t right = search_near(ranges.subspan(middle), actions, decisions);
    code_[at] = compare(BPF_JGE, ranges[middle].first, right - at - 1, left - at - 1);
    return at;
  }

  void append_conditions() {
    std::vector<std::pair<std::size_t, const SeccompDecision*>> made;
    for (const auto& [place, decision] : references_) {
      auto same = std::ranges::find_if(made, [&](const auto& other) { return *other.second == *decision; });
      if (same == made.end()) {
        same = made.insert(made.end(), {code_.size(), decision});
        for (const SeccompAlternative& alternative : decision->alternatives) {
          Instructions part = alternative_code(alternative);
          code_.insert(code_.end(), part.begin(), part.end());
        }
        code_.push_back(give(decision->otherwise));
      }
      code_[place] = jump(same->first - place - 1);
    }
  }

  Instructions code_;
  std::vector<std::pair<std::size_t, const SeccompDecision*>> references_;  // places that are to jump to conditions
};

}  // namespace

bool operator==(const SeccompDecision& a, const SeccompDecision& b) {
  auto same_condition = [](const scmp_arg_cmp& x, const scmp_arg_cmp& y) {
    return x.arg == y.arg && x.op == y.op && x.datum_a == y.datum_a && x.datum_b == y.datum_b;
  };
  auto same_alternative = [&](const SeccompAlternative& x, const SeccompAlternative& y) {
    return x.action == y.action && std::ranges::equal(x.conditions, y.conditions, same_condition);
  };
  return a.otherwise == b.otherwise && std::ranges::equal(a.alternatives, b.alternatives, same_alternative);
}

Result<std::string> seccomp_code(const std::map<std::uint32_t, SeccompCalls>& architectures) {
  return Program().make(architectures);
}

}  // namespace gantry::runtime
