// SPDX-License-Identifier: Apache-2.0
// Which devices the processes of a cgroup may make, read and write: a BPF program of type CGROUP_DEVICE, made from
// rules and attached to the cgroup, which is how cgroup v2 has it. It goes with the cgroup. Programs of the cgroups
// above are asked too, and all must allow. Source: bpf(2); Documentation/bpf. Needs CAP_BPF and CAP_NET_ADMIN or
// CAP_SYS_ADMIN. No RLIMIT_MEMLOCK is raised: since Linux 5.11 BPF memory is not counted by it.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroups/cgroup.h"
#include "sys/bpf.h"

namespace gantry::cgroups {

enum class DeviceType : std::uint8_t { kAll, kBlock, kCharacter };

// Bits of an access, as the kernel has them.
inline constexpr std::uint8_t kDeviceMknod = BPF_DEVCG_ACC_MKNOD;
inline constexpr std::uint8_t kDeviceRead = BPF_DEVCG_ACC_READ;
inline constexpr std::uint8_t kDeviceWrite = BPF_DEVCG_ACC_WRITE;
inline constexpr std::uint8_t kDeviceAll = kDeviceMknod | kDeviceRead | kDeviceWrite;

// For each kind of access, the last rule that names the device and that access decides; what no rule names is denied.
struct DeviceRule {
  bool allow = false;
  DeviceType type = DeviceType::kAll;
  std::optional<std::uint32_t> major, minor;  // nothing: any
  std::uint8_t access = kDeviceAll;
};
inline constexpr std::size_t kMaxDeviceRules = 1024;

// "rwm" in any order, each at most once, at least one.
Result<std::uint8_t> parse_device_access(std::string_view text);

// What every OCI runtime allows before a container's own rules: making any node; null, zero, full, random, urandom,
// tty, console, ptmx, the terminals of devpts, and net/tun (which does nothing without CAP_NET_ADMIN in the network
// namespace).
std::vector<DeviceRule> default_device_rules();

// The program for the rules. Its size is bounded by kMaxDeviceRules.
Result<std::vector<bpf_insn>> compile_device_rules(std::span<const DeviceRule> rules);

// Puts filters in force. The last few programs are kept: loading one costs about 0.1 ms, attaching it 2 us, and most
// containers have the same rules. One thread at a time.
class DeviceFilters {
 public:
  // Attaches the rules' program in the place of the one of ours that is attached here, if there is one: at no moment
  // are both or neither in force. Programs of others on the same cgroup stay.
  Status set(const Cgroup& cgroup, std::span<const DeviceRule> rules);

 private:
  struct Loaded {
    std::vector<bpf_insn> instructions;
    sys::BpfProgFd program;
  };
  std::vector<Loaded> kept_;  // last used first
};

}  // namespace gantry::cgroups
