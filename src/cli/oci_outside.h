// SPDX-License-Identifier: Apache-2.0
// A process of this program's that stays in the namespaces that this one leaves for a container's: for what is to be
// done from there. It ends when whoever made it does. Single-threaded programs only.
#pragma once

#include <functional>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::cli {

class Outside {
 public:
  // `does` is called in that process, a copy of this one, with each request.
  using Work = std::function<Status(std::string_view request)>;
  static Result<Outside> make(const Work& does);

  // Returns when it is done, with what the work gave.
  Status ask(std::string_view request) const;

 private:
  explicit Outside(OwnFd socket) : socket_(std::move(socket)) {}
  OwnFd socket_;
};

}  // namespace gantry::cli
