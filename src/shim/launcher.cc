// SPDX-License-Identifier: Apache-2.0
#include "shim/launcher.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <utility>

#include "sys/file.h"
#include "sys/namespaces.h"
#include "sys/pidfd.h"
#include "sys/socket.h"

namespace gantry::shim {
namespace {

// A plan mapped for this process and, by copy on write, for the clone.
class Mapping {
 public:
  static Result<Mapping> of(FdRef memfd) {
    auto info = sys::fstat(memfd);
    if (!info) return std::unexpected(std::move(info.error()));
    auto size = static_cast<std::size_t>(info->st_size);
    if (size == 0 || size > runtime::kMaxPlanBytes) {
      return invalid_argument("plan of " + std::to_string(size) + " bytes: between 1 and " +
                              std::to_string(runtime::kMaxPlanBytes) + " were expected");
    }
    void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd.get(), 0);
    if (at == MAP_FAILED) return std::unexpected(Error::from_errno(errno, "mmap plan"));
    return Mapping(static_cast<char*>(at), size);
  }
  Mapping(Mapping&& other) noexcept : at_(std::exchange(other.at_, nullptr)), size_(other.size_) {}
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping() {
    if (at_ != nullptr) ::munmap(at_, size_);
  }
  std::span<char> bytes() const { return {at_, size_}; }

 private:
  Mapping(char* at, std::size_t size) : at_(at), size_(size) {}
  char* at_;
  std::size_t size_;
};

}  // namespace

