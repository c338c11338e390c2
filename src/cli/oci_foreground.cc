// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_foreground.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <string>

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

bool has_more(FdRef fd) {
  pollfd entry{fd.get(), POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & POLLIN) != 0;
}

// Bytes on their way from one descriptor to another, which waits for neither: poll() says when.
class Relay {
 public:
  Relay(FdRef from, FdRef to, bool is_open) : from_(from), to_(to), is_open_(is_open) {}
  pollfd source() const { return {is_open_ && bytes_.empty() ? from_.get() : -1, POLLIN, 0}; }
  pollfd sink() const { return {bytes_.empty() ? -1 : to_.get(), POLLOUT, 0}; }

  void take() {
    bytes_.resize(kAtOnce);
    auto size = sys::read(from_, bytes_.data(), bytes_.size());
    bytes_.resize(size.value_or(0));
    // A terminal without a process gives an error in place of an end.
    is_open_ = !bytes_.empty() || (!size && size.error().is_would_block());
  }
  void give() {
    auto size = sys::write(to_, bytes_.data(), bytes_.size());
    if (!size && size.error().is_would_block()) return;
    is_open_ = size.has_value();
    bytes_.erase(0, size.value_or(bytes_.size()));
  }
  // Nothing is on its way, and nothing there to be taken.
  bool is_done() const { return bytes_.empty() && !(is_open_ && has_more(from_)); }

 private:
  // What a pipe that is ready takes as a whole; a descriptor of our caller's waits when it is given more.
  static constexpr std::size_t kAtOnce = PIPE_BUF;
  FdRef from_, to_;
  bool is_open_;
  std::string bytes_;
};

}  // namespace

Result<Foreground> Foreground::make() {
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  OwnFd signals(::signalfd(-1, &all, SFD_CLOEXEC));
  if (!signals.is_open()) return std::unexpected(Error::from_errno(errno, "signalfd"));
  return Foreground(std::move(signals));
}

// Whether it was one for the process.
bool Foreground::pass_signal(const LaunchedProcess& process) {
  signalfd_siginfo info{};
  auto size = sys::read(signals_, &info, sizeof(info));
  if (!size || *size != sizeof(info)) return false;
  int signal = static_cast<int>(info.ssi_signo);
  // Ours: children's ends, writes to who has left.
  if (signal == SIGCHLD || signal == SIGPIPE || signal == SIGURG) return false;
  if (signal == SIGWINCH && process.terminal.is_open()) {
    copy_size(process.terminal);
    return false;
  }
  (void)sys::pidfd_send_signal(process.pidfd, signal);
  return true;
}

Result<ExitStatus> Foreground::stay(LaunchedProcess process, std::optional<NotifyProxy> notify, Log* log) {
  std::optional<RawTerminal> raw;
  bool has_terminal = process.terminal.is_open(), has_ended = false;
  if (has_terminal) {
    raw.emplace();
    copy_size(process.terminal);
    // Nobody else has this end.
    (void)::fcntl(process.terminal.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  }
  Relay out(process.terminal, FdRef(1), has_terminal), in(FdRef(0), process.terminal, has_terminal);
  for (;;) {
    pollfd entries[] = {{signals_.get(), POLLIN, 0},
                        {has_ended ? -1 : process.pidfd.get(), POLLIN, 0},
                        out.source(),
                        out.sink(),
                        in.source(),
                        in.sink(),
                        {notify ? notify->fd().get() : -1, POLLIN, 0}};
    (void)::poll(entries, std::size(entries), -1);
    // Who does not want to wait for what is still to be shown says so by a signal.
    bool is_enough = entries[0].revents != 0 && pass_signal(process) && has_ended;
    if (entries[2].revents != 0) out.take();
    if (entries[3].revents != 0) out.give();
    if (entries[4].revents != 0) in.take();
    if (entries[5].revents != 0) in.give();
    if (entries[6].revents != 0) {
      auto done = notify->pass(::getpid());
      if (!done && log != nullptr) log->warning(done.error().message());
      if (!done || *done) notify.reset();
    }
    has_ended = has_ended || entries[1].revents != 0;
    if (has_ended && (is_enough || out.is_done())) return sys::wait_child_end(process.pidfd);
  }
}

}  // namespace gantry::cli
