// SPDX-License-Identifier: Apache-2.0
// Which namespaces a plan's process is born in, and by whom; user namespaces.
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/launch/steps.h"
#include "sys/socket.h"

namespace gantry::runtime {
namespace {

std::unexpected<Error> failed(const char* call) { return std::unexpected(Error::from_errno(errno, call)); }

}  // namespace

Result<Namespaces> read_namespaces(PlanReader& reader) {
  if (reader.integer<std::uint32_t>() != kPlanVersion)
    return invalid_argument("plan: of another version than " + std::to_string(kPlanVersion));
  Namespaces out;
  auto flag = [&reader] { return reader.integer<std::uint8_t>() != 0; };
  for (bool* each :
       {&out.new_pid, &out.new_cgroup, &out.new_net, &out.new_ipc, &out.new_uts, &out.new_user, &out.new_time})
    *each = flag();
  out.time_offsets = reader.c_string();
  out.in_user = flag();
  out.join_process = reader.integer<FdIndex>();
  out.join_process_user = flag();
  out.join_process_time = flag();
  for (FdIndex* each :
       {&out.join_pid, &out.join_net, &out.join_ipc, &out.join_uts, &out.join_cgroup, &out.join_user, &out.join_time})
    *each = reader.integer<FdIndex>();
  out.raise_loopback = flag();
  out.root_uid = reader.integer<std::uint32_t>();
  out.root_gid = reader.integer<std::uint32_t>();
  out.set_oom_score_adj = flag();
  out.oom_score_adj = reader.integer<std::int32_t>();
  out.apparmor_profile = reader.c_string();
  out.selinux_label = reader.c_string();
  if (!reader.ok()) return invalid_argument("plan: too short");
  return out;
}

bool Namespaces::enter_user() const { return new_user || join_user != kNoFd; }

bool Namespaces::need_midwife() const {
  if (join_user != kNoFd || new_time) return true;
  return new_user && (join_net != kNoFd || join_ipc != kNoFd || join_uts != kNoFd || join_time != kNoFd);
}

Result<CloneNeeds> clone_needs(std::span<const char> plan) {
  PlanReader reader(std::string_view(plan.data(), plan.size()));
  auto spaces = read_namespaces(reader);
  if (!spaces) return std::unexpected(std::move(spaces.error()));
  CloneNeeds needs;
  needs.flags = sys::CloneFlag::kClearSighand;
  needs.midwife = spaces->need_midwife();
  if (spaces->join_process == kNoFd) needs.flags |= sys::CloneFlag::kNewMount;
  if (spaces->new_pid) needs.flags |= sys::CloneFlag::kNewPid;
  // The cgroup namespace is the child's, once it is in its cgroup.
  if (spaces->new_net) needs.flags |= sys::CloneFlag::kNewNet;
  if (spaces->new_ipc && !spaces->enter_user()) needs.flags |= sys::CloneFlag::kNewIpc;
  if (spaces->new_uts) needs.flags |= sys::CloneFlag::kNewUts;
  if (spaces->new_user) needs.flags |= sys::CloneFlag::kNewUser;
  if (spaces->join_process == kNoFd) needs.join_pid = spaces->join_pid;
  return needs;
}

Status Launch::join(FdIndex index, sys::CloneFlag kind, const char* name) {
  FdRef file = fd(index);
  if (!file.is_open()) return {};
  auto s = sys::setns(file, kind);
  if (kind == sys::CloneFlag::kNewTime && request_.notes->begun != 0) request_.notes->go_on();
  return s ? s : fail_with(std::move(s.error()), std::string("join the ") + name + " namespace");
}

Status Launch::join_by_file() {
  if (auto s = join(spaces_.join_net, sys::CloneFlag::kNewNet, "network"); !s) return s;
  if (auto s = join(spaces_.join_ipc, sys::CloneFlag::kNewIpc, "ipc"); !s) return s;
  if (auto s = join(spaces_.join_time, sys::CloneFlag::kNewTime, "time"); !s) return s;
  return join(spaces_.join_uts, sys::CloneFlag::kNewUts, "uts");
}

Status Launch::join_namespaces() {
  if (!spaces_.need_midwife()) {
    if (auto s = join_by_file(); !s) return s;
  }
  // Not by the clone, which is before there is a root: its message queues would be nobody's.
  if (spaces_.new_ipc && spaces_.enter_user()) {
    if (auto s = sys::unshare(sys::CloneFlag::kNewIpc); !s) return s;
  }
  if (auto s = join(spaces_.join_cgroup, sys::CloneFlag::kNewCgroup, "cgroup"); !s) return s;
  return spaces_.raise_loopback ? sys::raise_loopback() : Status();
}

// Children of this process are in it; its clocks can be set until the first one is.
Status Launch::make_time_namespace() {
  if (!spaces_.new_time) return {};
  if (auto s = sys::unshare(sys::CloneFlag::kNewTime); !s) return s;
  if (*spaces_.time_offsets == '\0') return {};
  if (spaces_.in_user) {
    if (auto s = take_host_proc(kStagingHostProc); !s) return s;
  }
  auto file = open_proc(".", "self/timens_offsets");
  if (!file) return std::unexpected(std::move(file.error()));
  auto s = sys::write_all(*file, spaces_.time_offsets);
  return s ? s : fail_with(std::move(s.error()), "linux.timeOffsets");
}

Status Launch::attend_birth() {
  auto spaces = read_namespaces(reader_);
  if (!spaces) return std::unexpected(std::move(spaces.error()));
  spaces_ = *spaces;
  if (auto s = make_time_namespace(); !s) return s;
  if (is_pods()) {
    if (auto s = take_host_proc(kStagingHostProc); !s) return s;
    if (auto s = give_from_outside(); !s) return s;
    if (auto s = make_roots_outside(); !s) return s;
  }
  // Before it is where others may be. Not earlier: of a process that is not dumpable, files in /proc are the host
  // root's.
  (void)sys::prctl(PR_SET_DUMPABLE, 0);
  if (auto s = join_by_file(); !s) return s;
  return join(spaces_.join_user, sys::CloneFlag::kNewUser, "user");
}

Status attend_birth(LaunchRequest& request) { return Launch(request).attend_birth(); }

Status Launch::enter_user_namespace() {
  // Until its ids are mapped nobody else is in it. A process that is not dumpable has files in /proc that are the host
  // root's: a parent that is not root could not write the mappings.
  if (spaces_.new_user) {
    if (auto s = wait_for_byte(request_.report); !s) return s;
    began();
  }
  (void)sys::prctl(PR_SET_DUMPABLE, 0);
  return spaces_.in_user && !spaces_.join_process_user ? become_root() : Status();
}

// What this process makes is to belong to the namespace's root: its own ids are none of the namespace's.
Status Launch::become_root() {
  if (::setgroups(0, nullptr) < 0) {
    // Whoever made the namespace without privileges gave up the call for all in it (/proc/PID/setgroups).
    if (errno != EPERM) return failed("setgroups");
    keeps_groups_ = true;
  }
  if (::setresgid(0, 0, 0) < 0) return failed("the user namespace maps no group 0: setresgid");
  if (::setresuid(0, 0, 0) < 0) return failed("the user namespace maps no user 0: setresuid");
  // A change of ids makes a process dumpable where fs.suid_dumpable says so.
  return sys::prctl(PR_SET_DUMPABLE, 0);
}

}  // namespace gantry::runtime
