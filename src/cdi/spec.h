// SPDX-License-Identifier: Apache-2.0
// A specification of the Container Device Interface 1.x: which devices of one kind there are, and what a container gets
// with each. Written by the administrator or a driver's programs; JSON or YAML. Pure; any thread.
//
// As the interface has it, a file with an unknown field, or without a device, is wrong as a whole.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/launch/run_hooks.h"

namespace gantry::cdi {

inline constexpr std::size_t kMaxSpecBytes = 1U << 20;
inline constexpr std::size_t kMaxNameBytes = 512;  // of "vendor/class=name"

struct DeviceNode {
  std::string path;       // in the container
  std::string host_path;  // where the host has it; `path` when it is not given
  char type = 0;          // 'c', 'b' or 'p'; 0: as the host's is
  std::optional<std::uint32_t> major, minor, mode, uid, gid;
  // Some of "rwm"; "" for all, "none" for none: the container has the node, and what else lets it use that.
  std::string permissions;

  // It says itself what it is: the host need not have it.
  bool is_complete() const { return type != 0 && (type == 'p' || major.value_or(0) != 0); }
};

struct Mount {
  std::string host_path, container_path;
  std::string type;  // "", "none" or "bind", or a file system's
  std::vector<std::string> options;
};

// What a container gets.
struct Edits {
  std::vector<std::string> env;  // "NAME=value", over the container's own
  std::vector<DeviceNode> nodes;
  std::vector<Mount> mounts;
  std::vector<std::uint32_t> groups;
  std::vector<runtime::Hook> hooks;                                            // createContainer
  std::map<std::string, std::vector<runtime::Hook>, std::less<>> other_hooks;  // by their kind: "poststop"
  // What they ask for that this runtime does not do: "intelRdt".
  std::vector<std::string> unsupported;

  bool is_empty() const {
    return env.empty() && nodes.empty() && mounts.empty() && groups.empty() && hooks.empty() && other_hooks.empty() &&
           unsupported.empty();
  }
};

struct Device {
  std::string name;
  std::string edits;  // a containerEdits object as JSON
};
struct Spec {
  std::string kind;   // "vendor.com/class"
  std::string edits;  // of each container that has one of the devices; "" for none
  std::vector<Device> devices;
};

// Errors name the field, the value and what was expected, or the line.
Result<Spec> parse_spec(std::string_view text);

// JSON: a list of containerEdits objects, which go one after the other; what resolve() gives.
Result<Edits> parse_edits(std::string_view text);

// "vendor.com/class=name", taken apart: a kind and a name. kInvalidArgument says which part is wrong.
struct DeviceName {
  std::string_view kind, name;
};
Result<DeviceName> parse_device_name(std::string_view text);

}  // namespace gantry::cdi
