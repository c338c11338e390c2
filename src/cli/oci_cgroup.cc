// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>

#include "base/text.h"
#include "cgroups/device_filter.h"
#include "cgroups/driver.h"
#include "cgroups/hierarchy.h"
#include "sys/file.h"
#include "sys/pipe.h"
#include "sys/xattr.h"

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

// Of the cgroup's folder. The second name where the first takes privileges that this process lacks; a container of one
// that has them can't write the first.
using Attribute = std::array<const char*, 2>;
constexpr Attribute kClaim = {"trusted.gantry.container", "user.gantry.container"};
// On what a create of ours has made, and another's delete may have to remove.
constexpr Attribute kMade = {"trusted.gantry.made", "user.gantry.made"};

Result<std::optional<std::string>> attribute_of(const cgroups::Cgroup& cgroup, const Attribute& names) {
  for (const char* name : names) {
    auto value = sys::fgetxattr(cgroup.dir(), name);
    if (!value || *value) return value;
  }
  return std::nullopt;
}

Status set_attribute(const cgroups::Cgroup& cgroup, const Attribute& names, std::string_view value) {
  auto s = sys::fsetxattr(cgroup.dir(), names[0], value);
  if (!s && s.error().is_privilege()) s = sys::fsetxattr(cgroup.dir(), names[1], value);
  return s ? s : fail_with(std::move(s.error()), cat("cgroup ", cgroup.path()));
}

Error in_use(const cgroups::Cgroup& cgroup, std::string_view how) {
  return Error(Code::kFailedPrecondition, cat("linux.cgroupsPath: cgroup ", cgroup.path(), " is in use: ", how));
}

Status check_empty(const cgroups::Cgroup& cgroup) {
  auto events = cgroup.events();
  if (!events) return std::unexpected(std::move(events.error()));
  return events->populated ? std::unexpected(in_use(cgroup, "processes are in it")) : Status();
}

// A lock on a file that nobody but the cgroup's owner can open. Nothing when another has it: then the cgroup is empty,
// and about to be that one's.
Result<std::optional<OwnFd>> lock_cgroup(const cgroups::Cgroup& cgroup) {
  auto file = sys::openat(cgroup.dir(), "cgroup.kill", O_WRONLY);
  if (!file) return std::unexpected(std::move(file.error()));
  auto taken = sys::is_locked_by_another(*file);
  if (!taken) return std::unexpected(std::move(taken.error()));
  if (*taken) return std::nullopt;
  if (auto s = sys::lock_for_process(*file); !s) return std::unexpected(std::move(s.error()));
  return std::move(*file);
}

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
  if (auto s = check_empty(*cgroup); !s) return std::unexpected(std::move(s.error()));
  return true;
}

Result<cgroups::Cgroup> make_cgroup(const std::string& path) {
  auto found = hierarchy();
  if (!found) return std::unexpected(std::move(found.error()));
  auto made = cgroups::CgroupfsDriver(**found, "").make(path);
  if (!made) return fail_with(std::move(made.error()), "linux.cgroupsPath");
  if (!made->existed) {
    if (auto s = set_attribute(made->cgroup, kMade, "1"); !s) return std::unexpected(std::move(s.error()));
  }
  return std::move(made->cgroup);
}

Result<OwnFd> claim_cgroup(const cgroups::Cgroup& cgroup, const std::string& claim) {
  auto lock = lock_cgroup(cgroup);
  if (!lock) return std::unexpected(std::move(lock.error()));
  if (!*lock) return std::unexpected(in_use(cgroup, "another container is being made in it"));
  if (auto s = check_empty(cgroup); !s) return std::unexpected(std::move(s.error()));
  if (auto s = set_attribute(cgroup, kClaim, claim); !s) return std::unexpected(std::move(s.error()));
  return std::move(**lock);
}

Status apply_resources(const cgroups::Cgroup& cgroup, const cgroups::Resources& resources) {
  auto lacking = cgroups::apply(cgroup, resources);
  if (!lacking) return fail_with(std::move(lacking.error()), "linux.resources");
  if (lacking->empty()) return {};
  const auto& first = lacking->front();
  return fail(Code::kFailedPrecondition,
              cat("linux.resources: ", first.file, " can't be set to ", quoted(first.value), ": ", first.reason));
}

Status filter_devices(const cgroups::Cgroup& cgroup, const runtime::oci::Linux& config) {
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

Result<std::optional<HeldCgroup>> hold_cgroup(const std::string& path, const std::string& claim) {
  auto cgroup = open_cgroup(path);
  auto lock = cgroup ? lock_cgroup(*cgroup) : std::unexpected(std::move(cgroup.error()));
  auto claimed = lock ? attribute_of(*cgroup, kClaim) : std::unexpected(std::move(lock.error()));
  if (!claimed) {
    if (is_gone(claimed.error())) return std::nullopt;
    return std::unexpected(std::move(claimed.error()));
  }
  // A record of before there were claims has none.
  bool is_claimed = claim.empty() || *claimed == claim;
  if (!*lock || (!is_claimed && *claimed)) return std::nullopt;
  return HeldCgroup{std::move(*cgroup), std::move(**lock), is_claimed};
}

namespace {

Status remove_cgroup(const std::string& path) {
  std::size_t slash = path.rfind('/');
  auto parent = open_cgroup(slash == 0 ? "/" : path.substr(0, slash));
  if (parent) return parent->remove_child(path.substr(slash + 1));
  return is_gone(parent.error()) ? Status() : std::unexpected(std::move(parent.error()));
}

}  // namespace

Status end_cgroup(const std::string& path, bool removes, const std::string& claim) {
  auto held = hold_cgroup(path, claim);
  if (!held) return std::unexpected(std::move(held.error()));
  if (!*held) return {};
  const cgroups::Cgroup& cgroup = (*held)->cgroup;
  if (!removes) {
    auto made = attribute_of(cgroup, kMade);
    removes = made && *made;
  }
  // Mostly all in it has ended, and the kernel knows.
  if (removes && (*held)->is_claimed && remove_cgroup(path)) return {};
  auto s = (*held)->is_claimed ? cgroup.kill() : Status();
  if (s && (*held)->is_claimed) s = wait_for(cgroup, "empty", [](const auto& events) { return !events.populated; });
  if (!s && !is_gone(s.error())) return s;
  if (!removes) return {};
  s = remove_cgroup(path);
  // Who is in it did not come by us.
  bool is_left = !s && !(*held)->is_claimed && s.error().code() == Code::kFailedPrecondition;
  return is_left ? Status() : s;
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
