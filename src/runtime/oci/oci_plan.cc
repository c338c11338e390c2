// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/oci_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "sys/mount.h"

namespace gantry::runtime::oci {
namespace {

std::string offsets_text(const std::vector<TimeOffset>& offsets) {
  std::string text;
  for (const TimeOffset& each : offsets) text += cat(each.clock, " ", each.seconds, " ", each.nanoseconds, "\n");
  return text;
}

void plan_namespaces(const Config& config, const HostFacts& host, PlannedContainer& out) {
  const Linux& from = config.linux_;
  NamespacePlan& to = out.plan.namespaces;
  to.new_pid = from.of(NamespaceKind::kPid).is_new();
  to.new_net = to.raise_loopback = from.of(NamespaceKind::kNetwork).is_new();
  to.new_ipc = from.of(NamespaceKind::kIpc).is_new();
  to.new_uts = from.of(NamespaceKind::kUts).is_new();
  to.new_cgroup = from.of(NamespaceKind::kCgroup).is_new();
  to.new_user = from.of(NamespaceKind::kUser).is_new();
  to.new_time = from.of(NamespaceKind::kTime).is_new();
  to.time_offsets = offsets_text(from.time_offsets);
  to.in_user = host.in_user_namespace || from.of(NamespaceKind::kUser).is_listed;
  if (to.new_user) out.ids = from.ids;
  auto join = [&](NamespaceKind kind, FdIndex& index) {
    const Namespace& space = from.of(kind);
    if (space.path.empty()) return;
    bool is_pid = kind == NamespaceKind::kPid;
    index = add_source(out, {.kind = is_pid ? Source::Kind::kPidNamespace : Source::Kind::kNamespace,
                             .path = space.path,
                             .field = cat("linux.namespaces, the ", to_string(kind), " namespace")});
  };
  join(NamespaceKind::kPid, to.join_pid);
  join(NamespaceKind::kNetwork, to.join_net);
  join(NamespaceKind::kIpc, to.join_ipc);
  join(NamespaceKind::kUts, to.join_uts);
  join(NamespaceKind::kCgroup, to.join_cgroup);
  join(NamespaceKind::kUser, to.join_user);
  join(NamespaceKind::kTime, to.join_time);
}

// A namespace that is joined may be the host's: that is seen when its file is opened.
void note_change(std::string what, FdIndex joined, PlannedContainer& out) {
  if (joined != kNoFd) out.sources[static_cast<std::size_t>(joined)].sets = std::move(what);
}

// The namespace that a sysctl belongs to: only there it is the container's own and not the host's.
Result<NamespaceKind> kind_of_sysctl(const std::string& name, const std::string& path, const Linux& from) {
  constexpr auto kOfIpc =
      std::to_array<std::string_view>({"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall",
                                       "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced", "kernel/auto_msgmni",
                                       "kernel/msg_next_id", "kernel/sem_next_id", "kernel/shm_next_id"});
  auto refuse = [&](std::string_view why) { return invalid_argument(cat("linux.sysctl: ", quoted(name), " ", why)); };
  if (path.empty() || path[0] == '/' || path.find("..") != std::string::npos)
    return refuse("is wrong: a name such as net.ipv4.ip_forward was expected");
  NamespaceKind kind = NamespaceKind::kUts;
  if (path.starts_with("net/")) {
    kind = NamespaceKind::kNetwork;
  } else if (path.starts_with("fs/mqueue/") || std::ranges::find(kOfIpc, path) != kOfIpc.end()) {
    kind = NamespaceKind::kIpc;
  } else if (path == "kernel/hostname") {
    return refuse("is set by the field hostname");
  } else if (path != "kernel/domainname") {
    return refuse("is in no namespace: it would change the host");
  }
  if (from.of(kind).is_listed) return kind;
  return refuse(cat("needs a ", to_string(kind), " namespace in linux.namespaces: it would change the host"));
}

Status plan_sysctls(const Linux& from, PlannedContainer& out) {
  const NamespacePlan& joined = out.plan.namespaces;
  for (const auto& [name, value] : from.sysctl) {
    std::string path = name;
    // Names with slashes are paths already: net/ipv4/conf/eth0.100/forwarding.
    std::size_t separator = path.find_first_of("./");
    if (separator != std::string::npos && path[separator] == '.') {
      for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
    }
    auto kind = kind_of_sysctl(name, path, from);
    if (!kind) return std::unexpected(std::move(kind.error()));
    note_change(cat("linux.sysctl ", quoted(name)),
                *kind == NamespaceKind::kNetwork ? joined.join_net
                : *kind == NamespaceKind::kIpc   ? joined.join_ipc
                                                 : joined.join_uts,
                out);
    out.plan.sysctls.push_back({std::move(path), value});
  }
  return {};
}

sys::Propagation propagation_of(std::string_view name) {
  if (name.starts_with("r")) name.remove_prefix(1);
  if (name == "private") return sys::Propagation::kPrivate;
  if (name == "shared") return sys::Propagation::kShared;
  if (name == "unbindable") return sys::Propagation::kUnbindable;
  return sys::Propagation::kSlave;
}

}  // namespace

FdIndex add_source(PlannedContainer& out, Source source) {
  out.sources.push_back(std::move(source));
  return static_cast<FdIndex>(out.sources.size() - 1);
}

Result<PlannedContainer> plan_config(const Config& config, const HostFacts& host, SeccompCache& seccomp) {
  PlannedContainer out;
  if (host.has_selinux) {
    out.mount_label = config.linux_.mount_label;
  } else if (!config.linux_.mount_label.empty()) {
    out.warnings.emplace_back("linux.mountLabel is left out: this host has no SELinux");
  }
  plan_namespaces(config, host, out);
  out.plan.root.rootfs = add_source(out, {.kind = Source::Kind::kRoot, .path = config.root_path, .field = "root.path"});
  out.plan.root.read_only = config.root_read_only;
  out.plan.root.propagation = std::to_underlying(propagation_of(config.linux_.rootfs_propagation));
  out.plan.hostname = config.hostname;
  out.plan.domainname = config.domainname;
  FdIndex uts = out.plan.namespaces.join_uts;
  if (!config.hostname.empty()) note_change("hostname", uts, out);
  if (!config.domainname.empty()) note_change("domainname", uts, out);
  if (auto s = plan_sysctls(config.linux_, out); !s) return std::unexpected(std::move(s.error()));
  if (auto s = plan_root_of(config, out); !s) return std::unexpected(std::move(s.error()));
  // Without one there is a process all the same, which waits.
  Process process = config.process ? *config.process : idle_process();
  if (auto s = plan_process_of(config, process, host, seccomp, out); !s) return std::unexpected(std::move(s.error()));
  return out;
}

Result<PlannedContainer> plan_exec_process(const Config& config, const Process& process, const HostFacts& host,
                                           SeccompCache& seccomp) {
  PlannedContainer out;
  out.plan.namespaces.join_process = 0;
  out.plan.namespaces.in_user = host.in_user_namespace || config.linux_.of(NamespaceKind::kUser).is_listed;
  out.plan.namespaces.join_process_time = config.linux_.of(NamespaceKind::kTime).is_listed;
  if (auto s = plan_process_of(config, process, host, seccomp, out); !s) return std::unexpected(std::move(s.error()));
  out.plan.process.make_cwd = false;
  out.plan.process.schedule.cpus = process.final_cpus;
  return out;
}

}  // namespace gantry::runtime::oci
