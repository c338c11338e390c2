// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/plan.h"

#include "base/bytes.h"

namespace gantry::runtime {
namespace {

// Writes the flat form and remembers the first thing that was wrong with the plan.
class Encoder {
 public:
  explicit Encoder(std::size_t fd_count) : fd_count_(fd_count) {}

  template <typename T>
  void integer(T value) {
    out_.integer(value);
  }
  void flag(bool value) { out_.integer(static_cast<std::uint8_t>(value)); }
  void string(const char* field, const std::string& value) {
    if (value.find('\0') != std::string::npos) refuse(field, "has a NUL byte inside");
    out_.string(std::string_view(value.c_str(), value.size() + 1));
  }
  void bytes(const std::string& value) { out_.string(value); }
  void fd(const char* field, FdIndex index) {
    if (index != kNoFd && (index < 0 || static_cast<std::size_t>(index) >= fd_count_)) {
      refuse(field, "names descriptor " + std::to_string(index) + " of " + std::to_string(fd_count_));
    }
    out_.integer(index);
  }
  void count(const char* field, std::size_t value, std::size_t limit = kMaxPlanItems) {
    if (value > limit) {
      refuse(field, std::to_string(value) + " items: at most " + std::to_string(limit) + " are allowed");
    }
    out_.integer(static_cast<std::uint32_t>(value));
  }
  // Space for pointers to `items` strings and a null behind them, aligned: the launcher fills it in its private
  // mapping.
  void pointer_space(std::size_t items) {
    while (out_.bytes().size() % sizeof(void*) != 0) out_.integer(std::uint8_t{0});
    for (std::size_t i = 0; i <= items; ++i) out_.integer(std::uint64_t{0});
  }
  void refuse(const char* field, const std::string& why) {
    if (problem_.empty()) problem_ = std::string("plan: ") + field + " " + why;
  }
  Result<std::string> finish() && {
    if (out_.bytes().size() > kMaxPlanBytes) {
      refuse("process", "makes it " + std::to_string(out_.bytes().size()) + " bytes long: at most " +
                            std::to_string(kMaxPlanBytes) + " are allowed");
    }
    if (!problem_.empty()) return invalid_argument(std::move(problem_));
    return std::move(out_).take();
  }

