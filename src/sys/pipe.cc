// SPDX-License-Identifier: Apache-2.0
#include "sys/pipe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace gantry::sys {
namespace {

std::unexpected<Error> failed(const char* call) { return std::unexpected(Error::from_errno(errno, call)); }

Status wait_for(FdRef fd, short events, SteadyTime deadline) {
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return fail(Code::kDeadlineExceeded, "the time limit has passed");
    pollfd entry{fd.get(), events, 0};
    int ready = ::poll(&entry, 1, static_cast<int>(std::min<long>(left, 3'600'000)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return failed("poll");
  }
}

}  // namespace

Result<Pipe> pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return failed("pipe2");
  return Pipe{OwnFd(fds[0]), OwnFd(fds[1])};
}

Result<StreamPair> stream_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) return failed("socketpair");
  return StreamPair{SocketFd(fds[0]), SocketFd(fds[1])};
}

Status wait_readable(FdRef fd, SteadyTime deadline) { return wait_for(fd, POLLIN, deadline); }

Status send_all(FdRef socket, std::string_view bytes, SteadyTime deadline) {
  while (!bytes.empty()) {
    ssize_t count = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return failed("send");
    if (auto ready = wait_for(socket, POLLOUT, deadline); !ready) return ready;
  }
  return {};
}

Status lock_exclusive(FdRef fd) {
  while (::flock(fd.get(), LOCK_EX) < 0) {
    if (errno != EINTR) return failed("flock");
  }
  return {};
}

Result<bool> try_lock_exclusive(FdRef fd) {
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return failed("flock");
}

Status lock_for_process(FdRef fd) {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  while (::fcntl(fd.get(), F_SETLKW, &lock) < 0) {
    if (errno != EINTR) return failed("fcntl F_SETLKW");
  }
  return {};
}

Result<bool> is_locked_by_another(FdRef fd) {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  if (::fcntl(fd.get(), F_GETLK, &lock) < 0) return failed("fcntl F_GETLK");
  return lock.l_type != F_UNLCK;
}

Status unlock_for_process(FdRef fd) {
  struct flock lock{};
  lock.l_type = F_UNLCK;
  if (::fcntl(fd.get(), F_SETLK, &lock) < 0) return failed("fcntl F_SETLK");
  return {};
}

}  // namespace gantry::sys
