// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "cri/open_parts.h"
#include "cri/text.h"
#include "sys/file.h"
#include "sys/folders.h"

namespace gantry::cri {
namespace {

constexpr unsigned kMaxDevices = 4096;  // of one folder
constexpr int kMaxDeviceDepth = 8;
constexpr std::uint32_t kMode = 0666;  // of a CDI device that says none, as OCI has it

runtime::DeviceSpec device_spec(const struct stat& info, std::string path) {
  return {.path = std::move(path),
          .mode = info.st_mode & (S_IFMT | 0777),
          .major = major(info.st_rdev),
          .minor = minor(info.st_rdev),
          .uid = info.st_uid,
          .gid = info.st_gid};
}

bool is_device(const struct stat& info) { return S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode); }

// Every device node beneath a folder of the host's, as `path` and beneath it; file systems that are mounted there have
// their own ways in.
Status list_devices(FdRef folder, const std::string& path, int depth, std::vector<runtime::DeviceSpec>& devices) {
  auto names = sys::list_dir(folder);
  if (!names) return fail_with(std::move(names.error()), path);
  for (const auto& name : *names) {
    auto info = sys::fstatat(folder, name.c_str(), AT_SYMLINK_NOFOLLOW);
    if (!info) continue;  // went away meanwhile
    std::string full = cat(path, "/", name);
    if (is_device(*info) && full != "/dev/console" && full != "/dev/ptmx") {
      if (devices.size() >= kMaxDevices) {
        return fail(Code::kResourceExhausted, cat("more than ", kMaxDevices, " devices beneath ", path));
      }
      devices.push_back(device_spec(*info, full));
    } else if (S_ISDIR(info->st_mode) && depth < kMaxDeviceDepth) {
      auto child = sys::openat2(folder, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW,
                                sys::Resolve::kBeneath | sys::Resolve::kNoXdev);
      if (!child) continue;  // a mount (devpts, shm, mqueue), or gone
      if (auto added = list_devices(*child, full, depth + 1, devices); !added) return added;
    }
  }
  return {};
}

// In the place of another one on its path.
void put(Launch& launch, runtime::DeviceSpec device, std::uint8_t access) {
  if (!launch.spec.privileged && access != 0 && !S_ISFIFO(device.mode)) {
    launch.device_rules.push_back(
        {.allow = true,
         .type = S_ISBLK(device.mode) ? cgroups::DeviceType::kBlock : cgroups::DeviceType::kCharacter,
         .major = device.major,
         .minor = device.minor,
         .access = access});
  }
  auto& devices = launch.spec.devices;
  std::erase_if(devices, [&](const runtime::DeviceSpec& other) { return other.path == device.path; });
  devices.push_back(std::move(device));
}

// ---- the configuration's

// A device, or a folder of them.
Result<std::vector<runtime::DeviceSpec>> find_devices(const v1::Device& device) {
  auto info = sys::fstatat(sys::kCwd, device.host_path().c_str(), 0);
  if (!info) return std::unexpected(std::move(info.error()));
  std::string path(without_suffix(device.container_path(), "/"));
  if (is_device(*info)) return std::vector{device_spec(*info, std::move(path))};
  if (!S_ISDIR(info->st_mode)) return invalid_argument("is neither a device nor a folder of devices");
  auto folder = sys::open_dir(sys::kCwd, device.host_path().c_str());
  if (!folder) return std::unexpected(std::move(folder.error()));
  std::vector<runtime::DeviceSpec> devices;
  if (auto listed = list_devices(*folder, path, 0, devices); !listed) return std::unexpected(std::move(listed.error()));
  if (devices.empty()) return invalid_argument("is a folder without devices");
  return devices;
}

Status add_device(const v1::Device& device, const LaunchRequest& request, Launch& launch) {
  auto found = find_devices(device);
  if (!found) return fail_with(std::move(found.error()), cat("devices.host_path ", quoted(device.host_path())));
  std::uint8_t access = cgroups::kDeviceAll;
  if (!device.permissions().empty()) {
    auto parsed = cgroups::parse_device_access(device.permissions());
    if (!parsed) return fail_with(std::move(parsed.error()), "devices.permissions");
    access = *parsed;
  }
  const auto& security = request.config.linux().security_context();
  for (auto& each : *found) {
    // Both were checked as the user's ids.
    if (request.owns_devices && security.has_run_as_user()) {
      each.uid = static_cast<std::uint32_t>(security.run_as_user().value());
    }
    if (request.owns_devices && security.has_run_as_group()) {
      each.gid = static_cast<std::uint32_t>(security.run_as_group().value());
    }
    put(launch, std::move(each), access);
  }
  return {};
}

// ---- those of CDI devices

Result<runtime::DeviceSpec> node_device(const cdi::DeviceNode& node) {
  if (node.is_complete()) {
    std::uint32_t kind = node.type == 'b' ? S_IFBLK : node.type == 'p' ? S_IFIFO : S_IFCHR;
    return runtime::DeviceSpec{.mode = kind, .major = node.major.value_or(0), .minor = node.minor.value_or(0)};
  }
  auto info = sys::fstatat(sys::kCwd, node.host_path.c_str(), 0);
  if (!info) return std::unexpected(std::move(info.error()).with_code(Code::kFailedPrecondition));
  if (!is_device(*info)) return fail(Code::kFailedPrecondition, cat(quoted(node.host_path), " is no device"));
  if (node.type != 0 && (node.type == 'b') != S_ISBLK(info->st_mode)) {
    return fail(Code::kFailedPrecondition,
                cat(quoted(node.host_path), " is a ", S_ISBLK(info->st_mode) ? "block" : "character",
                    " device: the specification has it otherwise"));
  }
  runtime::DeviceSpec device = device_spec(*info, "");
  device.mode &= S_IFMT;
  if (node.major.value_or(0) != 0) {
    device.major = *node.major;
    device.minor = node.minor.value_or(0);
  }
  return device;
}

Status add_node(const cdi::DeviceNode& node, const LaunchRequest& request, Launch& launch) {
  auto device = node_device(node);
  if (!device) return std::unexpected(std::move(device.error()));
  device->path = node.path;
  device->mode |= node.mode.value_or(kMode) & 0777;
  device->uid = node.uid.value_or(request.uid);
  device->gid = node.gid.value_or(request.gid);
  std::uint8_t access = node.permissions == "none" ? 0 : cgroups::kDeviceAll;
  if (access != 0 && !node.permissions.empty()) {
    auto parsed = cgroups::parse_device_access(node.permissions);
    if (!parsed) return std::unexpected(std::move(parsed.error()));
    access = *parsed;
  }
  put(launch, std::move(*device), access);
  return {};
}

}  // namespace

Status add_devices(const LaunchRequest& request, Launch& launch) {
  if (launch.spec.privileged) {
    auto dev = sys::open_dir(sys::kCwd, "/dev");
    if (!dev) return std::unexpected(std::move(dev.error()));
    if (auto listed = list_devices(*dev, "/dev", 0, launch.spec.devices); !listed) return listed;
  } else {
    launch.device_rules = cgroups::default_device_rules();
    for (const auto& device : request.config.devices()) {
      if (auto added = add_device(device, request, launch); !added) return added;
    }
  }
  for (const auto& node : request.edits.nodes) {
    if (auto added = add_node(node, request, launch); !added) {
      return fail_with(std::move(added.error()), cat("node of the CDI devices ", quoted(node.path)));
    }
  }
  return {};
}

}  // namespace gantry::cri