Result<Notes> Notes::make() {
  void* at = ::mmap(nullptr, sizeof(runtime::LaunchNotes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return std::unexpected(Error::from_errno(errno, "mmap"));
  return Notes(new (at) runtime::LaunchNotes());
}

Notes::~Notes() {
  if (at_ != nullptr) ::munmap(at_, sizeof(runtime::LaunchNotes));
}

namespace {

// As clone3 does it, and it returns in the new process, too; but what the parent has is a midwife, which makes it.
Result<sys::Cloned> clone_midwife(sys::CloneFlag flags, runtime::LaunchRequest& request, FdRef cgroup) {
  auto midwife = sys::clone3(sys::CloneFlag::kClearSighand, cgroup);
  if (!midwife || midwife->pid != 0) return midwife;
  if (auto s = runtime::attend_birth(request); !s) runtime::end_launch(request.report, s.error());
  // Our parent's child; it is born in the midwife's cgroup.
  auto born = sys::clone3_told(flags | sys::CloneFlag::kParent, {}, &request.notes->born);
  if (!born) runtime::end_launch(request.report, born.error());
  if (born->pid != 0) ::_exit(0);
  // Its clock need not be its parent's.
  if (request.notes->begun != 0) request.notes->go_on();
  return born;
}

// Our own child that nobody has waited for: the number is still its.
Status go_on_as(Launching& launching, pid_t pid) {
  auto pidfd = sys::pidfd_open(pid);
  if (!pidfd) {
    ::kill(pid, SIGKILL);
    return std::unexpected(std::move(pidfd.error()));
  }
  launching.pid = pid;
  launching.pidfd = std::move(*pidfd);
  return {};
}

// The one that `launching` is ends by itself, but not while its cgroup is frozen.
Status end_first(Launching& launching) {
  (void)sys::pidfd_send_signal(launching.pidfd, SIGKILL);
  auto ended = sys::wait_child_end(launching.pidfd);
  return ended ? Status() : std::unexpected(std::move(ended.error()));
}

}  // namespace

Result<Launching> begin_launch(LaunchFds fds, PidJoin join, const runtime::LaunchHooks* hooks) {
  auto plan = Mapping::of(fds.plan);
  if (!plan) return std::unexpected(std::move(plan.error()));
  auto needs = runtime::clone_needs(plan->bytes());
  if (!needs) return std::unexpected(std::move(needs.error()));
  if (sys::has(needs->flags, sys::CloneFlag::kNewUser) && (hooks == nullptr || !hooks->map_ids))
    return invalid_argument("plan: a user namespace whose ids nobody maps");
  if (needs->join_pid != runtime::kNoFd && static_cast<std::size_t>(needs->join_pid) < fds.others.size()) {
    join = {fds.others[static_cast<std::size_t>(needs->join_pid)], false};
  }
  auto report = sys::seqpacket_pair(true);
  if (!report) return std::unexpected(std::move(report.error()));
  auto notes = Notes::make();
  if (!notes) return std::unexpected(std::move(notes.error()));

  runtime::LaunchRequest request;
  request.plan = plan->bytes();
  request.fds = fds.others;
  request.in = fds.in;
  request.out = fds.out;
  request.err = fds.err;
  request.report = report->right;
  request.join_pid = join.process;
  request.join_pod = join.is_pods;
  request.hooks = hooks;
  request.notes = notes->get();
  if (hooks != nullptr && hooks->tells_times) notes->get()->begin();
  auto cloned =
      needs->midwife ? clone_midwife(needs->flags, request, fds.cgroup) : sys::clone3(needs->flags, fds.cgroup);
  if (cloned && cloned->pid == 0) {
    // So that the parent's end is the end of this one too, while it waits for a word.
    report->left.close();
    runtime::launch(std::move(request));
  }
  if (!cloned) return std::unexpected(std::move(cloned.error()));
  return Launching{cloned->pid, std::move(cloned->pidfd), std::move(report->left), std::move(*notes), needs->midwife};
}

Status deliver(Launching& launching) {
  if (!launching.is_midwife) return {};
  if (auto ended = sys::wait_child_end(launching.pidfd); !ended) return std::unexpected(std::move(ended.error()));
  launching.is_midwife = false;
  if (pid_t born = launching.notes.get()->born; born != 0) return go_on_as(launching, born);
  auto progress = read_progress(launching.report);
  if (progress && *progress && (*progress)->failed) return std::unexpected(std::move(*(*progress)->failed));
  return fail(Code::kAborted, "the launch was ended");
}

Status conclude(Launching& launching) {
  pid_t born = launching.notes.get()->born, second = launching.notes.get()->pid;
  for (pid_t next : {launching.is_midwife ? born : 0, second}) {
    if (next == 0) continue;
    if (auto s = end_first(launching); !s) return s;
    if (auto s = go_on_as(launching, next); !s) return s;
  }
  launching.is_midwife = false;
  return {};
}

Result<Listener> take_listener(const Launching& launching, int number) {
  pid_t pid = launching.notes.get()->pid;
  FdRef process = launching.pidfd;
  PidFd second;
  if (pid == 0) {
    pid = launching.pid;
  } else {
    // Our own child that nobody has waited for: the number is still its.
    auto opened = sys::pidfd_open(pid);
    if (!opened) return std::unexpected(std::move(opened.error()));
    second = std::move(*opened);
    process = second;
  }
  auto fd = sys::pidfd_getfd(process, number);
  if (!fd) return std::unexpected(std::move(fd.error()));
  return Listener{pid, std::move(*fd)};
}

Status let_go_on(const Launching& launching) { return sys::send_packet(launching.report, "+", {}); }

void abandon(Launching& launching) {
  (void)end_first(launching);
  pid_t born = launching.notes.get()->born, second = launching.notes.get()->pid;
  for (pid_t next : {launching.is_midwife ? born : 0, second}) {
    if (next != 0 && go_on_as(launching, next)) (void)end_first(launching);
  }
}

Result<std::optional<LaunchProgress>> read_progress(FdRef report) {
  char packet[runtime::kMaxReport];
  auto received = sys::receive_packet(report, packet);
  if (!received) {
    if (received.error().is_would_block()) return std::optional<LaunchProgress>();
    return std::unexpected(std::move(received.error()));
  }
  LaunchProgress progress;
  if (received->fds_lost) {
    progress.failed = Error(Code::kResourceExhausted, "terminal: no descriptor is free in the shim");
    return std::optional(std::move(progress));
  }
  if (received->size == 0) {
    progress.executed = true;
    return std::optional(std::move(progress));
  }
  auto decoded = runtime::decode_report(std::string_view(packet, received->size));
  if (!decoded) return std::unexpected(std::move(decoded.error()));
  if (decoded->kind == runtime::Report::Kind::kTerminal && !received->fds.empty()) {
    progress.terminal = std::move(received->fds[0]);
    unsigned number = 0;
    if (::ioctl(progress.terminal.get(), TIOCGPTN, &number) < 0) {
      progress.terminal.close();
      progress.failed = Error(Code::kFailedPrecondition, "terminal: what the launch opened is no pty master");
    }
  } else if (decoded->kind == runtime::Report::Kind::kHeld) {
    progress.held = true;
  } else if (decoded->kind == runtime::Report::Kind::kListener) {
    progress.listener = decoded->code;
  } else {
    progress.failed = Error(static_cast<Code>(decoded->code), std::move(decoded->message));
  }
  return std::optional(std::move(progress));
}

}  // namespace gantry::shim