 private:
  ByteWriter out_;
  std::size_t fd_count_;
  std::string problem_;
};

// And what a process that is to come into a user namespace takes on before.
void encode_namespaces(Encoder& out, const NamespacePlan& namespaces, const ProcessPlan& process) {
  out.flag(namespaces.new_pid);
  out.flag(namespaces.new_cgroup);
  out.flag(namespaces.new_net);
  out.flag(namespaces.new_ipc);
  out.flag(namespaces.new_uts);
  out.flag(namespaces.new_user);
  out.flag(namespaces.new_time);
  out.string("namespaces.time_offsets", namespaces.time_offsets);
  out.flag(namespaces.in_user);
  out.fd("namespaces.join_process", namespaces.join_process);
  out.flag(namespaces.join_process_user);
  out.flag(namespaces.join_process_time);
  out.fd("namespaces.join_pid", namespaces.join_pid);
  out.fd("namespaces.join_net", namespaces.join_net);
  out.fd("namespaces.join_ipc", namespaces.join_ipc);
  out.fd("namespaces.join_uts", namespaces.join_uts);
  out.fd("namespaces.join_cgroup", namespaces.join_cgroup);
  out.fd("namespaces.join_user", namespaces.join_user);
  out.fd("namespaces.join_time", namespaces.join_time);
  out.flag(namespaces.raise_loopback);
  out.integer(namespaces.root_uid);
  out.integer(namespaces.root_gid);
  out.flag(process.set_oom_score_adj);
  out.integer(process.oom_score_adj);
  out.string("process.apparmor_profile", process.apparmor_profile);
  out.string("process.selinux_label", process.selinux_label);
}

void encode_root(Encoder& out, const RootPlan& root, bool joins) {
  bool overlay = root.store != kNoFd;
  bool folder = root.rootfs != kNoFd;
  if (joins ? (overlay || folder) : overlay == folder) {
    out.refuse("root", joins ? "is given for a process that joins another's" : "needs either an overlay or a folder");
  }
  out.fd("root.store", root.store);
  out.fd("root.upper", root.upper);
  out.string("root.overlay", root.overlay);
  out.fd("root.rootfs", root.rootfs);
  out.flag(root.read_only);
  out.integer(root.propagation);
}

void encode_mount(Encoder& out, const MountPlan& mount) {
  out.integer(mount.kind);
  out.string("mounts.target", mount.target);
  out.string("mounts.type", mount.type);
  out.count("mounts.options", mount.options.size());
  for (const auto& option : mount.options) out.string("mounts.options", option);
  out.fd("mounts.source", mount.source);
  bool has_source =
      mount.kind == MountKind::kBind || mount.kind == MountKind::kBindInTurn || mount.kind == MountKind::kMade;
  if (has_source != (mount.source != kNoFd)) out.refuse("mounts.source", "goes with a bind, and only with one");
  if (mount.kind == MountKind::kImage && mount.options.size() != 2)
    out.refuse("mounts.options", "of an image are overlay's and a path");
  out.flag(mount.target_is_file);
  out.integer(mount.tree_set_attributes);
  out.integer(mount.tree_clear_attributes);
  out.integer(mount.set_attributes);
  out.integer(mount.clear_attributes);
  out.integer(mount.tree_propagation);
  out.integer(mount.propagation);
}

void encode_strings(Encoder& out, const char* field, const std::vector<PlanString>& values) {
  out.count(field, values.size());
  for (const auto& value : values) out.string(field, value);
}

void encode_schedule(Encoder& out, const SchedulePlan& schedule) {
  out.flag(schedule.set_policy);
  out.integer(schedule.policy);
  out.integer(schedule.flags);
  out.integer(schedule.nice);
  out.integer(schedule.priority);
  out.integer(schedule.runtime);
  out.integer(schedule.deadline);
  out.integer(schedule.period);
  out.flag(schedule.set_io_priority);
  out.integer(schedule.io_priority);
  out.bytes(schedule.cpus);
}

void encode_process(Encoder& out, const ProcessPlan& process) {
  bool is_missing = process.args.empty() ? process.start == kNoFd : process.args[0].empty();
  if (is_missing) out.refuse("process.args", "is empty: a program to run was expected");
  out.string("process.cwd", process.cwd);
  out.flag(process.make_cwd);
  out.flag(process.terminal);
  out.integer(process.rows);
  out.integer(process.columns);
  out.count("process.rlimits", process.rlimits.size());
  for (const auto& limit : process.rlimits) {
    out.integer(limit.resource);
    out.integer(limit.soft);
    out.integer(limit.hard);
  }
  out.integer(process.preserved_fds);
  out.fd("process.start", process.start);
  out.fd("process.start_report", process.start_report);
  if (process.start == kNoFd && process.start_report != kNoFd)
    out.refuse("process.start_report", "goes with process.start");
  out.flag(process.set_personality);
  out.integer(process.personality);
  encode_schedule(out, process.schedule);
  out.integer(process.umask);
  out.integer(process.uid);
  out.integer(process.gid);
  out.count("process.groups", process.groups.size(), kMaxGroups);
  for (std::uint32_t group : process.groups) out.integer(group);
  const CapabilityPlan& capabilities = process.capabilities;
  out.integer(capabilities.bounding);
  out.integer(capabilities.effective);
  out.integer(capabilities.permitted);
  out.integer(capabilities.inheritable);
  out.integer(capabilities.ambient);
  out.flag(process.no_new_privileges);
  out.integer(process.seccomp.flags);
  if (process.seccomp.program.size() % 8 != 0 || process.seccomp.program.size() / 8 > 65535) {
    out.refuse("process.seccomp", "is no array of at most 65535 BPF instructions");
  }
  out.bytes(process.seccomp.program);
  encode_strings(out, "process.args", process.args);
  encode_strings(out, "process.env", process.env);
  out.pointer_space(process.args.size());
  out.pointer_space(process.env.size());
}

}  // namespace

Result<std::string> encode_plan(const Plan& plan, std::size_t fd_count) {
  Encoder out(fd_count);
  out.integer(kPlanVersion);
  encode_namespaces(out, plan.namespaces, plan.process);
  out.flag(plan.process.keep_keyring);
  out.fd("hold", plan.hold);
  encode_root(out, plan.root, plan.namespaces.join_process != kNoFd);
  out.string("hostname", plan.hostname);
  out.string("domainname", plan.domainname);
  out.count("mounts", plan.mounts.size());
  for (const auto& mount : plan.mounts) {
    if (mount.kind == MountKind::kImage && plan.root.store == kNoFd)
      out.refuse("mounts", "has an image, which only the root's store gives");
    encode_mount(out, mount);
  }
  out.count("devices", plan.devices.size());
  for (const auto& device : plan.devices) {
    out.string("devices.path", device.path);
    out.integer(device.mode);
    out.integer(device.major);
    out.integer(device.minor);
    out.integer(device.uid);
    out.integer(device.gid);
    out.fd("devices.source", device.source);
  }
  out.count("links", plan.links.size());
  for (const auto& link : plan.links) {
    out.string("links.path", link.path);
    out.string("links.target", link.target);
  }
  out.count("sysctls", plan.sysctls.size());
  for (const auto& sysctl : plan.sysctls) {
    out.string("sysctls.path", sysctl.path);
    out.string("sysctls.value", sysctl.value);
  }
  encode_strings(out, "masked_paths", plan.masked_paths);
  encode_strings(out, "read_only_paths", plan.read_only_paths);
  encode_process(out, plan.process);
  return std::move(out).finish();
}

}  // namespace gantry::runtime
