// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "cdi/spec.h"
#include "cgroups/device_filter.h"
#include "cri/pod_users.h"
#include "cri/text.h"
#include "cri/validate.h"
#include "cri/validate_text.h"
#include "runtime/plan/plan.h"

namespace gantry::cri {
namespace {

Status check_argument(std::string_view text, std::string_view field) {
  if (text.size() > kMaxArgumentBytes) {
    return invalid_argument(
        cat(field, ": ", text.size(), " bytes; the kernel takes at most ", kMaxArgumentBytes, " bytes an argument"));
  }
  if (text.find('\0') != std::string_view::npos) {
    return invalid_argument(cat(field, " ", quoted(text), ": has a zero byte"));
  }
  return {};
}

// Command, args and environment together are what the kernel copies for the new program.
Status check_process(const v1::ContainerConfig& config) {
  std::size_t count = static_cast<std::size_t>(config.command_size()) + config.args_size();
  if (count > kMaxArguments || static_cast<std::size_t>(config.envs_size()) > kMaxArguments) {
    return invalid_argument(cat("command, args or envs: more than ", kMaxArguments, " entries"));
  }
  std::size_t total = 0;
  for (const auto* list : {&config.command(), &config.args()}) {
    for (const auto& text : *list) {
      if (auto good = check_argument(text, list == &config.command() ? "command" : "args"); !good) return good;
      total += text.size() + 1;
    }
  }
  for (const auto& env : config.envs()) {
    if (env.key().empty() || env.key().find('=') != std::string::npos) {
      return invalid_argument(cat("envs key ", quoted(env.key()), ": give a name without '='"));
    }
    if (auto good = check_argument(env.key(), "envs key"); !good) return good;
    // The value is nobody else's business: it is named by its key alone.
    if (auto good = check_argument(env.value(), cat("envs[", quoted(env.key()), "]")); !good) {
      return invalid_argument(
          cat("envs[", quoted(env.key()), "]: give at most ", kMaxArgumentBytes, " bytes without a zero byte"));
    }
    total += env.key().size() + env.value().size() + 2;
  }
  if (total > kMaxArgumentsBytes) {
    return invalid_argument(cat("command, args and envs: ", total, " bytes together; at most ", kMaxArgumentsBytes));
  }
  if (!config.working_dir().empty()) {
    if (!config.working_dir().starts_with('/')) {
      return invalid_argument(cat("working_dir ", quoted(config.working_dir()), ": give an absolute path"));
    }
    return check_text(config.working_dir(), "working_dir", kMaxPathBytes);
  }
  return {};
}

// Nothing of the host's, and nothing that a container can change.
Status check_image_mount(const v1::Mount& mount, const std::string& field, const v1::NamespaceOption& pod) {
  if (mount.image().image().empty()) return invalid_argument(cat(field, ".image.image: not given"));
  if (auto good = check_text(mount.image().image(), cat(field, ".image.image"), kMaxImageNameBytes); !good) return good;
  if (auto good = check_text(mount.image_sub_path(), cat(field, ".image_sub_path"), kMaxPathBytes); !good) return good;
  const std::string& sub_path = mount.image_sub_path();
  const auto names = split(sub_path, '/');
  if (sub_path.starts_with('/') || std::ranges::find(names, "..") != names.end()) {
    return invalid_argument(
        cat(field, ".image_sub_path ", quoted(sub_path), ": give a path relative to the image's root, without \"..\""));
  }
  if (!mount.host_path().empty()) return invalid_argument(cat(field, ".host_path: is given beside an image; give one"));
  if (!mount.readonly()) return invalid_argument(cat(field, ".readonly: an image is mounted read-only; set it"));
  if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
    return invalid_argument(cat(field, ".propagation: an image has no mounts to propagate; leave it out"));
  }
  if (mount.mount_options_size() > 0) {
    return fail(Code::kUnimplemented, cat(field, ".mount_options: not supported by this version; leave them out"));
  }
  auto ids = id_mappings(mount.uidmappings(), mount.gidmappings(), field, "uidMappings", "gidMappings");
  if (!ids) return std::unexpected(std::move(ids.error()));
  // Its ids are the pod's in any case.
  auto users = pod_users(pod);
  if (ids->is_empty() || (users && *ids == *users)) return {};
  return invalid_argument(cat(field, ".uidMappings: of an image differ from those of the pod; leave them out"));
}

Status check_mount(const v1::Mount& mount, const v1::NamespaceOption& pod) {
  std::string field = cat("mounts[", quoted(mount.container_path()), "]");
  if (auto good = check_text(mount.container_path(), "mounts.container_path", kMaxPathBytes); !good) return good;
  if (mount.container_path().empty()) return invalid_argument("mounts.container_path: not given");
  if (mount.has_image()) return check_image_mount(mount, field, pod);
  if (!mount.image_sub_path().empty()) return invalid_argument(cat(field, ".image_sub_path: needs image as well"));
  if (mount.mount_options_size() > 0) {
    return fail(Code::kUnimplemented, cat(field, ".mount_options: not supported by this version; leave them out"));
  }
  if (auto ids = id_mappings(mount.uidmappings(), mount.gidmappings(), field, "uidMappings", "gidMappings"); !ids) {
    return std::unexpected(std::move(ids.error()));
  }
  if (auto good = check_text(mount.host_path(), cat(field, ".host_path"), kMaxPathBytes); !good) return good;
  if (!mount.host_path().starts_with('/')) {
    return invalid_argument(cat(field, ".host_path ", quoted(mount.host_path()), ": give an absolute path"));
  }
  if (mount.recursive_read_only() && !mount.readonly()) {
    return invalid_argument(cat(field, ".recursive_read_only: needs readonly as well"));
  }
  if (mount.recursive_read_only() && mount.propagation() != v1::PROPAGATION_PRIVATE) {
    return invalid_argument(cat(field, ".recursive_read_only: needs propagation PROPAGATION_PRIVATE"));
  }
  if (!v1::MountPropagation_IsValid(mount.propagation())) {
    return invalid_argument(cat(field, ".propagation ", static_cast<int>(mount.propagation()), ": no such value"));
  }
  return {};
}

Status check_device(const v1::Device& device) {
  if (auto good = check_absolute_path(device.host_path(), "devices.host_path"); !good) return good;
  if (auto good = check_absolute_path(device.container_path(), "devices.container_path"); !good) return good;
  const std::string& permissions = device.permissions();
  if (permissions.empty() || cgroups::parse_device_access(permissions)) return {};
  return invalid_argument(
      cat("devices[", quoted(device.host_path()), "].permissions ", quoted(permissions), ": give some of \"rwm\""));
}

std::string users_text(const v1::NamespaceOption& options) {
  if (!options.has_userns_options() || options.userns_options().mode() == v1::NODE) return "NODE";
  return cat("{", options.userns_options().ShortDebugString(), "}");
}

Status check_namespaces(const v1::NamespaceOption& options, const v1::NamespaceOption& pod) {
  for (auto [mode, field] : {std::pair(options.network(), "network"), std::pair(options.ipc(), "ipc")}) {
    if (mode == v1::POD || mode == v1::NODE) continue;
    return invalid_argument(
        cat("namespace_options.", field, " ",
            v1::NamespaceMode_IsValid(mode) ? v1::NamespaceMode_Name(mode) : cat(static_cast<int>(mode)),
            ": a container has its pod's; give POD, or NODE in a pod that has the host's"));
  }
  if (!v1::NamespaceMode_IsValid(options.pid())) {
    return invalid_argument(cat("namespace_options.pid ", static_cast<int>(options.pid()), ": no such value"));
  }
  if (!are_same_users(options, pod)) {
    return invalid_argument(cat("namespace_options.userns_options ", users_text(options), ": the pod's are ",
                                users_text(pod), "; give the same"));
  }
  if (options.pid() == v1::NODE && users_spec(pod)) {
    return invalid_argument(
        "namespace_options.pid NODE: a container in a user namespace can't share the host's processes; give POD or "
        "CONTAINER");
  }
  if (options.network() == v1::NODE && pod.network() != v1::NODE) {
    return invalid_argument(
        "namespace_options.network NODE: this pod has a network of its own, and its containers share it");
  }
  if (options.ipc() == v1::NODE && pod.ipc() != v1::NODE) {
    return invalid_argument(
        "namespace_options.ipc NODE: this pod has an ipc namespace of its own, and its containers share it");
  }
  if (options.pid() == v1::POD && pod.pid() == v1::CONTAINER) {
    return invalid_argument(
        "namespace_options.pid POD: this pod was made with pid CONTAINER and has no PID namespace to share; "
        "give CONTAINER");
  }
  if (options.pid() == v1::TARGET) {
    if (options.target_id().empty()) return invalid_argument("namespace_options.target_id: needed with pid TARGET");
    return check_text(options.target_id(), "namespace_options.target_id", kMaxNameBytes);
  }
  return {};
}

Status check_profile(const v1::SecurityProfile& profile, std::string_view field) {
  if (!v1::SecurityProfile_ProfileType_IsValid(profile.profile_type())) {
    return invalid_argument(cat(field, ".profile_type ", static_cast<int>(profile.profile_type()), ": no such value"));
  }
  if (profile.profile_type() != v1::SecurityProfile::Localhost) return {};
  if (profile.localhost_ref().empty()) {
    return invalid_argument(cat(field, ".localhost_ref: needed with profile_type Localhost"));
  }
  return check_text(profile.localhost_ref(), cat(field, ".localhost_ref"), kMaxPathBytes);
}

Status check_paths(const google::protobuf::RepeatedPtrField<std::string>& paths, std::string_view field) {
  if (paths.size() > 1024) return invalid_argument(cat(field, ": more than 1024 paths"));
  for (const auto& path : paths) {
    if (auto good = check_absolute_path(path, field); !good) return good;
  }
  return {};
}

Status check_security(const v1::LinuxContainerSecurityContext& security, const v1::PodSandboxConfig& pod,
                      bool privileged_since) {
  const auto& pod_security = pod.linux().security_context();
  if (auto good = check_namespaces(security.namespace_options(), pod_security.namespace_options()); !good) return good;
  if (security.privileged() && !pod_security.privileged() && !privileged_since) {
    return invalid_argument(
        "security_context.privileged: this pod was made without it; make the pod privileged as well");
  }
  if (security.has_run_as_user() && !security.run_as_username().empty()) {
    return invalid_argument("security_context: run_as_user and run_as_username are both given; give one");
  }
  if (security.has_run_as_group() && !security.has_run_as_user() && security.run_as_username().empty()) {
    return invalid_argument("security_context.run_as_group: needs run_as_user or run_as_username");
  }
  if (!v1::SupplementalGroupsPolicy_IsValid(security.supplemental_groups_policy())) {
    return invalid_argument(cat("security_context.supplemental_groups_policy ",
                                static_cast<int>(security.supplemental_groups_policy()), ": no such value"));
  }
  if (static_cast<std::size_t>(security.supplemental_groups_size()) > runtime::kMaxGroups) {
    return invalid_argument(cat("security_context.supplemental_groups: more than ", runtime::kMaxGroups));
  }
  if (security.has_seccomp()) {
    if (auto good = check_profile(security.seccomp(), "security_context.seccomp"); !good) return good;
  }
  if (security.has_apparmor()) {
    if (auto good = check_profile(security.apparmor(), "security_context.apparmor"); !good) return good;
  }
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"  // a field that clients may still send
  bool old_seccomp = !security.seccomp_profile_path().empty() && !security.has_seccomp();
#pragma clang diagnostic pop
  if (old_seccomp) {
    return fail(Code::kUnimplemented,
                "security_context.seccomp_profile_path: removed from the CRI; give seccomp instead");
  }
  if (auto good = check_paths(security.masked_paths(), "security_context.masked_paths"); !good) return good;
  if (auto good = check_paths(security.readonly_paths(), "security_context.readonly_paths"); !good) return good;
  return check_selinux(security.selinux_options(), "security_context.selinux_options");
}

Status check_log_path(std::string_view path) {
  if (path.empty()) return {};
  if (path.starts_with('/')) {
    return invalid_argument(cat("log_path ", quoted(path), ": give a path relative to the pod's log_directory"));
  }
  return check_absolute_path(cat("/", path), "log_path");
}

}  // namespace

