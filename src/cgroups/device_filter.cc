// SPDX-License-Identifier: Apache-2.0
#include "cgroups/device_filter.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace gantry::cgroups {
namespace {

constexpr const char* kProgramName = "gantry_devices";
constexpr std::size_t kMaxKept = 16;

// Registers of the program.
constexpr std::uint8_t kResult = BPF_REG_0, kContext = BPF_REG_1, kType = BPF_REG_2, kWanted = BPF_REG_3,
                       kMajor = BPF_REG_4, kMinor = BPF_REG_5, kDevice = BPF_REG_6;

// How many bits the numbers of the kernel's devices have.
constexpr unsigned kMajorBits = 12, kMinorBits = 20;

bpf_insn instruction(int code, std::uint8_t destination, std::uint8_t source, std::int16_t offset,
                     std::int32_t immediate) {
  bpf_insn result{};
  result.code = static_cast<std::uint8_t>(code);
  result.dst_reg = destination & 0xf;
  result.src_reg = source & 0xf;
  result.off = offset;
  result.imm = immediate;
  return result;
}
bpf_insn load(std::uint8_t into, std::size_t offset) {
  return instruction(BPF_LDX | BPF_MEM | BPF_W, into, kContext, static_cast<std::int16_t>(offset), 0);
}
bpf_insn compute(int operation, std::uint8_t reg, std::int32_t immediate) {
  return instruction(BPF_ALU | operation | BPF_K, reg, 0, 0, immediate);
}
// Jumps over `skip` instructions. 32-bit comparisons, so that a major of 2^31 and more is not sign-extended.
bpf_insn jump(int condition, std::uint8_t reg, std::int32_t immediate, std::int16_t skip) {
  return instruction(BPF_JMP32 | condition | BPF_K, reg, 0, skip, immediate);
}
bpf_insn answer(int value) { return instruction(BPF_ALU64 | BPF_MOV | BPF_K, kResult, 0, 0, value); }
bpf_insn leave() { return instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

// Whether it speaks of a device that there can be.
bool is_possible(const DeviceRule& rule) {
  return rule.major.value_or(0) >> kMajorBits == 0 && rule.minor.value_or(0) >> kMinorBits == 0;
}

// One rule: falls through to the next one when the device is another or the rule does not decide. A device is looked at
// by one comparison, and where all accesses are named that is all there is to ask: the verifier goes every way that a
// program can take, and each further question about what has been compared already would be ways of its own.
void add_rule(std::vector<bpf_insn>& program, const DeviceRule& rule) {
  std::vector<bpf_insn> body = {answer(rule.allow ? 1 : 0), leave()};
  if (rule.access != kDeviceAll) {
    const std::vector<bpf_insn> condition =
        rule.allow
            // Its accesses are settled; with nothing left to settle the answer is yes.
            ? std::vector{compute(BPF_AND, kWanted, ~static_cast<std::int32_t>(rule.access)),
                          jump(BPF_JNE, kWanted, 0, 2)}  // One access that is denied is enough.
            : std::vector{jump(BPF_JSET, kWanted, rule.access, 1), instruction(BPF_JMP | BPF_JA, 0, 0, 2, 0)};
    body.insert(body.begin(), condition.begin(), condition.end());
  }
  if (rule.major || rule.minor) {
    std::uint8_t reg = !rule.minor ? kMajor : !rule.major ? kMinor : kDevice;
    std::uint32_t value = !rule.minor   ? *rule.major
                          : !rule.major ? *rule.minor
                                        : *rule.major << kMinorBits | *rule.minor;
    program.push_back(jump(BPF_JNE, reg, static_cast<std::int32_t>(value), static_cast<std::int16_t>(body.size())));
  }
  program.insert(program.end(), body.begin(), body.end());
}

// What is asked of one kind of device.
std::vector<bpf_insn> questions_for(DeviceType type, std::span<const DeviceRule> rules) {
  std::vector<bpf_insn> program;
  // The last rule that speaks of an access decides it, so the last one is asked first.
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    if ((rule->type != DeviceType::kAll && rule->type != type) || !is_possible(*rule)) continue;
    add_rule(program, *rule);
    bool is_last_word = !rule->major && !rule->minor && rule->access == kDeviceAll;
    if (is_last_word) return program;
  }
  program.push_back(answer(0));
  program.push_back(leave());
  return program;
}

Result<sys::BpfProgFd> load_program(std::span<const bpf_insn> instructions) {
  return sys::bpf_prog_load(BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE, kProgramName, instructions);
}

struct Attached {
  std::uint32_t id;
  sys::BpfProgFd program;
};

// Our programs among those attached to the cgroup.
Result<std::vector<Attached>> attached_filters(const Cgroup& cgroup) {
  auto ids = sys::bpf_prog_query(cgroup.dir(), BPF_CGROUP_DEVICE);
  if (!ids) return std::unexpected(std::move(ids.error()));
  std::vector<Attached> ours;
  for (std::uint32_t id : *ids) {
    auto program = sys::bpf_prog_get_fd_by_id(id);
    if (!program && program.error().is_not_found()) continue;  // detached since
    if (!program) return std::unexpected(std::move(program.error()));
    auto info = sys::bpf_prog_info_of(*program);
    if (!info) return std::unexpected(std::move(info.error()));
    if (info->name == kProgramName) ours.push_back({id, std::move(*program)});
  }
  return ours;
}

Status put_in_force(const Cgroup& cgroup, FdRef program) {
  auto before = attached_filters(cgroup);
  if (!before) return std::unexpected(std::move(before.error()));
  auto mine = sys::bpf_prog_info_of(program);
  if (!mine) return std::unexpected(std::move(mine.error()));
  // The kernel attaches no program twice: then only what is beside it goes.
  bool is_there = std::ranges::any_of(*before, [&](const Attached& each) { return each.id == mine->id; });
  if (!is_there) {
    FdRef replaced = before->empty() ? FdRef() : before->front().program.ref();
    auto attached = sys::bpf_prog_attach(cgroup.dir(), program, BPF_CGROUP_DEVICE, replaced);
    if (!attached) return attached;
    if (!before->empty()) before->erase(before->begin());
  }
  // Never more than one, unless two calls raced.
  for (const Attached& each : *before) {
    if (each.id == mine->id) continue;
    if (auto detached = sys::bpf_prog_detach(cgroup.dir(), each.program, BPF_CGROUP_DEVICE); !detached) return detached;
  }
  return {};
}

std::string words_for(const Cgroup& cgroup) { return "cgroup " + cgroup.path() + ": set the device filter"; }

}  // namespace

