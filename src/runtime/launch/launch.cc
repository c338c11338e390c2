// SPDX-License-Identifier: Apache-2.0
#include "runtime/launch/launch.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <poll.h>
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
#include "sys/pidfd.h"
#include "sys/same_file.h"
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

}  // namespace

namespace {

std::uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

void LaunchNotes::begin() {
  begun = nanoseconds(CLOCK_MONOTONIC);
  begun_outside = nanoseconds(CLOCK_TAI);
}

void LaunchNotes::go_on() {
  std::uint64_t now = nanoseconds(CLOCK_TAI);
  // It may have been set meanwhile.
  std::uint64_t passed = now > begun_outside ? now - begun_outside : 0;
  begun = nanoseconds(CLOCK_MONOTONIC) - passed;
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

void end_launch(FdRef socket, const Error& error) {
  report_failure(socket, error);
  ::_exit(127);
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
  auto spaces = read_namespaces(reader_);
  if (!spaces) return std::unexpected(std::move(spaces.error()));
  spaces_ = *spaces;
  if (auto s = enter_user_namespace(); !s) return s;
  if (auto s = join_namespaces(); !s) return s;
  namespaces_.join = spaces_.join_process != kNoFd;
  namespaces_.second = namespaces_.join || request_.join_pid.is_open();
  // The second process shares no memory with the parent.
  if (namespaces_.second && ::madvise(request_.notes, sizeof(LaunchNotes), MADV_DONTFORK) < 0) {
    return std::unexpected(Error::from_errno(errno, "madvise"));
  }
  if (spaces_.in_user && namespaces_.second) {
    // gantry-oci executes in the host's mount namespace.
    bool sees_host = namespaces_.join && !is_pods();
    if (auto s = take_host_proc(sees_host ? "/proc" : kStagingHostProc); !s) return s;
  }
  if (namespaces_.join) {
    // Of the PID namespace only children are; this process is not seen there.
    auto kinds = sys::CloneFlag::kNewMount | sys::CloneFlag::kNewPid | sys::CloneFlag::kNewCgroup |
                 sys::CloneFlag::kNewNet | sys::CloneFlag::kNewIpc | sys::CloneFlag::kNewUts;
    if (spaces_.join_process_user) kinds |= sys::CloneFlag::kNewUser;
    if (spaces_.join_process_user && is_pods()) {
      if (auto s = give_from_outside(); !s) return s;
    }
    if (spaces_.join_process_time) kinds |= sys::CloneFlag::kNewTime;
    if (request_.hooks != nullptr)
      kinds = static_cast<sys::CloneFlag>(sys::raw(kinds) & ~sys::raw(request_.hooks->shared));
    auto joined = sys::setns(fd(spaces_.join_process), kinds);
    if (!joined) {
      if (joined.error().sys() == ESRCH) return fail(Code::kFailedPrecondition, "the container has ended");
      return fail_with(std::move(joined.error()), "join the container");
    }
    return spaces_.join_process_user ? become_root() : Status();
  }
  if (namespaces_.second) {
    if (auto s = take_processes(); !s) return s;
  }
  // Not by the clone: there the new namespace's root would be the parent's cgroup, not ours.
  if (spaces_.new_cgroup) return sys::unshare(sys::CloneFlag::kNewCgroup);
  return {};
}

// Until whoever holds the other end says so. When that one is gone, so is this process's purpose.
Status Launch::wait_for_byte(FdRef fd) {
  pollfd entry{fd.get(), POLLIN, 0};
  (void)::poll(&entry, 1, -1);
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

// The procfs of another container's PID namespace: the one that it has itself, without what lies over it. Before Linux
// 6.18 who made one anew would have to be in that namespace, for all in it to see.
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

namespace {

std::unexpected<Error> not_joined(Error&& error) {
  if (error.sys() == ESRCH) return pid_namespace_ended();
  return fail_with(std::move(error), "join the PID namespace");
}

}  // namespace

// In place of another one's, such as the host's, where who is in it has the host's mounts. Made from outside, which
// Linux 6.18 can; nothing when it need not or can't be.
std::optional<MountFd> Launch::own_processes() {
  auto joined = sys::pid_namespace_of(request_.join_pid);
  if (!joined || sys::is_same_file(*joined, shown_space_)) return std::nullopt;
  auto mount = new_procfs(*joined);
  if (!mount) return std::nullopt;
  shown_space_ = std::move(*joined);
  return std::move(*mount);
}

Status Launch::take_processes() {
  auto processes =
      request_.join_pod ? sys::clone_mount(sys::kCwd, kStagingProc, sys::Recursive::kNo) : processes_of_target();
  if (!processes) return not_joined(std::move(processes.error()));
  // A container that may mount can have made its own a shared one.
  if (!request_.join_pod) {
    // A namespace's first process is in no other.
    auto space = sys::openat(*processes, "1/ns/pid", O_RDONLY);
    if (!space) return fail_with(std::move(space.error()), "join the PID namespace: the procfs of the process in it");
    shown_space_ = std::move(*space);
    if (auto own = own_processes()) processes = std::move(*own);
  }
  auto s = sys::set_attributes(*processes, "", sys::MountAttr::kNone, sys::MountAttr::kNone, sys::Propagation::kPrivate,
                               sys::Recursive::kNo);
  if (!s) return s;
  processes_ = std::move(*processes);
  return {};
}

// Only children of this process are born there; it stays where it is. After hooks, which are children of it, too.
Status Launch::join_pid_namespace() {
  if (namespaces_.join || !namespaces_.second) return {};
  if (auto s = sys::setns(request_.join_pid, sys::CloneFlag::kNewPid); !s) return not_joined(std::move(s.error()));
  return request_.join_pod ? Status() : check_processes();
}

// That what was taken for its procfs is not another one: the host's, where who was in it has the host's mounts.
Status Launch::check_processes() {
  auto joined = sys::fstatat(proc_, "self/ns/pid_for_children", 0);
  if (!joined) return joined.error().is_not_found() ? pid_namespace_ended() : not_joined(std::move(joined.error()));
  auto shown = sys::fstat(shown_space_);
  if (shown && sys::is_same_file(*shown, *joined)) return {};
  return fail(Code::kFailedPrecondition,
              "join the PID namespace: at the /proc of the process in it is the procfs of another one");
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
  if (request_.hooks != nullptr && request_.hooks->enter_world) {
    if (auto s = request_.hooks->enter_world(); !s) return s;
  }
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
  if (auto s = join_pid_namespace(); !s) return s;
  began();
  if (auto s = write_sysctls(); !s) return s;
  if (auto s = mask_paths(); !s) return s;
  if (auto s = protect_paths(); !s) return s;
  const char* cwd = reader_.c_string();
  bool make_cwd = flag();
  if (auto s = open_terminal(); !s) return s;
  bool has_attributes = spaces_.in_user && is_pods();  // from outside
  if (!has_attributes) {
    if (auto s = take_on_attributes(); !s) return s;
  }
  proc_.close();
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
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  ::umask(0);
  Launch steps(request);
  auto status = steps.run();
  end_launch(request.report, status.error());
}

}  // namespace gantry::runtime
