// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/write_config.h"

#include <linux/ioprio.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <iterator>

#include "base/text.h"
#include "runtime/oci/mount_options.h"
#include "runtime/plan/capabilities.h"
#include "runtime/plan/plan_parts.h"
#include "sys/mount.h"

namespace gantry::runtime::oci {
namespace {

namespace json = boost::json;
using sys::Propagation;

constexpr const char* kVersion = "1.0.2";
constexpr std::uint32_t kUsualUmask = 022;

json::array texts(const std::vector<std::string>& list) { return json::array(list.begin(), list.end()); }

json::array names_of(CapabilitySet set) {
  json::array out;
  for (int number = 0; number <= kLastNamedCapability; ++number) {
    if ((set & capability_bit(number)) != 0) out.emplace_back(capability_name(number));
  }
  return out;
}

// SCHED_* and SCHED_FLAG_* by their numbers; what is not there no reader of ours makes.
constexpr const char* kPolicies[] = {"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",      "SCHED_BATCH",
                                     "SCHED_ISO",   "SCHED_IDLE", "SCHED_DEADLINE"};
constexpr const char* kScheduleFlags[] = {
    "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM",        "SCHED_FLAG_DL_OVERRUN",    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",   "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX"};
constexpr const char* kIoClasses[] = {"", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"};

void put_schedule(const SchedulePlan& schedule, json::object& process) {
  if (schedule.set_policy && schedule.policy < std::size(kPolicies)) {
    json::array flags;
    for (std::size_t bit = 0; bit < std::size(kScheduleFlags); ++bit) {
      if ((schedule.flags >> bit & 1) != 0) flags.emplace_back(kScheduleFlags[bit]);
    }
    process["scheduler"] = {{"policy", kPolicies[schedule.policy]},
                            {"nice", schedule.nice},
                            {"priority", schedule.priority},
                            {"flags", std::move(flags)},
                            {"runtime", schedule.runtime},
                            {"deadline", schedule.deadline},
                            {"period", schedule.period}};
  }
  const std::uint32_t io_class = IOPRIO_PRIO_CLASS(schedule.io_priority);
  if (schedule.set_io_priority && io_class > 0 && io_class < std::size(kIoClasses))
    process["ioPriority"] = {{"class", kIoClasses[io_class]}, {"priority", IOPRIO_PRIO_DATA(schedule.io_priority)}};
}

json::object process_object(const ProcessPlan& process) {
  json::object user{{"uid", process.uid}, {"gid", process.gid}};
  json::array groups;
  for (std::uint32_t group : process.groups) {
    if (group != process.gid) groups.emplace_back(group);
  }
  if (!groups.empty()) user["additionalGids"] = std::move(groups);
  if (process.umask != kUsualUmask) user["umask"] = process.umask;
  const auto& sets = process.capabilities;
  json::array limits;
  for (const RlimitPlan& limit : process.rlimits)
    limits.push_back({{"type", rlimit_name(limit.resource)}, {"soft", limit.soft}, {"hard", limit.hard}});
  json::object out{{"terminal", process.terminal},
                   {"user", std::move(user)},
                   {"args", texts(process.args)},
                   {"env", texts(process.env)},
                   {"cwd", process.cwd},
                   {"capabilities",
                    {{"bounding", names_of(sets.bounding)},
                     {"effective", names_of(sets.effective)},
                     {"permitted", names_of(sets.permitted)},
                     {"inheritable", names_of(sets.inheritable)},
                     {"ambient", names_of(sets.ambient)}}},
                   {"rlimits", std::move(limits)},
                   {"noNewPrivileges", process.no_new_privileges}};
  if (process.terminal && process.rows != 0)
    out["consoleSize"] = {{"height", process.rows}, {"width", process.columns}};
  if (process.set_oom_score_adj) out["oomScoreAdj"] = process.oom_score_adj;
  if (!process.apparmor_profile.empty()) out["apparmorProfile"] = process.apparmor_profile;
  if (!process.selinux_label.empty()) out["selinuxLabel"] = process.selinux_label;
  put_schedule(process.schedule, out);
  return out;
}

// A bind that the plan leaves in its source's peer group is one that passes mounts on to the host.
Propagation propagation_of(const MountPlan& mount) {
  auto wanted = static_cast<Propagation>(mount.tree_propagation);
  if (wanted != Propagation::kUnchanged) return wanted;
  return mount.kind == MountKind::kBind ? Propagation::kShared : Propagation::kPrivate;
}

json::object mount_object(const MountPlan& mount, const std::string& source) {
  MountOptions options{.is_bind = !source.empty(),
                       .is_recursive = true,
                       .set = static_cast<sys::MountAttr>(mount.set_attributes),
                       .clear = static_cast<sys::MountAttr>(mount.clear_attributes),
                       .tree_set = static_cast<sys::MountAttr>(mount.tree_set_attributes),
                       .tree_clear = static_cast<sys::MountAttr>(mount.tree_clear_attributes)};
  if (options.is_bind) {
    options.tree_propagation = propagation_of(mount);
  } else {
    options.data = mount.options;
  }
  std::string type = options.is_bind ? "bind" : mount.type == "cgroup2" ? "cgroup" : mount.type;
  return {{"destination", mount.target},
          {"type", type},
          {"source", options.is_bind ? source : type},
          {"options", texts(mount_option_words(options))}};
}

// All but what every runtime makes by itself.
std::vector<DevicePlan> devices_of(const Plan& plan) {
  auto usual = default_devices();
  std::vector<DevicePlan> out;
  std::ranges::copy_if(plan.devices, std::back_inserter(out), [&](const DevicePlan& device) {
    return std::ranges::none_of(usual, [&](const DevicePlan& other) {
      return other.path == device.path && other.major == device.major && other.minor == device.minor &&
             other.mode == device.mode && other.uid == device.uid && other.gid == device.gid;
    });
  });
  return out;
}

constexpr std::string_view kDev = "/dev/";

bool is_bound(const DevicePlan& device, const ConfigParts& parts) {
  return !parts.device_folder.empty() && device.path.starts_with(kDev);
}

json::object device_bind(const DevicePlan& device, const ConfigParts& parts) {
  return {{"destination", device.path},
          {"type", "bind"},
          {"source", cat(parts.device_folder, "/", device.path.substr(kDev.size()))},
          {"options", {"bind", "private", "nosuid", "noexec"}}};
}

json::array device_objects(const Plan& plan, const ConfigParts& parts) {
  json::array out;
  for (const DevicePlan& device : devices_of(plan)) {
    if (is_bound(device, parts)) continue;
    json::object entry{{"path", device.path},
                       {"type", S_ISBLK(device.mode)    ? "b"
                                : S_ISFIFO(device.mode) ? "p"
                                                        : "c"},
                       {"fileMode", device.mode & 07777},
                       {"uid", device.uid},
                       {"gid", device.gid}};
    if (!S_ISFIFO(device.mode)) {
      entry["major"] = device.major;
      entry["minor"] = device.minor;
    }
    out.push_back(std::move(entry));
  }
  return out;
}

json::array mapping_objects(const std::vector<IdMapping>& mappings) {
  json::array out;
  for (const IdMapping& each : mappings)
    out.push_back({{"containerID", each.container}, {"hostID", each.host}, {"size", each.size}});
  return out;
}

json::array rule_objects(const std::vector<cgroups::DeviceRule>& rules) {
  json::array out;
  out.push_back({{"allow", rules.empty()}, {"access", "rwm"}});
  for (const auto& rule : rules) {
    std::string access;
    for (auto [bit, letter] : {std::pair(cgroups::kDeviceRead, 'r'), std::pair(cgroups::kDeviceWrite, 'w'),
                               std::pair(cgroups::kDeviceMknod, 'm')}) {
      if ((rule.access & bit) != 0) access += letter;
    }
    json::object entry{{"allow", rule.allow}, {"access", access}};
    entry["type"] = rule.type == cgroups::DeviceType::kAll ? "a" : rule.type == cgroups::DeviceType::kBlock ? "b" : "c";
    if (rule.major) entry["major"] = *rule.major;
    if (rule.minor) entry["minor"] = *rule.minor;
    out.push_back(std::move(entry));
  }
  return out;
}

// What the container's "/" has to be for its binds to be so.
void set_root_propagation(const Plan& plan, const ConfigParts& parts, json::object& linux_object) {
  bool shares = false, follows = false;
  for (std::size_t i = 0; i < plan.mounts.size(); ++i) {
    if (parts.sources[i].empty()) continue;
    shares |= propagation_of(plan.mounts[i]) == Propagation::kShared;
    follows |= propagation_of(plan.mounts[i]) == Propagation::kSlave;
  }
  if (shares || follows) linux_object["rootfsPropagation"] = shares ? "rshared" : "rslave";
}

// As sysctl(8) has them: dots, and a slash for what is a dot in a name.
std::string sysctl_name(std::string path) {
  for (char& each : path) each = each == '/' ? '.' : each == '.' ? '/' : each;
  return path;
}

json::object hook_object(const Hook& hook) {
  json::object out{{"path", hook.path}, {"args", texts(hook.args)}, {"env", texts(hook.env)}};
  if (hook.timeout) out["timeout"] = *hook.timeout;
  return out;
}

}  // namespace

std::string write_config(const Plan& plan, const ConfigParts& parts) {
  json::array mounts, namespaces;
  for (std::size_t i = 0; i < plan.mounts.size(); ++i) mounts.push_back(mount_object(plan.mounts[i], parts.sources[i]));
  for (const DevicePlan& device : devices_of(plan)) {
    if (is_bound(device, parts)) mounts.push_back(device_bind(device, parts));
  }
  for (const auto& [kind, path] : parts.namespaces) {
    json::object entry{{"type", to_string(kind)}};
    if (!path.empty()) entry["path"] = path;
    namespaces.push_back(std::move(entry));
  }
  json::object linux_object{{"cgroupsPath", parts.cgroups_path},
                            {"namespaces", std::move(namespaces)},
                            {"devices", device_objects(plan, parts)},
                            {"maskedPaths", texts(plan.masked_paths)},
                            {"readonlyPaths", texts(plan.read_only_paths)},
                            {"resources", {{"devices", rule_objects(parts.device_rules)}}}};
  if (!parts.ids.is_empty()) {
    linux_object["uidMappings"] = mapping_objects(parts.ids.uids);
    linux_object["gidMappings"] = mapping_objects(parts.ids.gids);
  }
  set_root_propagation(plan, parts, linux_object);
  json::object sysctls;
  for (const SysctlPlan& sysctl : plan.sysctls) sysctls[sysctl_name(sysctl.path)] = sysctl.value;
  if (!sysctls.empty()) linux_object["sysctl"] = std::move(sysctls);
  if (!parts.seccomp.empty()) linux_object["seccomp"] = json::parse(parts.seccomp);
  json::object config{{"ociVersion", kVersion},
                      {"process", process_object(plan.process)},
                      {"root", {{"path", parts.root_path}, {"readonly", plan.root.read_only}}},
                      {"mounts", std::move(mounts)},
                      {"linux", std::move(linux_object)}};
  json::object all_hooks;
  for (const auto& [kind, hooks] : parts.hooks) {
    json::array list;
    for (const Hook& hook : hooks) list.push_back(hook_object(hook));
    if (!list.empty()) all_hooks[kind] = std::move(list);
  }
  if (!all_hooks.empty()) config["hooks"] = std::move(all_hooks);
  if (!parts.annotations.empty()) {
    json::object annotations;
    for (const auto& [name, value] : parts.annotations) annotations[name] = value;
    config["annotations"] = std::move(annotations);
  }
  return json::serialize(config);
}

std::string write_process(const ProcessPlan& process) { return json::serialize(process_object(process)); }

}  // namespace gantry::runtime::oci