Result<std::uint8_t> parse_device_access(std::string_view text) {
  std::uint8_t access = 0;
  for (char letter : text) {
    std::uint8_t bit = letter == 'r' ? kDeviceRead : letter == 'w' ? kDeviceWrite : letter == 'm' ? kDeviceMknod : 0;
    if (bit == 0 || (access & bit) != 0) {
      access = 0;
      break;
    }
    access |= bit;
  }
  if (access != 0) return access;
  return invalid_argument(cat("device access ", quoted(text, 16), ": expected letters of \"rwm\", each once"));
}

std::vector<DeviceRule> default_device_rules() {
  auto character = [](std::uint32_t major, std::optional<std::uint32_t> minor) {
    return DeviceRule{true, DeviceType::kCharacter, major, minor, kDeviceAll};
  };
  return {
      DeviceRule{false, DeviceType::kAll, {}, {}, kDeviceAll},
      DeviceRule{true, DeviceType::kCharacter, {}, {}, kDeviceMknod},
      DeviceRule{true, DeviceType::kBlock, {}, {}, kDeviceMknod},
      character(1, 3),     // null
      character(1, 5),     // zero
      character(1, 7),     // full
      character(1, 8),     // random
      character(1, 9),     // urandom
      character(5, 0),     // tty
      character(5, 1),     // console
      character(5, 2),     // ptmx
      character(136, {}),  // devpts
      character(10, 200),  // net/tun
  };
}

Result<std::vector<bpf_insn>> compile_device_rules(std::span<const DeviceRule> rules) {
  if (rules.size() > kMaxDeviceRules) {
    return invalid_argument(std::to_string(rules.size()) + " device rules, at most " + std::to_string(kMaxDeviceRules));
  }
  for (const DeviceRule& rule : rules) {
    if (rule.access == 0 || (rule.access & ~kDeviceAll) != 0) {
      return invalid_argument("device rule with access " + std::to_string(rule.access) +
                              ": expected some of r, w and m");
    }
  }
  // access_type has the kind of device in its lower half and the accesses wanted in its upper half.
  std::vector<bpf_insn> program = {
      load(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
      instruction(BPF_ALU | BPF_MOV | BPF_X, kWanted, kType, 0, 0),
      compute(BPF_RSH, kWanted, 16),
      compute(BPF_AND, kType, 0xffff),
      load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
      load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
      instruction(BPF_ALU | BPF_MOV | BPF_X, kDevice, kMajor, 0, 0),
      compute(BPF_LSH, kDevice, kMinorBits),
      instruction(BPF_ALU | BPF_OR | BPF_X, kDevice, kMinor, 0, 0),
  };
  auto block = questions_for(DeviceType::kBlock, rules), character = questions_for(DeviceType::kCharacter, rules);
  program.push_back(jump(BPF_JNE, kType, BPF_DEVCG_DEV_BLOCK, static_cast<std::int16_t>(block.size())));
  program.insert(program.end(), block.begin(), block.end());
  program.insert(program.end(), character.begin(), character.end());
  return program;
}

Status DeviceFilters::set(const Cgroup& cgroup, std::span<const DeviceRule> rules) {
  auto instructions = compile_device_rules(rules);
  if (!instructions) return fail_with(std::move(instructions.error()), words_for(cgroup));
  auto same = [&](const Loaded& each) {
    return std::ranges::equal(each.instructions, *instructions, [](const bpf_insn& a, const bpf_insn& b) {
      return std::memcmp(&a, &b, sizeof(bpf_insn)) == 0;
    });
  };
  auto found = std::ranges::find_if(kept_, same);
  if (found == kept_.end()) {
    auto program = load_program(*instructions);
    if (!program) return fail_with(std::move(program.error()), words_for(cgroup));
    if (kept_.size() == kMaxKept) kept_.pop_back();
    kept_.push_back({std::move(*instructions), std::move(*program)});
    found = kept_.end() - 1;
  }
  std::rotate(kept_.begin(), found, found + 1);
  auto set = put_in_force(cgroup, kept_.front().program);
  if (!set) return fail_with(std::move(set.error()), words_for(cgroup));
  return {};
}

}  // namespace gantry::cgroups
