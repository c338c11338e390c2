// SPDX-License-Identifier: Apache-2.0
// Watcher: notices that somebody else has changed our table, such as `nft flush ruleset`: the kernel tells of every
// change and whose it was. Events that came too fast to be read are lost, as after a large change of our own; then it
// is looked whether the table is there at all. Nothing is asked while nothing happens. Loop thread but for open().
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::proxy::nftables {

class Watcher {
 public:
  struct Target {
    std::string table;
    std::string mark;           // its comment
    std::uint32_t port_id = 0;  // whose changes are our own
  };
  // What is missed from here on will be told. Any thread.
  static Result<OwnFd> open();
  // Whether open()'s socket is told of changes; it is from the start. Any thread.
  static Status listen(FdRef socket, bool on);
  Watcher(Loop& loop, OwnFd socket, Target target, std::function<void()> on_disturbed);
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  // To the end of the loop, or of the socket.
  Task<> run();

 private:
  // Reads what there is; whether the table is not as we made it.
  Result<bool> read_events();

  OwnFd socket_;
  Watch watch_;
  const Target target_;
  const std::function<void()> on_disturbed_;
};

}  // namespace gantry::proxy::nftables
