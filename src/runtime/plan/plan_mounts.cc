// SPDX-License-Identifier: Apache-2.0
// What a container finds in its root beside the image: mounts, devices and links, and what is hidden from it. The
// defaults are containerd's. A mount of the spec takes the place of a default one on or beneath its target.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <utility>

#include "runtime/plan/plan_parts.h"
#include "runtime/plan/text.h"
#include "sys/mount.h"

namespace gantry::runtime {
namespace {

using sys::MountAttr;

constexpr std::uint64_t raw(MountAttr attributes) { return sys::raw(attributes); }
constexpr MountAttr kHarmless = MountAttr::kNoSuid | MountAttr::kNoDev | MountAttr::kNoExec;

constexpr std::uint32_t kDeviceMode = S_IFCHR | 0666;
constexpr std::uint32_t kTtyGroup = 5;

constexpr std::string_view kProcFiles[] = {
    "/proc/cpuinfo",  "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/net/dev",
    "/proc/slabinfo", "/proc/stat",      "/proc/swaps",   "/proc/uptime",  "/proc/sys/crypto/fips_enabled"};

MountPlan filesystem(std::string target, std::string type, MountAttr attributes, std::vector<std::string> options) {
  MountPlan mount;
  mount.kind = MountKind::kFilesystem;
  mount.target = std::move(target);
  mount.type = std::move(type);
  mount.options = std::move(options);
  mount.set_attributes = raw(attributes);
  return mount;
}

MountPlan shared_memory(const ContainerSpec& spec) {
  if (spec.private_shm_bytes) {
    return filesystem("/dev/shm", "tmpfs", kHarmless, {"mode=1777", cat("size=", *spec.private_shm_bytes)});
  }
  MountPlan mount;
  mount.kind = MountKind::kPodShm;
  mount.target = "/dev/shm";
  mount.set_attributes = raw(kHarmless);
  return mount;
}

// The host's hierarchy is cloned, never mounted anew (cgroups/hierarchy.h).
std::optional<MountPlan> cgroup_mount(const ContainerSpec& spec, const NamespacePlan& namespaces) {
  MountAttr attributes = spec.privileged || spec.cgroup_writable ? kHarmless : kHarmless | MountAttr::kReadOnly;
  if (namespaces.new_cgroup) return filesystem("/sys/fs/cgroup", "cgroup2", attributes, {});
  if (spec.host_cgroups == kNoFd) return std::nullopt;
  MountPlan mount;
  mount.kind = MountKind::kBind;
  mount.target = "/sys/fs/cgroup";
  mount.source = spec.host_cgroups;
  mount.set_attributes = raw(attributes);
  mount.clear_attributes = raw(MountAttr::kReadOnly) & ~mount.set_attributes;
  mount.tree_propagation = std::to_underlying(sys::Propagation::kPrivate);
  return mount;
}

std::vector<MountPlan> default_mounts(const ContainerSpec& spec, const NamespacePlan& namespaces) {
  std::vector<std::string> pts = {"newinstance", "ptmxmode=0666", "mode=0620"};
  // Who is in a user namespace can name none but its own ids.
  if (!spec.users || kTtyGroup < spec.users->gids) pts.push_back(cat("gid=", kTtyGroup));
  MountAttr system = spec.privileged ? kHarmless : kHarmless | MountAttr::kReadOnly;
  std::vector<MountPlan> mounts = {
      filesystem("/proc", "proc", kHarmless, {}),
      filesystem("/dev", "tmpfs", MountAttr::kNoSuid | MountAttr::kStrictAtime, {"mode=755", "size=65536k"}),
      filesystem("/dev/pts", "devpts", MountAttr::kNoSuid | MountAttr::kNoExec, std::move(pts)),
      shared_memory(spec),
      filesystem("/dev/mqueue", "mqueue", kHarmless, {}),
      filesystem("/sys", "sysfs", system, {}),
  };
  if (auto cgroups = cgroup_mount(spec, namespaces)) mounts.push_back(std::move(*cgroups));
  return mounts;
}

std::uint64_t propagation_of(PropagationSpec propagation) {
  switch (propagation) {
    case PropagationSpec::kPrivate:
      return std::to_underlying(sys::Propagation::kPrivate);
    case PropagationSpec::kHostToContainer:
      return std::to_underlying(sys::Propagation::kSlave);
    // The clone is in its source's peer group and stays there.
    case PropagationSpec::kBidirectional:
      return std::to_underlying(sys::Propagation::kUnchanged);
  }
  return std::to_underlying(sys::Propagation::kPrivate);
}

MountPlan bind(const BindMountSpec& spec, std::string target) {
  MountPlan mount;
  mount.kind = MountKind::kBind;
  mount.target = std::move(target);
  mount.source = spec.source;
  mount.target_is_file = spec.target_is_file;
  mount.set_attributes = spec.set_attributes;
  mount.clear_attributes = spec.clear_attributes;
  mount.tree_set_attributes = spec.tree_set_attributes;
  mount.tree_clear_attributes = spec.tree_clear_attributes;
  if (spec.read_only) {
    (spec.recursive_read_only ? mount.tree_set_attributes : mount.set_attributes) |= raw(MountAttr::kReadOnly);
  }
  mount.tree_propagation = propagation_of(spec.propagation);
  return mount;
}

Result<std::string> mount_target(std::string_view target) {
  auto clean = clean_path(target, "mount");
  if (clean && *clean == "/")
    return invalid_argument(cat("mount ", quoted(target), " is on the root, which can't be replaced"));
  return clean;
}

Status check_bind(const BindMountSpec& bind) {
  auto target = mount_target(bind.target);
  if (!target) return std::unexpected(std::move(target.error()));
  if (bind.recursive_read_only && !bind.read_only) {
    return invalid_argument(cat("mount ", quoted(bind.target), " is recursively read-only, but not read-only"));
  }
  if (bind.recursive_read_only && bind.propagation != PropagationSpec::kPrivate) {
    return invalid_argument(
        cat("mount ", quoted(bind.target), " is recursively read-only, which needs private propagation"));
  }
  if (auto s = check_proc_target(*target, bind.source_is_procfs); !s)
    return fail_with(std::move(s.error()), cat("mount ", quoted(bind.target)));
  return {};
}

// The spec's mounts, those nearer to the root first, so that none hides another.
Result<std::vector<MountPlan>> spec_mounts(const ContainerSpec& spec) {
  std::vector<MountPlan> mounts;
  auto depth = [](const MountPlan& mount) { return std::ranges::count(mount.target, '/'); };
  auto place = [&](MountPlan mount) {
    auto at = std::ranges::upper_bound(mounts, depth(mount), {}, depth);
    mounts.insert(at, std::move(mount));
  };
  for (const BindMountSpec& entry : spec.binds) {
    if (entry.source == kNoFd) return invalid_argument(cat("mount ", quoted(entry.target), " has no source"));
    auto target = mount_target(entry.target);
    if (!target) return std::unexpected(std::move(target.error()));
    place(bind(entry, std::move(*target)));
  }
  for (const TmpfsMountSpec& entry : spec.tmpfs) {
    auto target = mount_target(entry.target);
    if (!target) return std::unexpected(std::move(target.error()));
    MountAttr attributes = MountAttr::kNoSuid | MountAttr::kNoDev;
    if (entry.no_exec) attributes |= MountAttr::kNoExec;
    if (entry.read_only) attributes |= MountAttr::kReadOnly;
    place(filesystem(std::move(*target), "tmpfs", attributes, entry.options));
  }
  for (const ImageMountSpec& entry : spec.images) {
    auto target = mount_target(entry.target);
    if (!target) return std::unexpected(std::move(target.error()));
    MountPlan mount;
    mount.kind = MountKind::kImage;
    mount.target = std::move(*target);
    mount.target_is_file = entry.target_is_file;
    mount.options = {entry.overlay, entry.sub_path};
    mount.set_attributes = raw(MountAttr::kReadOnly | MountAttr::kNoSuid | MountAttr::kNoDev);
    place(std::move(mount));
  }
  return mounts;
}

// What the spec mounts is taken as it is: nothing is made where it lies, or in it.
void add_devices(const ContainerSpec& spec, const std::vector<MountPlan>& own, Plan& plan) {
  auto is_own = [&](std::string_view path) {
    return std::ranges::any_of(spec.devices, [&](const DeviceSpec& device) { return device.path == path; });
  };
  auto is_mounted = [&](std::string_view path) {
    return std::ranges::any_of(own, [&](const MountPlan& mount) { return is_within(path, mount.target); });
  };
  for (DevicePlan& device : default_devices()) {
    if (!is_own(device.path) && !is_mounted(device.path)) plan.devices.push_back(std::move(device));
  }
  for (const DeviceSpec& device : spec.devices) {
    // ptmx is the container's own, a link into its devpts; a terminal's console is put there by the launcher.
    if (device.path == "/dev/ptmx" || (spec.terminal && device.path == "/dev/console")) continue;
    if (is_mounted(device.path)) continue;
    plan.devices.push_back(device);
  }
  plan.links = default_links();
  plan.links.push_back({"/dev/core", "/proc/kcore"});
}

Status check_device(const DeviceSpec& device) {
  auto clean = clean_path(device.path, "device");
  if (!clean) return std::unexpected(std::move(clean.error()));
  if (*clean != device.path)
    return invalid_argument(cat("device ", quoted(device.path), " is no clean path: ", *clean, " was expected"));
  if (S_ISCHR(device.mode) || S_ISBLK(device.mode) || S_ISFIFO(device.mode)) return {};
  return invalid_argument(cat("device ", quoted(device.path), " is neither a character nor a block device"));
}

Result<std::vector<PlanString>> clean_paths(const std::vector<std::string>& paths, std::string_view what) {
  std::vector<PlanString> out;
  out.reserve(paths.size());
  for (const std::string& path : paths) {
    auto clean = clean_path(path, what);
    if (!clean) return std::unexpected(std::move(clean.error()));
    out.push_back(std::move(*clean));
  }
  return out;
}

}  // namespace

std::vector<DevicePlan> default_devices() {
  constexpr auto kDevices = std::to_array<std::tuple<const char*, std::uint32_t, std::uint32_t>>({
      {"/dev/null", 1, 3},
      {"/dev/zero", 1, 5},
      {"/dev/full", 1, 7},
      {"/dev/random", 1, 8},
      {"/dev/urandom", 1, 9},
      {"/dev/tty", 5, 0},
  });
  std::vector<DevicePlan> devices;
  for (auto [path, major, minor] : kDevices) devices.push_back({path, kDeviceMode, major, minor, 0, 0});
  return devices;
}

std::vector<LinkPlan> default_links() {
  return {{"/dev/fd", "/proc/self/fd"},
          {"/dev/stdin", "/proc/self/fd/0"},
          {"/dev/stdout", "/proc/self/fd/1"},
          {"/dev/stderr", "/proc/self/fd/2"},
          {"/dev/ptmx", "pts/ptmx"}};
}

bool is_within(std::string_view path, std::string_view folder) {
  if (!path.starts_with(folder)) return false;
  return path.size() == folder.size() || folder == "/" || path[folder.size()] == '/';
}

Status check_proc_target(std::string_view target, bool is_procfs) {
  if (!is_within(target, "/proc")) return {};
  if (target == "/proc" ? is_procfs : std::ranges::find(kProcFiles, target) != std::end(kProcFiles)) return {};
  return invalid_argument(cat(quoted(target), " is inside /proc, where only a procfs may be mounted"));
}

std::vector<std::string> default_masked_paths(const HostFacts& host) {
  std::vector<std::string> paths = {"/proc/acpi",
                                    "/proc/asound",
                                    "/proc/interrupts",
                                    "/proc/kcore",
                                    "/proc/keys",
                                    "/proc/latency_stats",
                                    "/proc/sched_debug",
                                    "/proc/scsi",
                                    "/proc/timer_list",
                                    "/proc/timer_stats",
                                    "/sys/devices/virtual/powercap",
                                    "/sys/firmware"};
  for (std::uint32_t cpu : host.thermal_cpus)
    paths.push_back(cat("/sys/devices/system/cpu/cpu", cpu, "/thermal_throttle"));
  return paths;
}

std::vector<std::string> default_read_only_paths() {
  return {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
}

Status check_mounts(const ContainerSpec& spec) {
  for (const BindMountSpec& bind : spec.binds) {
    if (auto s = check_bind(bind); !s) return s;
  }
  for (const TmpfsMountSpec& tmpfs : spec.tmpfs) {
    auto target = mount_target(tmpfs.target);
    if (!target) return std::unexpected(std::move(target.error()));
    if (is_within(*target, "/proc")) return invalid_argument(cat("mount ", quoted(tmpfs.target), " is inside /proc"));
  }
  for (const ImageMountSpec& image : spec.images) {
    auto target = mount_target(image.target);
    if (!target) return std::unexpected(std::move(target.error()));
    if (is_within(*target, "/proc")) return invalid_argument(cat("mount ", quoted(image.target), " is inside /proc"));
  }
  for (const DeviceSpec& device : spec.devices) {
    if (auto s = check_device(device); !s) return s;
  }
  return {};
}

Status plan_root(const ContainerSpec& spec, const HostFacts& host, Plan& plan) {
  auto own = spec_mounts(spec);
  if (!own) return std::unexpected(std::move(own.error()));
  bool own_dev = false;
  for (MountPlan& mount : default_mounts(spec, plan.namespaces)) {
    auto hides =
        std::ranges::find_if(*own, [&](const MountPlan& other) { return is_within(mount.target, other.target); });
    if (hides == own->end()) {
      plan.mounts.push_back(std::move(mount));
    } else if (mount.target == "/dev") {
      own_dev = true;
    }
  }
  // In a /dev of the spec's own (the host's, say) nothing is made.
  if (!own_dev) add_devices(spec, *own, plan);
  std::ranges::move(*own, std::back_inserter(plan.mounts));
  if (spec.privileged) return {};
  auto masked = clean_paths(spec.masked_paths ? *spec.masked_paths : default_masked_paths(host), "masked path");
  if (!masked) return std::unexpected(std::move(masked.error()));
  plan.masked_paths = std::move(*masked);
  auto read_only =
      clean_paths(spec.read_only_paths ? *spec.read_only_paths : default_read_only_paths(), "read-only path");
  if (!read_only) return std::unexpected(std::move(read_only.error()));
  plan.read_only_paths = std::move(*read_only);
  return {};
}

}  // namespace gantry::runtime
