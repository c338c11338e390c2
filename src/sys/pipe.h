// SPDX-License-Identifier: Apache-2.0
// Streams between this process and a child, waited for with a deadline, and file locks (pipe2(2), socketpair(2),
// poll(2), flock(2)). For code that blocks on a thread of its own; the loop has Watch.
#pragma once

#include <chrono>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

using SteadyTime = std::chrono::steady_clock::time_point;

struct Pipe {
  OwnFd read_end, write_end;
};
// Blocking.
Result<Pipe> pipe();

// A connected pair of SOCK_STREAM, blocking. Unlike a pipe it can be written to without a SIGPIPE.
struct StreamPair {
  SocketFd left, right;
};
Result<StreamPair> stream_pair();

// Waits until the descriptor can be read (or its peer is gone); kDeadlineExceeded after `deadline`.
Status wait_readable(FdRef fd, SteadyTime deadline);
// Sends all of it on a socket, waiting while the peer's queue is full; no SIGPIPE. kDeadlineExceeded after `deadline`;
// is_gone() when the peer closed.
Status send_all(FdRef socket, std::string_view bytes, SteadyTime deadline);

// flock(2), exclusive; held by the open file description, so until the last copy of `fd` is closed. try_lock() is false
// when another has it.
Status lock_exclusive(FdRef fd);
Result<bool> try_lock_exclusive(FdRef fd);

// A lock of the process (fcntl(2), F_SETLKW) on a file that is open for writing: it ends with the process, or when it
// closes any descriptor of the file, and a clone does not have it.
Status lock_for_process(FdRef fd);
// Whether another process has it.
Result<bool> is_locked_by_another(FdRef fd);
Status unlock_for_process(FdRef fd);

}  // namespace gantry::sys
