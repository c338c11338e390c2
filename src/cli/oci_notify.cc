// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_notify.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <chrono>

#include "base/text.h"
#include "sys/file.h"
#include "sys/pipe.h"
#include "sys/socket.h"

namespace gantry::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kSocket = "notify.sock";
constexpr const char* kFolderInside = "/run/notify";
constexpr std::size_t kMaxMessage = 4096;
// For the one that waits outside to take what it is told.
constexpr std::chrono::seconds kPatience{10};

// The line that says so. An empty one: there is none.
std::string_view ready_line(std::string_view message) {
  while (!message.empty()) {
    std::string_view line = message.substr(0, message.find('\n'));
    if (line.starts_with("READY=")) return line;
    message.remove_prefix(std::min(line.size() + 1, message.size()));
  }
  return {};
}

// Returns when all that was said before was read: whoever reads it closes the descriptor that came along.
Status pass_barrier(FdRef outside) {
  auto pipe = sys::pipe();
  if (!pipe) return std::unexpected(std::move(pipe.error()));
  FdRef fds[] = {pipe->write_end};
  if (auto s = sys::send_packet(outside, "BARRIER=1", fds); !s) return s;
  pipe->write_end.close();
  return sys::wait_readable(pipe->read_end, Clock::now() + kPatience);
}

}  // namespace

std::string callers_notify_socket() {
  const char* address = ::getenv("NOTIFY_SOCKET");
  return address == nullptr ? "" : address;
}

void add_notify_socket(const std::string& folder, runtime::oci::Config& config) {
  config.mounts.push_back({.destination = kFolderInside,
                           .type = "bind",
                           .source = cat(folder, "/", kNotifyFolder),
                           .options = {"bind", "nosuid", "noexec", "nodev", "ro"}});
  if (config.process) config.process->env.push_back(cat("NOTIFY_SOCKET=", kFolderInside, "/", kSocket));
}

Status make_notify_folder(FdRef folder) {
  if (auto s = sys::mkdirat(folder, kNotifyFolder, 0755); !s) return s;
  auto made = sys::openat(folder, kNotifyFolder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  return made ? sys::fchmod(*made, 0755) : std::unexpected(std::move(made.error()));
}

Result<std::optional<NotifyProxy>> NotifyProxy::open(FdRef folder) {
  std::string outside = callers_notify_socket();
  if (outside.empty()) return std::nullopt;
  auto dir = sys::openat(folder, kNotifyFolder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && dir.error().is_not_found()) return std::nullopt;
  if (!dir) return std::unexpected(std::move(dir.error()));
  // For every user of the container.
  mode_t before = ::umask(0);
  auto inside = sys::bind_datagrams(*dir, kSocket, 0777);
  ::umask(before);
  if (!inside) return fail_with(std::move(inside.error()), "NOTIFY_SOCKET");
  return NotifyProxy(std::move(*inside), std::move(outside));
}

Result<bool> NotifyProxy::pass(pid_t main_pid) {
  char buffer[kMaxMessage];
  auto packet = sys::receive_packet(inside_, buffer);
  if (!packet) {
    // A message that is too long, too, is none of ours.
    if (packet.error().is_would_block() || packet.error().code() == Code::kInvalidArgument) return false;
    return fail_with(std::move(packet.error()), "NOTIFY_SOCKET");
  }
  std::string_view line = ready_line({buffer, packet->size});
  if (line.empty()) return false;
  auto tell = [&]() -> Status {
    auto socket = sys::connect_datagrams(outside_);
    if (!socket) return std::unexpected(std::move(socket.error()));
    for (const std::string& word : {cat(line, "\n"), cat("MAINPID=", main_pid, "\n")}) {
      if (auto s = sys::send_all(*socket, word, Clock::now() + kPatience); !s) return s;
    }
    // Not all know it.
    (void)pass_barrier(*socket);
    return {};
  };
  if (auto s = tell(); !s) return fail_with(std::move(s.error()), cat("NOTIFY_SOCKET ", outside_));
  return true;
}

Status NotifyProxy::wait(FdRef pidfd, pid_t main_pid) {
  for (;;) {
    pollfd entries[] = {{inside_.get(), POLLIN, 0}, {pidfd.get(), POLLIN, 0}};
    (void)::poll(entries, 2, -1);
    if (entries[0].revents != 0) {
      auto done = pass(main_pid);
      if (!done) return std::unexpected(std::move(done.error()));
      if (*done) return {};
    } else if (entries[1].revents != 0) {
      return {};
    }
  }
}

}  // namespace gantry::cli
