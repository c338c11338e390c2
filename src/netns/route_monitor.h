// SPDX-License-Identifier: Apache-2.0
// Tells when links, addresses or routes of the host have changed, so that the ways to other nodes are to be looked at
// again: a link that was down and is up has lost its routes. What comes and goes with pods is not told.
//
// Owner: whoever waits for its descriptor. One thread.
#pragma once

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"
#include "netns/links.h"

namespace gantry::netns {

class RouteMonitor {
 public:
  // In the calling thread's network namespace. `instance`: of the pods' network.
  static Result<RouteMonitor> open(const std::string& instance);

  // Readable when there is something to take.
  FdRef fd() const { return socket_; }
  // Takes all that is there: whether any of it is of interest. Doesn't block.
  bool take();

 private:
  RouteMonitor(OwnFd socket, const std::string& instance) : socket_(std::move(socket)), marks_(instance) {}
  bool is_of_interest(const std::string& message) const;

  OwnFd socket_;
  LinkMarks marks_;
};

}  // namespace gantry::netns
