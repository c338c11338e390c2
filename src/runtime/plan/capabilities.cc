// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/capabilities.h"

#include <linux/capability.h>

#include <array>

#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

// By number. The numbers are the kernel's interface and never change.
constexpr std::array<std::string_view, kLastNamedCapability + 1> kNames = {"CHOWN",
                                                                           "DAC_OVERRIDE",
                                                                           "DAC_READ_SEARCH",
                                                                           "FOWNER",
                                                                           "FSETID",
                                                                           "KILL",
                                                                           "SETGID",
                                                                           "SETUID",
                                                                           "SETPCAP",
                                                                           "LINUX_IMMUTABLE",
                                                                           "NET_BIND_SERVICE",
                                                                           "NET_BROADCAST",
                                                                           "NET_ADMIN",
                                                                           "NET_RAW",
                                                                           "IPC_LOCK",
                                                                           "IPC_OWNER",
                                                                           "SYS_MODULE",
                                                                           "SYS_RAWIO",
                                                                           "SYS_CHROOT",
                                                                           "SYS_PTRACE",
                                                                           "SYS_PACCT",
                                                                           "SYS_ADMIN",
                                                                           "SYS_BOOT",
                                                                           "SYS_NICE",
                                                                           "SYS_RESOURCE",
                                                                           "SYS_TIME",
                                                                           "SYS_TTY_CONFIG",
                                                                           "MKNOD",
                                                                           "LEASE",
                                                                           "AUDIT_WRITE",
                                                                           "AUDIT_CONTROL",
                                                                           "SETFCAP",
                                                                           "MAC_OVERRIDE",
                                                                           "MAC_ADMIN",
                                                                           "SYSLOG",
                                                                           "WAKE_ALARM",
                                                                           "BLOCK_SUSPEND",
                                                                           "AUDIT_READ",
                                                                           "PERFMON",
                                                                           "BPF",
                                                                           "CHECKPOINT_RESTORE"};
static_assert(CAP_NET_BIND_SERVICE == 10 && CAP_SYS_ADMIN == 21 && CAP_SYSLOG == 34 && CAP_CHECKPOINT_RESTORE == 40);

}  // namespace

const CapabilitySet kDefaultCapabilities =
    capability_bit(CAP_CHOWN) | capability_bit(CAP_DAC_OVERRIDE) | capability_bit(CAP_FSETID) |
    capability_bit(CAP_FOWNER) | capability_bit(CAP_MKNOD) | capability_bit(CAP_NET_RAW) | capability_bit(CAP_SETGID) |
    capability_bit(CAP_SETUID) | capability_bit(CAP_SETFCAP) | capability_bit(CAP_SETPCAP) |
    capability_bit(CAP_NET_BIND_SERVICE) | capability_bit(CAP_SYS_CHROOT) | capability_bit(CAP_KILL) |
    capability_bit(CAP_AUDIT_WRITE);

Result<int> capability_number(std::string_view name) {
  std::string_view bare = name;
  if (starts_ignoring_case(bare, "CAP_")) bare.remove_prefix(4);
  for (std::size_t number = 0; number < kNames.size(); ++number) {
    if (equals_ignoring_case(kNames[number], bare)) return static_cast<int>(number);
  }
  return invalid_argument(cat("capability ", quoted(name), " is unknown: a name as in capabilities(7) was expected"));
}

std::string capability_name(int number) {
  if (number >= 0 && number <= kLastNamedCapability) return cat("CAP_", kNames[static_cast<std::size_t>(number)]);
  return cat("CAP_", number);
}

Result<CapabilitySet> parse_capabilities(std::span<const std::string> names, CapabilitySet all) {
  CapabilitySet set = 0;
  for (const std::string& name : names) {
    if (equals_ignoring_case(name, "ALL")) {
      set |= all;
      continue;
    }
    auto number = capability_number(name);
    if (!number) return std::unexpected(std::move(number.error()));
    set |= capability_bit(*number);
  }
  return set;
}

std::string to_string_capabilities(CapabilitySet set) {
  std::string text;
  for (int number = 0; number < 64; ++number) {
    if ((set & capability_bit(number)) == 0) continue;
    text += (text.empty() ? "" : " ") + capability_name(number);
  }
  return text.empty() ? "none" : text;
}

}  // namespace gantry::runtime
