// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/text.h"
#include "cgroups/device_filter.h"
#include "cgroups/driver.h"
#include "cgroups/hierarchy.h"
#include "sys/file.h"

namespace gantry::cli {
namespace {

using Clock = std::chrono::steady_clock;

// For what the kernel does at once, unless the machine hangs.
constexpr std::chrono::seconds kPatience{30};

// Waits for the kernel's event until cgroup.events says so.
Status wait_for(const cgroups::Cgroup& cgroup, std::string_view what,
                const std::function<bool(const cgroups::Cgroup::Events&)>& holds) {
  auto file = sys::openat(cgroup.dir(), "cgroup.events", O_RDONLY);
  if (!file) return std::unexpected(std::move(file.error()));
  auto deadline = Clock::now() + kPatience;
  for (;;) {
    // The file that is polled is read, too, which arms it again.
    char text[256];
    (void)::pread(file->get(), text, sizeof(text), 0);
    auto events = cgroup.events();
    if (!events) return std::unexpected(std::move(events.error()));
    if (holds(*events)) return {};
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      return fail(Code::kDeadlineExceeded,
                  cat("cgroup ", cgroup.path(), " is not ", what, " after ", kPatience.count(), " s"));
    }
    pollfd changed{file->get(), POLLPRI, 0};
    (void)::poll(&changed, 1, static_cast<int>(left));
  }
}

// Found once: to look for it is to read all mounts.
Result<const cgroups::Hierarchy*> hierarchy() {
  static Result<cgroups::Hierarchy> found = cgroups::Hierarchy::find();
  if (!found) return std::unexpected(found.error());
  return &*found;
}

bool is_gone(const Error& error) { return error.is_not_found() || error.is_gone(); }

}  // namespace

Result<std::string> container_cgroup(const std::string& cgroups_path, const std::string& id) {
  std::string path = cgroups_path;
  if (!path.starts_with('/')) {
    auto own = cgroups::cgroup_path_of("self");
    if (!own) return own;
    // A cgroup with processes in it has no children with limits: beside it.
    path = cat(own->substr(0, own->rfind('/')), "/", path.empty() ? id : path);
  }
  auto parts = cgroups::split_cgroup_path(path);
  if (!parts) return fail_with(std::move(parts.error()), "linux.cgroupsPath");
  if (parts->empty()) return invalid_argument(cat("linux.cgroupsPath: ", quoted(cgroups_path), " is the root"));
  path.clear();
  for (const std::string& part : *parts) path.append("/").append(part);
  return path;
}

Result<bool> is_cgroup_there(const std::string& path) {
  auto cgroup = open_cgroup(path);
  if (!cgroup) {
    if (is_gone(cgroup.error())) return false;
    return std::unexpected(std::move(cgroup.error()));
  }
  auto events = cgroup->events();
  if (!events) return std::unexpected(std::move(events.error()));
  if (!events->populated) return true;
  return fail(Code::kFailedPrecondition, cat("linux.cgroupsPath: cgroup ", path, " is in use: processes are in it"));
}

Result<cgroups::Cgroup> make_cgroup(const std::string& path) {
  auto found = hierarchy();
  if (!found) return std::unexpected(std::move(found.error()));
  auto made = cgroups::CgroupfsDriver(**found, "").make(path);
  if (!made) return fail_with(std::move(made.error()), "linux.cgroupsPath");
  return std::move(made->cgroup);
}

Status apply_resources(const cgroups::Cgroup& cgroup, const cgroups::Resources& resources) {
  auto lacking = cgroups::apply(cgroup, resources);
  if (!lacking) return fail_with(std::move(lacking.error()), "linux.resources");
  if (lacking->empty()) return {};
  const auto& first = lacking->front();
  return fail(Code::kFailedPrecondition,
              cat("linux.resources: ", first.file, " can't be set to ", quoted(first.value), ": ", first.reason));
}

Status limit_cgroup(const cgroups::Cgroup& cgroup, const runtime::oci::Linux& config, bool filters_devices) {
  if (auto s = apply_resources(cgroup, config.resources); !s) return s;
  if (!filters_devices) return {};
  // Nothing, but for the container's own rules, and then what every container may: the last one that fits decides.
  auto defaults = cgroups::default_device_rules();
  std::vector<cgroups::DeviceRule> rules = config.device_rules;
  for (const auto& rule : defaults) {
    if (rule.allow) rules.push_back(rule);
  }
  if (auto s = cgroups::DeviceFilters().set(cgroup, rules); !s)
    return fail_with(std::move(s.error()), "linux.resources.devices");
  return {};
}

Result<cgroups::Cgroup> open_cgroup(const std::string& path) {
  if (path.empty()) return fail(Code::kFailedPrecondition, "the container has no cgroup, which this needs");
  auto found = hierarchy();
  if (!found) return std::unexpected(std::move(found.error()));
  return (*found)->open(path);
}

Status end_cgroup(const std::string& path, bool removes) {
  auto cgroup = open_cgroup(path);
  if (!cgroup) {
    if (is_gone(cgroup.error())) return {};
    return std::unexpected(std::move(cgroup.error()));
  }
  auto s = cgroup->kill();
  if (s) s = wait_for(*cgroup, "empty", [](const auto& events) { return !events.populated; });
  if (!s && !is_gone(s.error())) return s;
  if (!removes) return {};
  std::size_t slash = path.rfind('/');
  auto parent = open_cgroup(slash == 0 ? "/" : path.substr(0, slash));
  if (!parent) {
    if (is_gone(parent.error())) return {};
    return std::unexpected(std::move(parent.error()));
  }
  return parent->remove_child(path.substr(slash + 1));
}

Result<cgroups::Cgroup> cgroup_of(pid_t pid) {
  auto path = cgroups::cgroup_path_of(std::to_string(pid));
  if (!path) return std::unexpected(std::move(path.error()));
  return open_cgroup(*path);
}

Result<std::vector<pid_t>> processes_in(const cgroups::Cgroup& cgroup) {
  auto pids = cgroup.processes();
  if (!pids) return pids;
  auto children = cgroup.children();
  if (!children) return std::unexpected(std::move(children.error()));
  for (const std::string& name : *children) {
    auto child = cgroup.open_child(name);
    if (!child) continue;  // removed meanwhile
    auto more = processes_in(*child);
    if (more) pids->insert(pids->end(), more->begin(), more->end());
  }
  return pids;
}

Status freeze(const cgroups::Cgroup& cgroup, bool frozen) {
  if (auto s = cgroup.set_frozen(frozen); !s) return s;
  return wait_for(cgroup, frozen ? "frozen" : "thawed",
                  [frozen](const auto& events) { return events.frozen == frozen; });
}

}  // namespace gantry::cli