Status validate_container(const v1::ContainerConfig& config, const v1::PodSandboxConfig& pod, bool privileged_since) {
  if (!config.has_metadata()) return invalid_argument("config.metadata: not given");
  if (auto good = check_object_name(config.metadata().name(), "metadata.name"); !good) return good;
  if (config.image().image().empty()) return invalid_argument("image.image: not given");
  if (auto good = check_text(config.image().image(), "image.image", kMaxImageNameBytes); !good) return good;
  if (auto good = check_text(config.image().user_specified_image(), "image.user_specified_image", kMaxImageNameBytes);
      !good) {
    return good;
  }
  if (auto good = check_process(config); !good) return good;
  for (const auto& mount : config.mounts()) {
    auto good = check_mount(mount, pod.linux().security_context().namespace_options());
    if (!good) return good;
  }
  for (const auto& device : config.devices()) {
    if (auto good = check_device(device); !good) return good;
  }
  if (auto devices = cdi_devices(config); !devices) return std::unexpected(std::move(devices.error()));
  if (auto good = check_string_map(config.labels(), "labels"); !good) return good;
  if (auto good = check_string_map(config.annotations(), "annotations"); !good) return good;
  if (auto good = check_log_path(config.log_path()); !good) return good;
  if (config.has_windows()) return fail(Code::kUnimplemented, "windows: this node runs Linux; leave it out");
  return check_security(config.linux().security_context(), pod, privileged_since);
}

