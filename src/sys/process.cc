// SPDX-License-Identifier: Apache-2.0
#include "sys/process.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>

#include "sys/file.h"
#include "sys/namespaces.h"

namespace gantry::sys {
namespace {

std::unexpected<Error> failed(const char* call) { return std::unexpected(Error::from_errno(errno, call)); }

}  // namespace

Result<Cloned> clone3(CloneFlag flags, FdRef cgroup) { return clone3_told(flags, cgroup, nullptr); }

Result<Cloned> clone3_told(CloneFlag flags, FdRef cgroup, volatile pid_t* told) {
  clone_args args{};
  int pidfd = -1;
  args.flags = raw(flags) | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = has(flags, CloneFlag::kParent) ? 0 : SIGCHLD;
  if (cgroup.is_open()) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(cgroup.get());
  }
  if (told != nullptr) {
    args.flags |= CLONE_PARENT_SETTID;
    args.parent_tid = reinterpret_cast<std::uintptr_t>(told);
  }
  long pid = ::syscall(SYS_clone3, &args, sizeof(args));
  if (pid < 0) return failed("clone3");
  if (pid == 0) return Cloned{0, PidFd()};
  return Cloned{static_cast<pid_t>(pid), PidFd(pidfd)};
}

Result<PidFd> pidfd_open(pid_t pid) {
  long fd = ::syscall(SYS_pidfd_open, pid, 0U);
  if (fd < 0) return failed("pidfd_open");
  return PidFd(static_cast<int>(fd));
}

Status pidfd_send_signal(FdRef pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0U) < 0) return failed("pidfd_send_signal");
  return {};
}

Result<std::optional<ExitStatus>> wait_child(FdRef pidfd) { return reap(pidfd, false); }

Result<ExitStatus> wait_child_end(FdRef pidfd) {
  auto status = reap(pidfd, true);
  if (!status) return std::unexpected(std::move(status.error()));
  return status->value_or(ExitStatus{});
}

Status setns(FdRef target, CloneFlag kinds) {
  if (::setns(target.get(), static_cast<int>(raw(kinds))) < 0) return failed("setns");
  return {};
}

Result<OwnFd> owner_of_namespace(FdRef space) {
  int fd = ::ioctl(space.get(), NS_GET_USERNS);
  if (fd < 0) return failed("ioctl NS_GET_USERNS");
  return OwnFd(fd);
}

Status unshare(CloneFlag kinds) {
  if (::unshare(static_cast<int>(raw(kinds))) < 0) return failed("unshare");
  return {};
}

void reset_signals() {
  // Only the system call itself takes libc's two.
  struct {
    void* handler = nullptr;  // SIG_DFL
    unsigned long flags = 0;
    void* restorer = nullptr;
    std::uint64_t mask = 0;
  } action;
  for (int signal = 1; signal <= 64; ++signal)
    ::syscall(SYS_rt_sigaction, signal, &action, nullptr, sizeof(action.mask));
}

Status fill_standard_streams() {
  for (int number = 0; number <= 2; ++number) {
    // The lowest free number is the one that was asked for.
    if (::fcntl(number, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) return failed("open /dev/null");
  }
  return {};
}

Status close_range(unsigned first, bool cloexec) {
  constexpr unsigned kCloexec = 1U << 2;
  if (::syscall(SYS_close_range, first, ~0U, cloexec ? kCloexec : 0U) < 0) return failed("close_range");
  return {};
}

Status prctl(int option, unsigned long argument) {
  if (::prctl(option, argument, 0UL, 0UL, 0UL) < 0) return failed("prctl");
  return {};
}

Status set_name(const char* name) { return prctl(PR_SET_NAME, reinterpret_cast<unsigned long>(name)); }

Result<std::uint64_t> start_time_of(FdRef proc, pid_t pid) {
  std::string path = std::to_string(pid) + "/stat";
  auto text = read_file(proc, path.c_str(), 4096);
  if (!text) return std::unexpected(std::move(text.error()));
  // The name in brackets may hold anything, also blanks and brackets: fields are counted after the last one.
  std::string_view rest = *text;
  std::size_t close = rest.rfind(") ");
  if (close == std::string_view::npos) return fail(Code::kInternal, path + ": not a stat line");
  rest.remove_prefix(close + 2);
  for (int field = 3; field < 22; ++field) {
    std::size_t blank = rest.find(' ');
    if (blank == std::string_view::npos) return fail(Code::kInternal, path + ": too few fields");
    rest.remove_prefix(blank + 1);
  }
  std::uint64_t ticks = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
  return ticks;
}

}  // namespace gantry::sys
