// SPDX-License-Identifier: Apache-2.0
// CRIU at work: `criu swrk`, a process of ours that is asked for one thing by a socket, and tells on the way what it is
// about to do.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/criu/criu_wire.h"

namespace gantry::runtime {

// The program, from $PATH. kUnimplemented when it is not installed. Any thread.
Result<std::string> find_criu();

// Of a notification, with descriptors that came along. An error ends the work, and is what it failed with.
using CriuListener = std::function<Status(const CriuReply&, std::span<OwnFd>)>;

// What CRIU is born with, beside this process's namespaces, its standard streams and $PATH.
struct CriuBirth {
  FdRef cgroup;  // not open: this process's
  bool new_cgroup_namespace = false;
  std::span<const FdRef> fds;  // its descriptors from Criu::kFirstFd on
  bool ignores_end = false;    // SIGTERM, SIGINT and SIGHUP, which may be meant for all of a service
};

// Of who may want no answer any more. CRIU that is ended in the middle may leave a process of the container's with a
// part of CRIU in it: it is asked to stop when it tells something, and killed only when it has not ended in time.
struct CriuCancel {
  FdRef when;  // can be read, or its peer is gone; not open: never
  std::chrono::milliseconds grace = std::chrono::minutes(1);
};

// The log that it writes.
struct CriuLog {
  std::string path;
  bool is_kept = true;  // errors say where it is
};

// One thread alone may be in this process: it clones.
class Criu {
 public:
  static Result<Criu> start(const std::string& program, const CriuBirth& birth);
  static constexpr int kFirstFd = 4;
  Criu(Criu&&) noexcept = default;
  Criu& operator=(Criu&&) = delete;
  // What has not answered is killed.
  ~Criu();

  // Returns when it has ended.
  Result<CriuReply> ask(const CriuRequest& request, const CriuLog& log, const CriuListener& listener = {},
                        const CriuCancel& cancel = {});

 private:
  Criu(SocketFd socket, PidFd pidfd) : socket_(std::move(socket)), pidfd_(std::move(pidfd)) {}
  class Patience;
  Status wait_for_word(const CriuLog& log, Patience& patience);
  Result<CriuReply> converse(const CriuRequest& request, const CriuLog& log, const CriuListener& listener,
                             Patience& patience);
  SocketFd socket_;
  PidFd pidfd_;
};

}  // namespace gantry::runtime
