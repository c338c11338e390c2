// SPDX-License-Identifier: Apache-2.0
#include "runtime/launch/launch.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "runtime/launch/steps.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/socket.h"

namespace gantry::runtime {
namespace {

// Tells the parent why, in one packet of at most kMaxReport bytes.
void report_failure(FdRef socket, const Error& error) {
  char packet[kMaxReport];
  std::string_view message = error.message();
  std::size_t room = sizeof(packet) - 5;
  std::size_t size = message.size() < room ? message.size() : room;
  packet[0] = static_cast<char>(Report::Kind::kFailed);
  auto code = static_cast<std::int32_t>(error.code());
  std::memcpy(packet + 1, &code, 4);
  std::memcpy(packet + 5, message.data(), size);
  // write, not sendmsg: a seccomp profile that is loaded by now hardly ever denies it.
  (void)sys::write(socket, packet, 5 + size);
}

void read_version(PlanReader& reader, bool& known) { known = reader.integer<std::uint32_t>() == kPlanVersion; }

}  // namespace

void LaunchNotes::begin() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  begun = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

void Launch::began() {
  if (request_.notes != nullptr && request_.notes->begun != 0) request_.notes->begin();
}

void Launch::ended(LaunchStep step) {
  if (request_.notes == nullptr || request_.notes->begun == 0) return;
  LaunchNotes& notes = *request_.notes;
  std::uint64_t before = notes.begun;
  notes.begin();
  volatile std::uint64_t& sum = notes.took[static_cast<std::size_t>(step)];
  sum = sum + (notes.begun - before);
}

Result<CloneNeeds> clone_needs(std::span<const char> plan) {
  PlanReader reader(std::string_view(plan.data(), plan.size()));
  bool known = false;
  read_version(reader, known);
  if (!known) return invalid_argument("plan: of another version than " + std::to_string(kPlanVersion));
  bool new_pid = reader.integer<std::uint8_t>() != 0;
  reader.integer<std::uint8_t>();  // the cgroup namespace is the child's, once it is in its cgroup
  bool new_net = reader.integer<std::uint8_t>() != 0;
  bool new_ipc = reader.integer<std::uint8_t>() != 0;
  bool new_uts = reader.integer<std::uint8_t>() != 0;
  auto join_process = reader.integer<FdIndex>();
  auto join_pid = reader.integer<FdIndex>();
  if (!reader.ok()) return invalid_argument("plan: too short");
  CloneNeeds needs;
  needs.flags = sys::CloneFlag::kClearSighand;
  if (join_process == kNoFd) needs.flags |= sys::CloneFlag::kNewMount;
  if (new_pid) needs.flags |= sys::CloneFlag::kNewPid;
  if (new_net) needs.flags |= sys::CloneFlag::kNewNet;
  if (new_ipc) needs.flags |= sys::CloneFlag::kNewIpc;
  if (new_uts) needs.flags |= sys::CloneFlag::kNewUts;
  if (join_process == kNoFd) needs.join_pid = join_pid;
  return needs;
}

Result<Report> decode_report(std::string_view packet) {
  ByteReader reader(packet);
  Report report;
  report.kind = reader.integer<Report::Kind>();
  report.code = reader.integer<std::int32_t>();
  if (!reader.ok()) return invalid_argument("launch report: too short");
  // It holds names out of images and paths out of specs, and a long one was cut at a byte: a full packet ends in "...".
  report.message = as_utf8(reader.rest(), kMaxReport - 8);
  return report;
}

std::unexpected<Error> pid_namespace_ended() {
  return fail(Code::kFailedPrecondition, "the process whose PID namespace was to be joined has ended");
}

FdRef Launch::fd(FdIndex index) const {
  if (index < 0 || static_cast<std::size_t>(index) >= request_.fds.size()) return {};
  return request_.fds[static_cast<std::size_t>(index)];
}

Status Launch::enter_namespaces() {
  bool known = false;
  read_version(reader_, known);
  flag();  // new_pid, new_net, new_ipc, new_uts: made by the clone
  namespaces_.new_cgroup = flag();
  flag();
  flag();
  flag();
  auto join_process = reader_.integer<FdIndex>();
  reader_.integer<FdIndex>();
  if (!known || !reader_.ok()) return invalid_argument("plan: unreadable");
  if (auto s = join_namespaces(); !s) return s;
  namespaces_.join = join_process != kNoFd;
  namespaces_.second = namespaces_.join || request_.join_pid.is_open();
  // The second process shares no memory with the parent.
  if (namespaces_.second && ::madvise(request_.notes, sizeof(LaunchNotes), MADV_DONTFORK) < 0) {
    return std::unexpected(Error::from_errno(errno, "madvise"));
  }
  if (namespaces_.join) {
    // Of the PID namespace only children are; this process is not seen there.
    auto joined =
        sys::setns(fd(join_process), sys::CloneFlag::kNewMount | sys::CloneFlag::kNewPid | sys::CloneFlag::kNewCgroup |
                                         sys::CloneFlag::kNewNet | sys::CloneFlag::kNewIpc | sys::CloneFlag::kNewUts);
    if (!joined) {
      if (joined.error().sys() == ESRCH) return fail(Code::kFailedPrecondition, "the container has ended");
      return fail_with(std::move(joined.error()), "join the container");
    }
    return {};
  }
  if (namespaces_.second) {
    if (auto joined = join_pid_namespace(); !joined) {
      if (joined.error().sys() == ESRCH) return pid_namespace_ended();
      return fail_with(std::move(joined.error()), "join the PID namespace");
    }
  }
  // Not by the clone: there the new namespace's root would be the parent's cgroup, not ours.
  if (namespaces_.new_cgroup) return sys::unshare(sys::CloneFlag::kNewCgroup);
  return {};
}

Status Launch::join_namespaces() {
  constexpr std::pair<const char*, sys::CloneFlag> kKinds[] = {{"network", sys::CloneFlag::kNewNet},
                                                               {"ipc", sys::CloneFlag::kNewIpc},
                                                               {"uts", sys::CloneFlag::kNewUts},
                                                               {"cgroup", sys::CloneFlag::kNewCgroup}};
  for (auto [name, kind] : kKinds) {
    FdRef file = fd(reader_.integer<FdIndex>());
    if (!file.is_open()) continue;
    if (auto s = sys::setns(file, kind); !s) {
      return fail_with(std::move(s.error()), std::string("join the ") + name + " namespace");
    }
  }
  return flag() ? sys::raise_loopback() : Status();
}

// Until whoever holds the other end says so. When that one is gone, so is this process's purpose.
Status Launch::wait_for_byte(FdRef fd) {
  char byte;
  auto size = sys::read(fd, &byte, 1);
  if (!size) return std::unexpected(std::move(size.error()));
  if (*size == 0) ::_exit(127);
  return {};
}

Status Launch::wait_at_hold(FdRef hold) {
  if (!hold.is_open()) return {};
  char packet[5] = {static_cast<char>(Report::Kind::kHeld)};
  if (auto s = sys::send_packet(request_.report, std::string_view(packet, sizeof(packet)), {}); !s) return s;
  return wait_for_byte(hold);
}

// The procfs of another container's PID namespace: the one that it has itself, without what lies over it. Who made one
// anew would have to be in that namespace, for all in it to see.
Result<MountFd> Launch::processes_of_target() {
  if (auto s = make_proc(); !s) return std::unexpected(std::move(s.error()));
  auto own = sys::openat(proc_, "self/ns/mnt", O_RDONLY);
  if (!own) return std::unexpected(std::move(own.error()));
  if (auto s = sys::setns(request_.join_pid, sys::CloneFlag::kNewMount); !s) {
    return std::unexpected(std::move(s.error()));
  }
  auto processes = []() -> Result<MountFd> {
    auto folder = sys::openat2(sys::kCwd, "/proc", O_PATH | O_DIRECTORY, sys::Resolve::kNoSymlinks);
    if (!folder) return std::unexpected(std::move(folder.error()));
    auto filesystem = sys::fstatfs(*folder);
    auto info = sys::fstat(*folder);
    constexpr ino_t kRootOfProcfs = 1;
    if (!filesystem || filesystem->f_type != PROC_SUPER_MAGIC || !info || info->st_ino != kRootOfProcfs) {
      return fail(Code::kFailedPrecondition, "the target container has no procfs at its /proc");
    }
    return sys::clone_mount(*folder, "", sys::Recursive::kNo);
  }();
  if (auto s = sys::setns(*own, sys::CloneFlag::kNewMount); !s) return std::unexpected(std::move(s.error()));
  return processes;
}

// Only children of this process are born there; it stays where it is.
Status Launch::join_pid_namespace() {
  auto processes =
      request_.join_pod ? sys::clone_mount(sys::kCwd, kStagingProc, sys::Recursive::kNo) : processes_of_target();
  if (!processes) return std::unexpected(std::move(processes.error()));
  // A container that may mount can have made its own a shared one.
  auto s = sys::set_attributes(*processes, "", sys::MountAttr::kNone, sys::MountAttr::kNone, sys::Propagation::kPrivate,
                               sys::Recursive::kNo);
  if (!s) return s;
  processes_ = std::move(*processes);
  return sys::setns(request_.join_pid, sys::CloneFlag::kNewPid);
}

// A session keyring of its own: the one that this process inherited is gantryd's, and would be every container's.
Status Launch::leave_keyring() {
  if (flag()) return {};
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) >= 0) return {};
  // A kernel without keys, or a world around us that hides them: then there is nothing to leave.
  if (errno == ENOSYS || errno == EPERM) return {};
  return std::unexpected(Error::from_errno(errno, "keyctl KEYCTL_JOIN_SESSION_KEYRING"));
}

