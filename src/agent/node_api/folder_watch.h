// SPDX-License-Identifier: Apache-2.0
// Wakes whoever waits for changes in a folder, with one inotify for all of its watches: a user has few (128 by
// default), and many may follow logs. Loop thread.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::agent {

class FolderWatch {
 public:
  explicit FolderWatch(Loop& loop);
  ~FolderWatch();

  // As long as it lives.
  class Watching {
   public:
    virtual ~Watching() = default;
  };
  // `changed` is set whenever a file of the folder is written, made, renamed or removed. It must outlive what is
  // returned; that may outlive the FolderWatch.
  Result<std::unique_ptr<Watching>> watch(FdRef folder, Event& changed);

 private:
  struct Impl;
  Loop& loop_;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
