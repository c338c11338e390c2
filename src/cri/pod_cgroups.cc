// SPDX-License-Identifier: Apache-2.0
#include "cri/pod_cgroups.h"

#include "cgroups/slices.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

constexpr std::string_view kScopePrefix = "gantry-", kScopeSuffix = ".scope", kPod = "/pod";

std::string pod_slice(std::string_view parent, std::string_view uid, std::string_view sandbox_id) {
  std::string wanted = parent.empty() ? cat("kubepods-pod", cgroups::slice_part(uid), ".slice") : std::string(parent);
  return cgroups::parse_slice(wanted).value_or(cat("kubepods-pod", sandbox_id, ".slice"));
}

std::string scope_name(std::string_view sandbox_id) { return cat(kScopePrefix, sandbox_id, kScopeSuffix); }

// "" for "/a", as for "/".
std::string_view parent_of(std::string_view path) { return path.substr(0, path.rfind('/')); }

}  // namespace

std::string pod_cgroup_path(cgroups::DriverKind driver, std::string_view root, std::string_view parent,
                            std::string_view uid, std::string_view sandbox_id) {
  if (driver == cgroups::DriverKind::kSystemd) {
    return cat(cgroups::slice_path(pod_slice(parent, uid, sandbox_id)), "/", scope_name(sandbox_id), kPod);
  }
  if (!parent.empty()) return std::string(parent == "/" ? parent : without_suffix(parent, "/"));
  std::string name = cat("pod", uid);
  if (!cgroups::check_cgroup_name(name)) name = cat("pod", sandbox_id);
  return cat(root, "/kubepods/", name);
}

// By the whole name, which nobody could give before the id was there.
std::string pod_scope_path(std::string_view pod, std::string_view sandbox_id) {
  bool has_scope = pod.ends_with(cat("/", scope_name(sandbox_id), kPod));
  return has_scope ? std::string(parent_of(pod)) : "";
}

std::string_view sandbox_of_scope(std::string_view name) {
  if (!name.starts_with(kScopePrefix) || !name.ends_with(kScopeSuffix)) return {};
  return without_suffix(without_prefix(name, kScopePrefix), kScopeSuffix);
}

std::string shim_cgroup_path(std::string_view root, std::string_view sandbox_id) {
  return cat(root, "/shims/", sandbox_id);
}

std::string child_cgroup_path(std::string_view pod, std::string_view id) {
  return cat(without_suffix(pod, "/"), "/", id);
}

Result<OwnFd> cgroup_fd(const cgroups::Cgroup& cgroup) {
  // The Cgroup owns its own descriptor and may go away before the packet is sent.
  return duplicate(cgroup.dir());
}

Status limit_pod_cgroup(const cgroups::CgroupfsDriver& driver, std::string_view instance, std::string_view path,
                        std::string_view scope, const cgroups::Resources& resources) {
  auto clients = driver.open(scope.empty() ? std::string(path) : cat(parent_of(scope), "/"));
  if (!clients) return std::unexpected(std::move(clients.error()));
  auto mark = clients->marked_by();
  if (!mark) return std::unexpected(std::move(mark.error()));
  if (*mark != std::optional<std::string>(instance)) return {};
  auto cgroup = driver.open(path);
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  auto applied = cgroups::apply(*cgroup, resources);
  return applied ? Status() : std::unexpected(std::move(applied.error()));
}

Status kill_cgroup(const cgroups::CgroupfsDriver& driver, std::string_view path) {
  if (path.empty()) return {};
  auto cgroup = driver.open(path);
  if (!cgroup) {
    if (cgroup.error().is_not_found()) return {};
    return std::unexpected(std::move(cgroup.error()));
  }
  auto killed = cgroup->kill();
  if (!killed && (killed.error().is_not_found() || killed.error().is_gone())) return {};
  return killed;
}

void remove_empty_upward(const cgroups::CgroupfsDriver& driver, std::string_view instance, std::string path) {
  while (path.size() > 1) {
    auto cgroup = driver.open(path);
    if (cgroup) {
      auto mark = cgroup->marked_by();
      if (!mark || *mark != std::optional<std::string>(instance)) return;
      auto kept = cgroup->is_kept();
      if (!kept || *kept || !driver.remove_empty(path)) return;
    } else if (!cgroup.error().is_not_found()) {
      return;
    }
    path.resize(path.rfind('/'));
  }
}

}  // namespace gantry::cri
