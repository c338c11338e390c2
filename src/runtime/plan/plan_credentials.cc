// SPDX-License-Identifier: Apache-2.0
// As whom a container's process runs, with which capabilities and limits. As users of Kubernetes with containerd and
// runc know it: groups are the primary one, the user's own in the image (unless the policy is strict) and the spec's;
// capabilities are as CapabilitySpec says.
#include <linux/capability.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <utility>

#include "runtime/plan/plan_parts.h"
#include "runtime/plan/text.h"

namespace gantry::runtime {
namespace {

constexpr auto kRlimitNames = std::to_array<std::pair<std::string_view, int>>({
    {"AS", RLIMIT_AS},
    {"CORE", RLIMIT_CORE},
    {"CPU", RLIMIT_CPU},
    {"DATA", RLIMIT_DATA},
    {"FSIZE", RLIMIT_FSIZE},
    {"LOCKS", RLIMIT_LOCKS},
    {"MEMLOCK", RLIMIT_MEMLOCK},
    {"MSGQUEUE", RLIMIT_MSGQUEUE},
    {"NICE", RLIMIT_NICE},
    {"NOFILE", RLIMIT_NOFILE},
    {"NPROC", RLIMIT_NPROC},
    {"RSS", RLIMIT_RSS},
    {"RTPRIO", RLIMIT_RTPRIO},
    {"RTTIME", RLIMIT_RTTIME},
    {"SIGPENDING", RLIMIT_SIGPENDING},
    {"STACK", RLIMIT_STACK},
});

std::string shown_limit(std::uint64_t value) { return value == kUnlimited ? "unlimited" : std::to_string(value); }

}  // namespace

std::string rlimit_name(int resource) {
  auto found = std::ranges::find(kRlimitNames, resource, [](const auto& entry) { return entry.second; });
  return found == kRlimitNames.end() ? std::to_string(resource) : cat("RLIMIT_", found->first);
}

Status check_user(const UserSpec& user) {
  if (user.uid && !user.name.empty()) return invalid_argument("user: either a uid or a name was expected, not both");
  if (user.gid && !user.uid && user.name.empty()) return invalid_argument("user: a group is given without a user");
  if (user.name.find(':') != std::string::npos)
    return invalid_argument(cat("user: name ", quoted(user.name), " has a ':'"));
  if (user.uid) {
    if (auto id = checked_id(*user.uid, "user"); !id) return std::unexpected(std::move(id.error()));
  }
  if (user.gid) {
    if (auto id = checked_id(*user.gid, "group"); !id) return std::unexpected(std::move(id.error()));
  }
  if (user.supplemental_groups.size() > kMaxGroups) {
    return invalid_argument(
        cat("user: ", user.supplemental_groups.size(), " supplemental groups: at most ", kMaxGroups, " are allowed"));
  }
  for (std::int64_t group : user.supplemental_groups) {
    if (auto id = checked_id(group, "supplemental group"); !id) return std::unexpected(std::move(id.error()));
  }
  return {};
}

Result<ContainerUser> resolve_container_user(const UserSpec& spec, const ImageProcess& image,
                                             const UserDatabase& users) {
  if (auto s = check_user(spec); !s) return std::unexpected(std::move(s.error()));
  std::optional<std::uint32_t> gid;
  if (spec.gid) gid = static_cast<std::uint32_t>(*spec.gid);
  auto user = spec.uid            ? resolve_uid(static_cast<std::uint32_t>(*spec.uid), gid, users)
              : spec.name.empty() ? resolve_user(image.user, users)
                                  : resolve_name(spec.name, gid, users);
  if (!user) return std::unexpected(std::move(user.error()));
  ContainerUser out{user->uid, user->gid, {user->gid}, std::move(user->home)};
  if (spec.groups_policy == GroupsPolicy::kMerge) {
    out.groups.insert(out.groups.end(), user->member_groups.begin(), user->member_groups.end());
  }
  for (std::int64_t group : spec.supplemental_groups) out.groups.push_back(static_cast<std::uint32_t>(group));
  // The primary group stays first, the others in order; supplementary groups are a set.
  std::ranges::sort(out.groups.begin() + 1, out.groups.end());
  out.groups.erase(std::unique(out.groups.begin() + 1, out.groups.end()), out.groups.end());
  out.groups.erase(std::remove(out.groups.begin() + 1, out.groups.end(), out.gid), out.groups.end());
  if (out.groups.size() > kMaxGroups) {
    return invalid_argument(
        cat("user: ", out.groups.size(), " groups with the image's: at most ", kMaxGroups, " are allowed"));
  }
  return out;
}

Result<CapabilityPlan> resolve_capabilities(const ContainerSpec& spec, const HostFacts& host) {
  CapabilitySet set = host.capabilities;
  CapabilitySet ambient = 0;
  if (!spec.privileged) {
    auto is_all = [](const std::string& name) { return equals_ignoring_case(name, "ALL"); };
    set = kDefaultCapabilities & host.capabilities;
    if (std::ranges::any_of(spec.capabilities.add, is_all)) set = host.capabilities;
    if (std::ranges::any_of(spec.capabilities.drop, is_all)) set = 0;
    auto added = parse_capabilities(spec.capabilities.add, 0);
    if (!added) return std::unexpected(std::move(added.error()));
    auto dropped = parse_capabilities(spec.capabilities.drop, 0);
    if (!dropped) return std::unexpected(std::move(dropped.error()));
    auto kept = parse_capabilities(spec.capabilities.ambient, host.capabilities);
    if (!kept) return std::unexpected(std::move(kept.error()));
    set = (set | *added | *kept) & ~*dropped;
    ambient = *kept & ~*dropped;
    if (CapabilitySet missing = set & ~host.capabilities; missing != 0) {
      return fail(Code::kFailedPrecondition,
                  cat("capabilities ", to_string_capabilities(missing),
                      " can't be given: this host's kernel or this daemon does not have them"));
    }
  }
  // Effective and permitted are what the process has when it calls execve, also when it is not root's: the kernel then
  // takes away what the program's file and the ambient set do not give. With no_new_privs a file gives only what was
  // permitted before, so programs with file capabilities that run as nobody (a DNS server on port 53) need them here.
  // Inheritable is what the kernel wants beneath ambient, and otherwise empty.
  return CapabilityPlan{
      .bounding = set, .effective = set, .permitted = set, .inheritable = ambient, .ambient = ambient};
}

Result<std::vector<RlimitPlan>> plan_rlimits(const ContainerSpec& spec, const HostFacts& host) {
  std::vector<RlimitPlan> out;
  for (const RlimitSpec& limit : spec.rlimits) {
    std::string_view bare = limit.type;
    if (starts_ignoring_case(bare, "RLIMIT_")) bare.remove_prefix(7);
    auto known =
        std::ranges::find_if(kRlimitNames, [&](const auto& entry) { return equals_ignoring_case(entry.first, bare); });
    if (known == kRlimitNames.end()) {
      return invalid_argument(
          cat("rlimit ", quoted(limit.type), " is unknown: a name such as RLIMIT_NOFILE was expected"));
    }
    auto [name, resource] = *known;
    if (std::ranges::any_of(out, [&](const RlimitPlan& other) { return other.resource == resource; })) {
      return invalid_argument(cat("rlimit RLIMIT_", name, " is given twice"));
    }
    if (limit.soft > limit.hard) {
      return invalid_argument(cat("rlimit RLIMIT_", name, ": soft limit ", shown_limit(limit.soft),
                                  " is above its hard limit ", shown_limit(limit.hard)));
    }
    std::uint64_t own = host.hard_limits[static_cast<std::size_t>(resource)];
    if (limit.hard > own && !host.has_sys_resource) {
      return fail(Code::kFailedPrecondition,
                  cat("rlimit RLIMIT_", name, ": hard limit ", shown_limit(limit.hard), " is above this daemon's own ",
                      shown_limit(own), ", which takes CAP_SYS_RESOURCE"));
    }
    if (resource == RLIMIT_NOFILE && limit.hard > host.max_open_files) {
      return fail(Code::kFailedPrecondition, cat("rlimit RLIMIT_NOFILE: hard limit ", shown_limit(limit.hard),
                                                 " is above this host's fs.nr_open ", host.max_open_files));
    }
    out.push_back({resource, limit.soft, limit.hard});
  }
  bool has_open_files = std::ranges::any_of(out, [](const RlimitPlan& each) { return each.resource == RLIMIT_NOFILE; });
  if (host.soft_open_files && !has_open_files) {
    std::uint64_t hard = std::min(host.hard_limits[RLIMIT_NOFILE], host.max_open_files);
    out.push_back({RLIMIT_NOFILE, std::min(*host.soft_open_files, hard), hard});
  }
  return out;
}

}  // namespace gantry::runtime
