// SPDX-License-Identifier: Apache-2.0
// Where this process sees the host from: it makes processes in mount namespaces of its own, and comes back.
#pragma once

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::cli {

class HostView {
 public:
  static Result<HostView> take();
  Status restore() const;

 private:
  HostView(OwnFd space, DirFd root, DirFd folder)
      : space_(std::move(space)), root_(std::move(root)), folder_(std::move(folder)) {}
  OwnFd space_;
  DirFd root_, folder_;
};

}  // namespace gantry::cli