Status Launch::run() {
  ended(LaunchStep::kSpawn);
  if (auto s = enter_namespaces(); !s) return s;
  if (auto s = leave_keyring(); !s) return s;
  ended(LaunchStep::kNamespaces);
  FdRef hold = fd(reader_.integer<FdIndex>());
  if (auto s = read_root(); !s) return s;
  const char* hostname = reader_.c_string();
  if (*hostname != '\0' && ::sethostname(hostname, std::strlen(hostname)) < 0) {
    return std::unexpected(Error::from_errno(errno, "sethostname"));
  }
  const char* domainname = reader_.c_string();
  if (*domainname != '\0' && ::setdomainname(domainname, std::strlen(domainname)) < 0) {
    return std::unexpected(Error::from_errno(errno, "setdomainname"));
  }
  if (auto s = make_mounts(); !s) return s;
  if (auto s = make_devices(); !s) return s;
  if (auto s = make_links(); !s) return s;
  ended(LaunchStep::kMounts);
  if (auto s = wait_at_hold(hold); !s) return s;
  if (auto s = run_hooks_before_root(); !s) return s;
  began();
  if (auto s = write_sysctls(); !s) return s;
  if (auto s = mask_paths(); !s) return s;
  if (auto s = protect_paths(); !s) return s;
  const char* cwd = reader_.c_string();
  bool make_cwd = flag();
  if (auto s = open_terminal(); !s) return s;
  if (auto s = set_attributes(); !s) return s;
  if (auto s = read_limits(); !s) return s;
  if (make_cwd && !namespaces_.join) {
    if (auto made = ensure_target(root_, cwd, false, sys::Resolve::kNone); !made)
      return fail_with(std::move(made.error()), "working directory");
  }
  if (auto s = enter_root(); !s) return s;
  if (auto s = enter_folder(cwd); !s) return s;
  ended(LaunchStep::kMounts);
  // Before the filter: profiles that are older than close_range deny it. And before the limits: with a low one nothing
  // could be opened or moved any more.
  if (auto s = keep_standard_streams(); !s) return s;
  if (auto s = set_limits(); !s) return s;
  return become_user_and_execute();
}

void launch(LaunchRequest request) {
  // Before anything of a container can see this process: it shares memory contents with the shim.
  (void)sys::prctl(PR_SET_DUMPABLE, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  ::umask(0);
  Launch steps(request);
  auto status = steps.run();
  report_failure(request.report, status.error());
  ::_exit(127);
}

}  // namespace gantry::runtime
