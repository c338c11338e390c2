// SPDX-License-Identifier: Apache-2.0
// CRIU at work: `criu swrk`, a process of ours that is asked for one thing by a socket, and tells on the way what it is
// about to do.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cli/oci_criu_wire.h"

namespace gantry::cli {

// The program, from $PATH. kUnimplemented when it is not installed.
Result<std::string> find_criu();

// Of a notification, with descriptors that came along. An error ends the work, and is what it failed with.
using CriuListener = std::function<Status(const CriuReply&, std::span<OwnFd>)>;

// What CRIU is born with, beside this process's namespaces, its standard streams and $PATH.
struct CriuBirth {
  FdRef cgroup;  // not open: this process's
  bool new_cgroup_namespace = false;
  std::span<const FdRef> fds;  // its descriptors from Criu::kFirstFd on
};

class Criu {
 public:
  static Result<Criu> start(const std::string& program, const CriuBirth& birth);
  static constexpr int kFirstFd = 4;
  Criu(Criu&&) noexcept = default;
  Criu& operator=(Criu&&) = delete;
  // What has not answered is killed.
  ~Criu();

  // Returns when it has ended. `log` is where it writes its log, for messages.
  Result<CriuReply> ask(const CriuRequest& request, const std::string& log, const CriuListener& listener = {});

 private:
  Criu(SocketFd socket, PidFd pidfd) : socket_(std::move(socket)), pidfd_(std::move(pidfd)) {}
  Status wait_for_word(const std::string& log);
  Result<CriuReply> converse(const CriuRequest& request, const std::string& log, const CriuListener& listener);
  SocketFd socket_;
  PidFd pidfd_;
};

}  // namespace gantry::cli
