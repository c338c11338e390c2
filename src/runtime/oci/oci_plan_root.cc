// SPDX-License-Identifier: Apache-2.0
// Mounts, devices, links and paths of an OCI container.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "runtime/oci/mount_options.h"
#include "runtime/oci/oci_plan.h"
#include "runtime/plan/plan_parts.h"

namespace gantry::runtime::oci {
namespace {

Result<std::string> target_of(const std::string& destination, std::string_view field) {
  // The specification takes one that is not absolute as beneath the root.
  auto clean = clean_path(destination.starts_with('/') ? destination : cat("/", destination), cat(field, ":"));
  if (clean && *clean == "/") return invalid_argument(cat(field, ": ", quoted(destination), " is the root itself"));
  return clean;
}

// SELinux's label of all that is in a new file system. The kernel's own ones have their policy's.
void add_label(const std::string& type, const std::string& label, std::vector<std::string>& data) {
  bool says = false;
  for (std::string& option : data) {
    std::size_t equals = option.find('=');
    if (equals == std::string::npos || !std::string_view(option).substr(0, equals).ends_with("context")) continue;
    says = true;
    // Quotes are for commas, in mount(2)'s one string of options.
    if (option.size() > equals + 2 && option[equals + 1] == '"' && option.ends_with('"'))
      option = option.substr(0, equals + 1) + option.substr(equals + 2, option.size() - equals - 3);
  }
  bool is_kernels = type == "proc" || type == "sysfs" || type == "mqueue";
  if (!says && !label.empty() && !is_kernels) data.push_back(cat("context=", label));
}

void add_filesystem(const Config& config, const Mount& mount, MountOptions options, IdMappings ids, MountPlan plan,
                    std::string field, PlannedContainer& out) {
  auto& sources = out.sources;
  auto from_host = [&](Source source) {
    source.mount = out.plan.mounts.size();
    source.field = std::move(field);
    source.ids = std::move(ids);
    plan.kind = MountKind::kBindInTurn;
    plan.source = static_cast<FdIndex>(sources.size());
    sources.push_back(std::move(source));
  };
  bool is_cgroup = mount.type == "cgroup" || mount.type == "cgroup2";
  plan.set_attributes = sys::raw(options.set);
  if (is_cgroup) {
    options.data.clear();
  } else {
    add_label(mount.type, out.mount_label, options.data);
  }
  // For most a mere name, which /proc/mounts shows.
  if (!mount.source.empty() && mount.source != "none")
    options.data.insert(options.data.begin(), cat("source=", mount.source));
  if (is_cgroup && !config.linux_.of(NamespaceKind::kCgroup).is_listed) {
    // The host's hierarchy is cloned, never mounted anew (cgroups/hierarchy.h).
    from_host({.kind = Source::Kind::kHostCgroups});
    plan.clear_attributes = sys::raw(options.clear);
  } else if (is_cgroup) {
    plan.type = "cgroup2";
    plan.options = std::move(options.data);
  } else if (mount.type == "tmpfs" && (options.copies_up || !ids.is_empty())) {
    from_host({.kind = Source::Kind::kFilesystem,
               .type = "tmpfs",
               .options = std::move(options.data),
               .copies_up = options.copies_up});
  } else if (mount.type == "proc" || mount.type == "sysfs" || mount.type == "devpts" || mount.type == "mqueue" ||
             mount.type == "tmpfs") {
    plan.type = mount.type;
    plan.options = std::move(options.data);
  } else {
    // Its source and options may name files of the host.
    if (sys::has(options.set, sys::MountAttr::kReadOnly)) options.data.emplace_back("ro");
    from_host({.kind = Source::Kind::kFilesystem,
               .type = mount.type,
               .options = std::move(options.data),
               .attributes = sys::raw(options.set)});
    plan.set_attributes = 0;
  }
  out.plan.mounts.push_back(std::move(plan));
}

// The ids of an idmapped mount: its own mappings, or the container's.
Result<IdMappings> ids_of(const Config& config, const Mount& mount, const MountOptions& options, bool is_bind,
                          const std::string& field) {
  if (!options.maps_ids && mount.ids.is_empty()) return IdMappings();
  // Those that are made anew for each container belong to its user namespace.
  constexpr auto kNever = std::to_array<std::string_view>({"proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"});
  if (!is_bind && std::ranges::find(kNever, mount.type) != kNever.end())
    return invalid_argument(cat(field, ": the kernel maps no ids of file system ", quoted(mount.type)));
  if (!mount.ids.is_empty()) return mount.ids;
  if (config.linux_.of(NamespaceKind::kUser).is_new()) return config.linux_.ids;
  return invalid_argument(cat(field, ".options: idmap needs uidMappings and gidMappings, or a new user namespace's"));
}

Status add_mount(const Config& config, const Mount& mount, std::size_t index, PlannedContainer& out) {
  std::string field = cat("mounts[", index, "]");
  auto target = target_of(mount.destination, cat(field, ".destination"));
  if (!target) return std::unexpected(std::move(target.error()));
  auto options = parse_mount_options(mount.options, mount.type == "bind" || mount.type == "rbind");
  if (!options) return fail_with(std::move(options.error()), cat(field, ".options"));
  bool is_bind = options->is_bind;
  if (options->copies_up && (is_bind || mount.type != "tmpfs"))
    return invalid_argument(cat(field, ".options: tmpcopyup is for a tmpfs alone"));
  // What is bound there is looked at when it is opened.
  bool is_bound_proc = is_bind && *target == "/proc";
  if (auto s = check_proc_target(*target, is_bound_proc || (!is_bind && mount.type == "proc")); !s)
    return fail_with(std::move(s.error()), cat(field, ".destination"));
  auto ids = ids_of(config, mount, *options, is_bind, field);
  if (!ids) return std::unexpected(std::move(ids.error()));
  MountPlan plan;
  plan.target = std::move(*target);
  plan.tree_set_attributes = sys::raw(options->tree_set);
  plan.tree_clear_attributes = sys::raw(options->tree_clear);
  // The root of a container in another mount namespace is a clone of all that was mounted, but for what is unbindable.
  bool is_cloned = !config.linux_.of(NamespaceKind::kMount).is_new();
  for (auto* how : {&options->propagation, &options->tree_propagation}) {
    if (is_cloned && *how == sys::Propagation::kUnbindable) *how = sys::Propagation::kPrivate;
  }
  plan.propagation = std::to_underlying(options->propagation);
  plan.tree_propagation = std::to_underlying(options->tree_propagation);
  if (!is_bind) {
    if (mount.type.empty() || mount.type == "none")
      return invalid_argument(cat(field, ".type: is missing: a file system, or the option bind, was expected"));
    add_filesystem(config, mount, std::move(*options), std::move(*ids), std::move(plan), std::move(field), out);
    return {};
  }
  if (mount.source.empty()) return invalid_argument(cat(field, ".source: is missing: what to bind was expected"));
  plan.kind = MountKind::kBindInTurn;
  plan.set_attributes = sys::raw(options->set);
  plan.clear_attributes = sys::raw(options->clear);
  // A clone is in its source's peer group. Unless it is asked for, nothing of the container's shows on the host.
  bool says =
      options->propagation != sys::Propagation::kUnchanged || options->tree_propagation != sys::Propagation::kUnchanged;
  if (!says)
    plan.tree_propagation = out.plan.root.propagation == std::to_underlying(sys::Propagation::kPrivate)
                                ? std::to_underlying(sys::Propagation::kPrivate)
                                : std::to_underlying(sys::Propagation::kSlave);
  plan.source = static_cast<FdIndex>(out.sources.size());
  out.sources.push_back({.kind = Source::Kind::kBind,
                         .path = mount.source,
                         .is_recursive = options->is_recursive || mount.type == "rbind",
                         .ids = std::move(*ids),
                         .maps_ids_of_tree = options->maps_ids_of_tree,
                         .must_be_procfs = is_bound_proc,
                         .mount = out.plan.mounts.size(),
                         .field = cat(field, ".source")});
  out.plan.mounts.push_back(std::move(plan));
  return {};
}

std::uint32_t type_bits(const std::string& type) {
  if (type == "b") return S_IFBLK;
  return type == "p" ? S_IFIFO : S_IFCHR;
}

// A user namespace makes no devices: the host's are bound. What holds no state but its readers' is made there too.
void bind_devices(PlannedContainer& out) {
  auto& devices = out.plan.devices;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (S_ISFIFO(devices[i].mode)) continue;
    devices[i].source = add_source(out, {.kind = Source::Kind::kDevice,
                                         .path = devices[i].path,
                                         .is_recursive = false,
                                         .mount = i,
                                         .field = cat("linux.devices, ", devices[i].path)});
  }
}

Status add_devices(const Config& config, Plan& plan) {
  // What is mounted is taken as it is: nothing is made in it.
  auto is_covered = [&](std::string_view path) {
    return std::ranges::any_of(plan.mounts, [&](const MountPlan& mount) {
      bool is_own_dev = mount.kind == MountKind::kFilesystem && mount.target == "/dev";
      return !is_own_dev && is_within(path, mount.target);
    });
  };
  bool has_terminal = config.process && config.process->terminal;
  for (std::size_t i = 0; i < config.linux_.devices.size(); ++i) {
    const Device& device = config.linux_.devices[i];
    auto path = clean_path(device.path, cat("linux.devices[", i, "].path:"));
    if (!path) return std::unexpected(std::move(path.error()));
    if (*path == "/") return invalid_argument(cat("linux.devices[", i, "].path: is the root itself"));
    // ptmx is the container's own, a link into its devpts; a terminal's console is put there by the launcher.
    if (*path == "/dev/ptmx" || (has_terminal && *path == "/dev/console") || is_covered(*path)) continue;
    // S_IFMT bits come with the mode from some programs; the type is said apart.
    std::uint32_t mode = device.file_mode.value_or(0666) & 07777;
    plan.devices.push_back(
        {std::move(*path), type_bits(device.type) | mode, device.major, device.minor, device.uid, device.gid});
  }
  for (DevicePlan& standard : default_devices()) {
    bool is_own = std::ranges::any_of(plan.devices, [&](const auto& device) { return device.path == standard.path; });
    if (!is_own && !is_covered(standard.path)) plan.devices.push_back(std::move(standard));
  }
  for (LinkPlan& link : default_links()) {
    if (!is_covered(link.path)) plan.links.push_back(std::move(link));
  }
  return {};
}

Status add_paths(const std::vector<std::string>& paths, std::string_view field, std::vector<PlanString>& out) {
  for (std::size_t i = 0; i < paths.size(); ++i) {
    auto clean = clean_path(paths[i], cat(field, "[", i, "]:"));
    if (!clean) return std::unexpected(std::move(clean.error()));
    out.push_back(std::move(*clean));
  }
  return {};
}

}  // namespace

Status plan_root_of(const Config& config, PlannedContainer& out) {
  for (std::size_t i = 0; i < config.mounts.size(); ++i) {
    if (auto s = add_mount(config, config.mounts[i], i, out); !s) return s;
  }
  if (auto s = add_devices(config, out.plan); !s) return s;
  if (out.plan.namespaces.in_user) bind_devices(out);
  if (auto s = add_paths(config.linux_.masked_paths, "linux.maskedPaths", out.plan.masked_paths); !s) return s;
  return add_paths(config.linux_.read_only_paths, "linux.readonlyPaths", out.plan.read_only_paths);
}

}  // namespace gantry::runtime::oci
