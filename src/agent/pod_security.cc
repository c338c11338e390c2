// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_security.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "agent/pod_spec_to_cri.h"
#include "api/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

// The message types have the same fields and nothing in common but the names.
template <typename T>
std::optional<T> first_of(bool has_first, T first, bool has_second, T second) {
  if (has_first) return first;
  if (has_second) return second;
  return std::nullopt;
}

// In kubelet's words, which people and tools search for.
Status check_not_root(const core::Pod& pod, const core::Container& container, std::optional<std::int64_t> uid,
                      const v1::Image* image) {
  const auto& metadata = pod.metadata();
  const std::string who = absl::StrCat("(pod: \"", metadata.name(), "_", metadata.namespace_(), "(", metadata.uid(),
                                       ")\", container: ", container.name(), ")");
  if (uid) {
    if (*uid != 0) return {};
    return invalid_argument(absl::StrCat("container's runAsUser breaks non-root policy ", who));
  }
  if (image != nullptr && image->has_uid() && image->uid().value() != 0) return {};
  if (image != nullptr && !image->has_uid() && !image->username().empty()) {
    const std::string user = api::quoted(image->username());  // whatever is in it
    return invalid_argument(absl::StrCat("container has runAsNonRoot and image has non-numeric user (",
                                         user.substr(1, user.size() - 2), "), cannot verify user is non-root ", who));
  }
  return invalid_argument(absl::StrCat("container has runAsNonRoot and image will run as root ", who));
}

Status set_user(const core::Pod& of, const core::Container& container, const v1::Image* image,
                v1::LinuxContainerSecurityContext& out) {
  const core::PodSecurityContext& pod = of.spec().security_context();
  const core::SecurityContext& own = container.security_context();
  auto uid = first_of(own.has_run_as_user(), own.run_as_user(), pod.has_run_as_user(), pod.run_as_user());
  auto gid = first_of(own.has_run_as_group(), own.run_as_group(), pod.has_run_as_group(), pod.run_as_group());
  auto non_root =
      first_of(own.has_run_as_non_root(), own.run_as_non_root(), pod.has_run_as_non_root(), pod.run_as_non_root());
  if (non_root.value_or(false)) {
    if (auto good = check_not_root(of, container, uid, image); !good) return good;
  }
  if (uid) out.mutable_run_as_user()->set_value(*uid);
  if (gid) {
    out.mutable_run_as_group()->set_value(*gid);
    // The CRI takes no group without a user: the image's. Without either, the runtime reads both from the image.
    if (!uid && image != nullptr && !image->has_uid() && !image->username().empty()) {
      out.set_run_as_username(image->username());
    } else if (!uid) {
      out.mutable_run_as_user()->set_value(image == nullptr ? 0 : image->uid().value());
    }
  }
  return {};
}

void set_capabilities(const core::Capabilities& from, v1::Capability& to) {
  for (const auto& name : from.add()) to.add_add_capabilities(name);
  for (const auto& name : from.drop()) to.add_drop_capabilities(name);
}

void set_seccomp(const core::PodSecurityContext& pod, const core::SecurityContext& own, const NodeFacts& node,
                 v1::SecurityProfile& out) {
  const core::SeccompProfile& profile = own.has_seccomp_profile() ? own.seccomp_profile() : pod.seccomp_profile();
  if (profile.type() == "Unconfined" || (profile.type().empty() && !node.seccomp_by_default)) {
    out.set_profile_type(v1::SecurityProfile::Unconfined);
  } else if (profile.type() == "Localhost") {
    out.set_profile_type(v1::SecurityProfile::Localhost);
    out.set_localhost_ref(absl::StrCat(node.root_dir, "/seccomp/", profile.localhost_profile()));
  } else {
    out.set_profile_type(v1::SecurityProfile::RuntimeDefault);
  }
}

void set_app_armor(const core::AppArmorProfile& profile, v1::SecurityProfile& out) {
  if (profile.type() == "Unconfined") {
    out.set_profile_type(v1::SecurityProfile::Unconfined);
  } else if (profile.type() == "Localhost") {
    out.set_profile_type(v1::SecurityProfile::Localhost);
    out.set_localhost_ref(profile.localhost_profile());
  } else {
    out.set_profile_type(v1::SecurityProfile::RuntimeDefault);
  }
}

void set_mapping(UserRange users, v1::IDMapping& out) {
  out.set_host_id(users.first);
  out.set_container_id(0);
  out.set_length(users.length);
}

}  // namespace

void set_namespaces(const core::PodSpec& spec, std::optional<UserRange> users, v1::NamespaceOption& out) {
  out.set_network(spec.host_network() ? v1::NODE : v1::POD);
  out.set_ipc(spec.host_ipc() ? v1::NODE : v1::POD);
  out.set_pid(spec.host_pid() ? v1::NODE : spec.share_process_namespace() ? v1::POD : v1::CONTAINER);
  if (!users) return;
  out.mutable_userns_options()->set_mode(v1::POD);
  set_mapping(*users, *out.mutable_userns_options()->add_uids());
  set_mapping(*users, *out.mutable_userns_options()->add_gids());
}

void set_selinux(const core::SELinuxOptions& options, v1::SELinuxOption& out) {
  out.set_user(options.user());
  out.set_role(options.role());
  out.set_type(options.type());
  out.set_level(options.level());
}

std::vector<std::int64_t> pod_groups(const core::PodSecurityContext& context) {
  std::vector<std::int64_t> groups(context.supplemental_groups().begin(), context.supplemental_groups().end());
  if (context.has_fs_group() && std::ranges::find(groups, context.fs_group()) == groups.end()) {
    groups.push_back(context.fs_group());
  }
  return groups;
}

Status set_container_security(const core::Pod& pod, const core::Container& container, const v1::Image* image,
                              const NodeFacts& node, std::optional<UserRange> users,
                              v1::LinuxContainerSecurityContext& out) {
  const core::PodSecurityContext& from = pod.spec().security_context();
  const core::SecurityContext& own = container.security_context();
  if (auto set = set_user(pod, container, image, out); !set) return set;
  set_namespaces(pod.spec(), users, *out.mutable_namespace_options());
  for (auto group : pod_groups(from)) out.add_supplemental_groups(group);
  if (from.supplemental_groups_policy() == "Strict") out.set_supplemental_groups_policy(v1::Strict);
  set_capabilities(own.capabilities(), *out.mutable_capabilities());
  out.set_privileged(own.privileged());
  out.set_readonly_rootfs(own.read_only_root_filesystem());
  out.set_no_new_privs(own.has_allow_privilege_escalation() && !own.allow_privilege_escalation());
  set_seccomp(from, own, node, *out.mutable_seccomp());
  if (own.has_app_armor_profile() || from.has_app_armor_profile()) {
    set_app_armor(own.has_app_armor_profile() ? own.app_armor_profile() : from.app_armor_profile(),
                  *out.mutable_apparmor());
  }
  if (own.has_se_linux_options() || from.has_se_linux_options()) {
    set_selinux(own.has_se_linux_options() ? own.se_linux_options() : from.se_linux_options(),
                *out.mutable_selinux_options());
  }
  // The host's /proc is closed to a pod with ids of its own, and only such a one may ask for all of it.
  if (own.privileged() || (users && own.proc_mount() == "Unmasked")) return {};
  for (const auto& path : node.masked_paths) out.add_masked_paths(path);
  for (const auto& path : node.read_only_paths) out.add_readonly_paths(path);
  return {};
}

}  // namespace gantry::agent