Result<std::vector<std::string>> cdi_devices(const v1::ContainerConfig& config) {
  constexpr std::string_view kPrefix = "cdi.k8s.io/";
  std::vector<std::string> devices;
  auto add = [&](std::string_view name, std::string_view field) -> Status {
    if (auto parsed = cdi::parse_device_name(name); !parsed) return fail_with(std::move(parsed.error()), field);
    if (std::ranges::find(devices, name) != devices.end()) return {};
    if (devices.size() == kMaxCdiDevices) {
      return invalid_argument(cat(field, ": more than ", kMaxCdiDevices, " devices of a container"));
    }
    devices.emplace_back(name);
    return {};
  };
  for (const auto& device : config.cdi_devices()) {
    if (auto added = add(device.name(), "CDI_devices"); !added) return std::unexpected(std::move(added.error()));
  }
  std::map<std::string_view, std::string_view> annotations;  // in an order that is always the same
  for (const auto& [key, value] : config.annotations()) {
    if (key.starts_with(kPrefix)) annotations.emplace(key, value);
  }
  for (const auto& [key, value] : annotations) {
    for (std::string_view name : split(value, ',')) {
      auto added = add(name, cat("annotations[", quoted(key), "]"));
      if (!added) return std::unexpected(std::move(added.error()));
    }
  }
  return devices;
}

Status validate_command(const std::vector<std::string>& command) {
  if (command.empty()) return invalid_argument("cmd: not given");
  if (command.size() > kMaxArguments) return invalid_argument(cat("cmd: more than ", kMaxArguments, " entries"));
  std::size_t total = 0;
  for (const auto& text : command) {
    if (auto good = check_argument(text, "cmd"); !good) return good;
    total += text.size() + 1;
  }
  if (total > kMaxArgumentsBytes) {
    return invalid_argument(cat("cmd: ", total, " bytes together; at most ", kMaxArgumentsBytes));
  }
  return {};
}

}  // namespace gantry::cri
