// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_foreground.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "sys/file.h"
#include "sys/process.h"

namespace gantry::cli {
namespace {

// This terminal as a pipe for every byte, while it is the container's.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(0, &before_) < 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    is_raw_ = ::tcsetattr(0, TCSANOW, &raw) == 0;
  }
  ~RawTerminal() {
    if (is_raw_) ::tcsetattr(0, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool is_raw_ = false;
};

void copy_size(FdRef master) {
  winsize size{};
  if (::ioctl(0, TIOCGWINSZ, &size) == 0 && size.ws_row != 0) ::ioctl(master.get(), TIOCSWINSZ, &size);
}

// False at the end.
bool copy_some(FdRef from, FdRef to) {
  char bytes[16384];
  auto size = sys::read(from, bytes, sizeof(bytes));
  // A terminal without a process gives an error in place of an end.
  return size && *size != 0 && sys::write_all(to, std::string_view(bytes, *size));
}

bool has_more(FdRef fd) {
  pollfd entry{fd.get(), POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & POLLIN) != 0;
}

}  // namespace

Result<Foreground> Foreground::make() {
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  OwnFd signals(::signalfd(-1, &all, SFD_CLOEXEC));
  if (!signals.is_open()) return std::unexpected(Error::from_errno(errno, "signalfd"));
  return Foreground(std::move(signals));
}

void Foreground::pass_signal(const LaunchedProcess& process) {
  signalfd_siginfo info{};
  auto size = sys::read(signals_, &info, sizeof(info));
  if (!size || *size != sizeof(info)) return;
  int signal = static_cast<int>(info.ssi_signo);
  // Ours: children's ends, writes to who has left.
  if (signal == SIGCHLD || signal == SIGPIPE || signal == SIGURG) return;
  if (signal == SIGWINCH && process.terminal.is_open()) return copy_size(process.terminal);
  (void)sys::pidfd_send_signal(process.pidfd, signal);
}

Result<ExitStatus> Foreground::stay(LaunchedProcess process, std::optional<NotifyProxy> notify, Log* log) {
  std::optional<RawTerminal> raw;
  bool shows = process.terminal.is_open(), hears = shows;
  if (shows) {
    raw.emplace();
    copy_size(process.terminal);
  }
  for (;;) {
    pollfd entries[] = {{signals_.get(), POLLIN, 0},
                        {process.pidfd.get(), POLLIN, 0},
                        {shows ? process.terminal.get() : -1, POLLIN, 0},
                        {hears ? 0 : -1, POLLIN, 0},
                        {notify ? notify->fd().get() : -1, POLLIN, 0}};
    (void)::poll(entries, std::size(entries), -1);
    if (entries[0].revents != 0) pass_signal(process);
    if (entries[2].revents != 0) shows = copy_some(process.terminal, FdRef(1));
    if (entries[3].revents != 0) hears = copy_some(FdRef(0), process.terminal);
    if (entries[4].revents != 0) {
      auto done = notify->pass(::getpid());
      if (!done && log != nullptr) log->warning(done.error().message());
      if (!done || *done) notify.reset();
    }
    if (entries[1].revents == 0) continue;
    while (shows && has_more(process.terminal)) shows = copy_some(process.terminal, FdRef(1));
    return sys::wait_child_end(process.pidfd);
  }
}

}  // namespace gantry::cli
