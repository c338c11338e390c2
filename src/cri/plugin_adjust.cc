// SPDX-License-Identifier: Apache-2.0
#include "cri/plugin_adjust.h"

#include <linux/ioprio.h>
#include <linux/sched.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "cri/plugin_messages.h"
#include "cri/text.h"
#include "cri/validate.h"
#include "nri/nri.pb.h"
#include "runtime/oci/mount_options.h"

namespace gantry::cri {
namespace {

namespace json = boost::json;

bool is_removal(const std::string& key) { return key.starts_with('-'); }

std::unexpected<Error> unsupported(std::string_view field, std::string_view why = "not supported by this runtime") {
  return fail(Code::kUnimplemented, cat(field, ": ", why));
}

// A repeated field's entries of which this is true go.
template <typename List, typename Predicate>
void drop(List& list, Predicate is_meant) {
  list.erase(std::remove_if(list.begin(), list.end(), is_meant), list.end());
}

template <typename List>
json::array texts(const List& list) {
  json::array out;
  for (const auto& text : list) out.emplace_back(text);
  return out;
}

// First, for an exec has to have room in nothing: what can't be honoured at all.
Status refuse(const api::ContainerAdjustment& from) {
  const auto& linux = from.linux();
  for (auto [is_set, name] :
       {std::pair{!linux.cgroups_path().empty(), "linux.cgroups_path"},
        std::pair{!linux.namespaces().empty(), "linux.namespaces"},
        std::pair{!linux.net_devices().empty(), "linux.net_devices"}, std::pair{linux.has_rdt(), "linux.rdt"},
        std::pair{linux.has_memory_policy(), "linux.memory_policy"}}) {
    if (is_set) return unsupported(name);
  }
  return {};
}

void adjust_annotations(const api::ContainerAdjustment& from, v1::ContainerConfig& config) {
  auto& to = *config.mutable_annotations();
  for (const auto& [key, value] : from.annotations()) {
    if (is_removal(key)) to.erase(key.substr(1));
  }
  for (const auto& [key, value] : from.annotations()) {
    if (!is_removal(key)) to[key] = value;
  }
}

void adjust_env(const api::ContainerAdjustment& from, Adjusted& to) {
  auto& envs = *to.config.mutable_envs();
  for (const auto& entry : from.env()) {
    std::string name = is_removal(entry.key()) ? entry.key().substr(1) : entry.key();
    drop(envs, [&](const auto& env) { return env.key() == name; });
    std::erase_if(to.image.env, [&](const std::string& env) { return env.substr(0, env.find('=')) == name; });
  }
  for (const auto& entry : from.env()) {
    if (is_removal(entry.key())) continue;
    auto* env = to.config.add_envs();
    env->set_key(entry.key());
    env->set_value(entry.value());
  }
}

Status check_mount(const api::Mount& mount) {
  bool is_bind = mount.type().empty() || mount.type() == "none" || mount.type() == "bind";
  auto options = runtime::oci::parse_mount_options({mount.options().begin(), mount.options().end()}, is_bind);
  if (!options) return fail_with(std::move(options.error()), "options");
  if (!options->is_bind && mount.type() != "tmpfs") {
    return unsupported(cat("type ", quoted(mount.type())), "this runtime supports binds and tmpfs");
  }
  if (options->is_bind && !mount.source().starts_with('/')) {
    return invalid_argument(cat("source ", quoted(mount.source()), ": an absolute path was expected"));
  }
  return {};
}

Status adjust_mounts(const api::ContainerAdjustment& from, v1::ContainerConfig& config, json::object& edits) {
  json::array added;
  auto& mounts = *config.mutable_mounts();
  for (const auto& mount : from.mounts()) {
    bool is_removed = is_removal(mount.destination());
    std::string target = is_removed ? mount.destination().substr(1) : mount.destination();
    drop(mounts, [&](const v1::Mount& other) { return other.container_path() == target; });
    if (is_removed) continue;
    if (auto good = check_mount(mount); !good) {
      return fail_with(std::move(good.error()), cat("mounts[", quoted(target), "]"));
    }
    // A file system's source is but a name, and may be left out.
    added.push_back(json::object{{"hostPath", mount.source().empty() ? mount.type() : mount.source()},
                                 {"containerPath", target},
                                 {"type", mount.type()},
                                 {"options", texts(mount.options())}});
  }
  if (!added.empty()) edits["mounts"] = std::move(added);
  return {};
}

void adjust_devices(const api::ContainerAdjustment& from, v1::ContainerConfig& config, json::object& edits) {
  json::array nodes;
  auto& devices = *config.mutable_devices();
  for (const auto& device : from.linux().devices()) {
    bool is_removed = is_removal(device.path());
    std::string path = is_removed ? device.path().substr(1) : device.path();
    drop(devices, [&](const v1::Device& other) { return other.container_path() == path; });
    if (is_removed) continue;
    json::object node{{"path", path}, {"type", device.type()}};
    node["major"] = device.major();
    node["minor"] = device.minor();
    if (device.has_file_mode()) node["fileMode"] = device.file_mode().value();
    if (device.has_uid()) node["uid"] = device.uid().value();
    if (device.has_gid()) node["gid"] = device.gid().value();
    nodes.push_back(std::move(node));
  }
  if (!nodes.empty()) edits["deviceNodes"] = std::move(nodes);
  for (const auto& device : from.cdi_devices()) config.add_cdi_devices()->set_name(device.name());
}

void adjust_hooks(const api::ContainerAdjustment& from, json::object& edits) {
  json::array hooks;
  auto add = [&](const char* kind, const auto& list) {
    for (const auto& hook : list) {
      json::object entry{
          {"hookName", kind}, {"path", hook.path()}, {"args", texts(hook.args())}, {"env", texts(hook.env())}};
      if (hook.timeout().value() != 0) entry["timeout"] = hook.timeout().value();
      hooks.push_back(std::move(entry));
    }
  };
  const auto& all = from.hooks();
  add("prestart", all.prestart());
  add("createRuntime", all.create_runtime());
  add("createContainer", all.create_container());
  add("startContainer", all.start_container());
  add("poststart", all.poststart());
  add("poststop", all.poststop());
  if (!hooks.empty()) edits["hooks"] = std::move(hooks);
}

Status adjust_resources(const api::LinuxContainerAdjustment& from, v1::ContainerConfig& config) {
  if (from.has_resources()) {
    auto limits = cri_resources(from.resources());
    if (!limits) return std::unexpected(std::move(limits.error()));
    auto& to = *config.mutable_linux()->mutable_resources();
    auto& pages = *to.mutable_hugepage_limits();
    for (const auto& limit : limits->hugepage_limits()) {
      drop(pages, [&](const auto& other) { return other.page_size() == limit.page_size(); });
    }
    to.MergeFrom(*limits);
  }
  if (from.has_oom_score_adj())
    config.mutable_linux()->mutable_resources()->set_oom_score_adj(from.oom_score_adj().value());
  return {};
}

// ---- extras

std::string seccomp_json(const api::LinuxSeccomp& from) {
  json::object out{{"defaultAction", from.default_action()}};
  if (from.has_default_errno()) out["defaultErrnoRet"] = from.default_errno().value();
  if (!from.architectures().empty()) out["architectures"] = texts(from.architectures());
  if (!from.flags().empty()) out["flags"] = texts(from.flags());
  json::array calls;
  for (const auto& call : from.syscalls()) {
    json::object entry{{"names", texts(call.names())}, {"action", call.action()}};
    if (call.has_errno_ret()) entry["errnoRet"] = call.errno_ret().value();
    json::array args;
    for (const auto& arg : call.args()) {
      args.push_back(json::object{
          {"index", arg.index()}, {"value", arg.value()}, {"valueTwo", arg.value_two()}, {"op", arg.op()}});
    }
    if (!args.empty()) entry["args"] = std::move(args);
    calls.push_back(std::move(entry));
  }
  out["syscalls"] = std::move(calls);
  return json::serialize(out);
}

Status read_scheduler(const api::LinuxScheduler& from, runtime::SchedulePlan& to) {
  // By the interface's numbers, from SCHED_OTHER on.
  static constexpr std::array<int, 7> kPolicies = {SCHED_NORMAL, SCHED_FIFO, SCHED_RR,      SCHED_BATCH,
                                                   -1,           SCHED_IDLE, SCHED_DEADLINE};
  int policy = from.policy();
  if (policy == api::POLICY_NONE) return {};
  if (policy < api::POLICY_OTHER || policy > api::POLICY_DEADLINE ||
      kPolicies[static_cast<std::size_t>(policy - 1)] < 0) {
    return unsupported(cat("linux.scheduler.policy ", policy));
  }
  to.set_policy = true;
  to.policy = static_cast<std::uint32_t>(kPolicies[static_cast<std::size_t>(policy - 1)]);
  for (int flag : from.flags()) {
    if (!api::LinuxSchedulerFlag_IsValid(flag)) return unsupported(cat("linux.scheduler.flags ", flag));
    to.flags |= std::uint64_t{1} << flag;
  }
  to.nice = from.nice();
  to.priority = static_cast<std::uint32_t>(from.priority());
  to.runtime = from.runtime();
  to.deadline = from.deadline();
  to.period = from.period();
  return {};
}

Status read_io_priority(const api::LinuxIOPriority& from, runtime::SchedulePlan& to) {
  if (!api::IOPrioClass_IsValid(from.class_()) || from.priority() < 0 || from.priority() > 7) {
    return invalid_argument(cat("linux.io_priority: class ", static_cast<int>(from.class_()), " with priority ",
                                from.priority(), ": a class of 0 to 3 and a priority of 0 to 7 were expected"));
  }
  to.set_io_priority = from.class_() != api::IO_CLASS_NONE;
  to.io_priority =
      static_cast<std::uint32_t>(from.class_()) << IOPRIO_CLASS_SHIFT | static_cast<std::uint32_t>(from.priority());
  return {};
}

}  // namespace

Status adjust(const api::ContainerAdjustment& from, Adjusted& to) {
  if (auto s = refuse(from); !s) return s;
  json::object edits;
  adjust_annotations(from, to.config);
  adjust_env(from, to);
  if (!from.args().empty()) {
    *to.config.mutable_command() = from.args();
    to.config.clear_args();
  }
  if (auto s = adjust_mounts(from, to.config, edits); !s) return s;
  adjust_devices(from, to.config, edits);
  adjust_hooks(from, edits);
  if (auto s = adjust_resources(from.linux(), to.config); !s) return s;
  if (!edits.empty()) to.edits = json::serialize(edits);
  api::ContainerAdjustment extras;
  *extras.mutable_rlimits() = from.rlimits();
  const auto& linux = from.linux();
  if (linux.has_seccomp_policy()) *extras.mutable_linux()->mutable_seccomp_policy() = linux.seccomp_policy();
  if (linux.has_scheduler()) *extras.mutable_linux()->mutable_scheduler() = linux.scheduler();
  if (linux.has_io_priority()) *extras.mutable_linux()->mutable_io_priority() = linux.io_priority();
  if (!linux.sysctl().empty()) *extras.mutable_linux()->mutable_sysctl() = linux.sysctl();
  to.extras = extras.SerializeAsString();
  return {};
}

Result<Extras> parse_extras(const std::string& bytes, const v1::PodSandboxConfig& pod) {
  Extras extras;
  api::ContainerAdjustment from;
  if (!from.ParseFromString(bytes)) return fail(Code::kDataLoss, "what plugins wanted can't be read");
  for (const auto& limit : from.rlimits()) extras.rlimits.push_back({limit.type(), limit.soft(), limit.hard()});
  const auto& linux = from.linux();
  if (linux.has_seccomp_policy()) {
    if (!linux.seccomp_policy().listener_path().empty()) return unsupported("linux.seccomp_policy.listener_path");
    extras.seccomp_profile = seccomp_json(linux.seccomp_policy());
  }
  if (auto s = read_scheduler(linux.scheduler(), extras.schedule); !s) return std::unexpected(std::move(s.error()));
  if (linux.has_io_priority()) {
    if (auto s = read_io_priority(linux.io_priority(), extras.schedule); !s)
      return std::unexpected(std::move(s.error()));
  }
  // By the rules for a pod's own: they are its namespaces'.
  v1::PodSandboxConfig asked;
  *asked.mutable_linux()->mutable_security_context() = pod.linux().security_context();
  *asked.mutable_linux()->mutable_sysctls() = linux.sysctl();
  auto sysctls = sysctl_paths(asked);
  if (!sysctls) return std::unexpected(std::move(sysctls.error()));
  for (auto& [path, value] : *sysctls) extras.sysctls.push_back({std::move(path), std::move(value)});
  return extras;
}

}  // namespace gantry::cri
