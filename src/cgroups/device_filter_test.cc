// SPDX-License-Identifier: Apache-2.0
#include "cgroups/device_filter.h"

#include <gtest/gtest.h>

namespace gantry::cgroups {
namespace {

// Runs a filter as the kernel would: the few instructions that it is made of, and any other fails the test.
bool allows(const std::vector<bpf_insn>& program, std::uint32_t type, std::uint32_t major, std::uint32_t minor,
            std::uint32_t access) {
  const std::uint32_t context[] = {(access << 16) | type, major, minor};
  std::uint64_t regs[11] = {};
  for (std::size_t at = 0; at < program.size(); ++at) {
    const bpf_insn& i = program[at];
    auto immediate = static_cast<std::uint32_t>(i.imm);
    auto& target = regs[i.dst_reg];
    auto low = static_cast<std::uint32_t>(target);
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        target = context[i.off / 4];
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
        target = static_cast<std::uint32_t>(regs[i.src_reg]);
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        target = low >> immediate;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        target = low & immediate;
        break;
      case BPF_ALU | BPF_LSH | BPF_K:
        target = low << immediate;
        break;
      case BPF_ALU | BPF_OR | BPF_X:
        target = low | static_cast<std::uint32_t>(regs[i.src_reg]);
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        target = immediate;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        at += low != immediate ? static_cast<std::size_t>(i.off) : 0;
        break;
      case BPF_JMP32 | BPF_JSET | BPF_K:
        at += (low & immediate) != 0 ? static_cast<std::size_t>(i.off) : 0;
        break;
      case BPF_JMP | BPF_JA:
        at += static_cast<std::size_t>(i.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return regs[0] != 0;
      default:
        ADD_FAILURE() << "instruction " << int{i.code};
        return false;
    }
  }
  ADD_FAILURE() << "fell off the end";
  return false;
}

constexpr std::uint32_t kBlock = BPF_DEVCG_DEV_BLOCK, kChar = BPF_DEVCG_DEV_CHAR;

std::vector<bpf_insn> compiled(const std::vector<DeviceRule>& rules) {
  auto program = compile_device_rules(rules);
  EXPECT_TRUE(program.has_value()) << program.error().message();
  return *program;
}

TEST(DeviceFilterTest, NoRulesDenyAll) {
  auto program = compiled({});
  EXPECT_FALSE(allows(program, kChar, 1, 3, kDeviceRead));
  EXPECT_FALSE(allows(program, kBlock, 8, 0, kDeviceMknod));
}

TEST(DeviceFilterTest, DefaultsOfRuntimes) {
  auto program = compiled(default_device_rules());
  EXPECT_TRUE(allows(program, kChar, 1, 3, kDeviceRead | kDeviceWrite)) << "null";
  EXPECT_TRUE(allows(program, kChar, 136, 1234, kDeviceAll)) << "a terminal";
  EXPECT_TRUE(allows(program, kBlock, 8, 0, kDeviceMknod)) << "any node may be made";
  EXPECT_FALSE(allows(program, kBlock, 8, 0, kDeviceRead));
  EXPECT_FALSE(allows(program, kChar, 1, 1, kDeviceRead)) << "mem";
  EXPECT_FALSE(allows(program, kBlock, 1, 3, kDeviceRead)) << "a block device with null's numbers";
  EXPECT_FALSE(allows(program, kChar, 10, 229, kDeviceRead)) << "fuse";
}

TEST(DeviceFilterTest, TheLastRuleForEachAccessDecides) {
  DeviceRule all{true, DeviceType::kAll, {}, {}, kDeviceAll};
  DeviceRule no_write{false, DeviceType::kBlock, 8, {}, kDeviceWrite};
  DeviceRule but_one{true, DeviceType::kBlock, 8, 16, kDeviceWrite};
  auto program = compiled({all, no_write, but_one});
  EXPECT_TRUE(allows(program, kBlock, 8, 0, kDeviceRead));
  EXPECT_FALSE(allows(program, kBlock, 8, 0, kDeviceWrite));
  EXPECT_FALSE(allows(program, kBlock, 8, 0, kDeviceRead | kDeviceWrite)) << "one denied access is enough";
  EXPECT_TRUE(allows(program, kBlock, 8, 16, kDeviceRead | kDeviceWrite));
  EXPECT_TRUE(allows(program, kChar, 8, 0, kDeviceWrite)) << "another kind of device";
  // Read from one rule and write from another make up both.
  auto pieces = compiled(
      {{true, DeviceType::kCharacter, 5, 1, kDeviceRead}, {true, DeviceType::kCharacter, 5, {}, kDeviceWrite}});
  EXPECT_TRUE(allows(pieces, kChar, 5, 1, kDeviceRead | kDeviceWrite));
  EXPECT_FALSE(allows(pieces, kChar, 5, 2, kDeviceRead | kDeviceWrite));
}

TEST(DeviceFilterTest, LargestNumbersAreNotSigned) {
  auto program = compiled({{true, DeviceType::kCharacter, 0xfff, 0xfffff, kDeviceRead}});
  EXPECT_TRUE(allows(program, kChar, 0xfff, 0xfffff, kDeviceRead));
  EXPECT_FALSE(allows(program, kChar, 0x7ff, 0xfffff, kDeviceRead));
}

TEST(DeviceFilterTest, NumbersThatNoDeviceHasAreNobodys) {
  // Were their lowest bits taken, these would be null.
  auto program = compiled({{true, DeviceType::kCharacter, 0x1001, 3, kDeviceAll},
                           {true, DeviceType::kCharacter, 0, 0x100003, kDeviceAll},
                           {true, DeviceType::kCharacter, 0x1001, {}, kDeviceAll},
                           {true, DeviceType::kCharacter, {}, 0x100003, kDeviceAll}});
  EXPECT_FALSE(allows(program, kChar, 1, 3, kDeviceRead));
}

TEST(DeviceFilterTest, AgreesWithTheRulesOnEveryCombination) {
  // Every pair of rules out of a small world, against the sentence in the header.
  std::vector<DeviceRule> rules;
  for (bool allow : {false, true}) {
    for (auto type : {DeviceType::kAll, DeviceType::kBlock}) {
      for (std::optional<std::uint32_t> major : {std::optional<std::uint32_t>(), std::optional<std::uint32_t>(1)}) {
        for (std::uint8_t access = 1; access <= kDeviceAll; ++access) rules.push_back({allow, type, major, {}, access});
      }
    }
  }
  for (const DeviceRule& first : rules) {
    for (const DeviceRule& second : rules) {
      auto program = compiled({first, second});
      for (std::uint32_t type : {kBlock, kChar}) {
        for (std::uint32_t major : {1U, 2U}) {
          std::uint32_t allowed = 0;
          for (const DeviceRule* rule : {&first, &second}) {
            bool matches =
                (rule->type == DeviceType::kAll || type == kBlock) && (!rule->major || *rule->major == major);
            if (matches) allowed = rule->allow ? allowed | rule->access : allowed & ~std::uint32_t{rule->access};
          }
          for (std::uint32_t wanted = 1; wanted <= kDeviceAll; ++wanted) {
            ASSERT_EQ(allows(program, type, major, 0, wanted), (wanted & ~allowed) == 0);
          }
        }
      }
    }
  }
}

TEST(DeviceFilterTest, BadRulesAreRefused) {
  EXPECT_FALSE(compile_device_rules(std::vector<DeviceRule>(kMaxDeviceRules + 1)).has_value());
  EXPECT_TRUE(compile_device_rules(std::vector<DeviceRule>(kMaxDeviceRules)).has_value());
  EXPECT_FALSE(compile_device_rules(std::vector{DeviceRule{true, DeviceType::kAll, {}, {}, 0}}).has_value());
  EXPECT_FALSE(compile_device_rules(std::vector{DeviceRule{true, DeviceType::kAll, {}, {}, 8}}).has_value());
  EXPECT_EQ(*parse_device_access("mr"), kDeviceMknod | kDeviceRead);
  for (const char* text : {"", "rr", "x", "rwx", "r "})
    EXPECT_TRUE(parse_device_access(text).error().is_invalid()) << text;
}

}  // namespace
}  // namespace gantry::cgroups
