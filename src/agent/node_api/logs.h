// SPDX-License-Identifier: Apache-2.0
// /containerLogs: a container's log out of the files that the runtime writes. A log that is followed goes on in the
// next file when it is rotated, and ends when its container has. Nothing is kept of a client that does not read but one
// piece of at most 64 KiB of the file; the runtime writes on. Loop thread; files are read on a pool.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "agent/node_api/pod_lookup.h"
#include "base/loop.h"
#include "base/task.h"
#include "cri/runtime_service.h"
#include "http/message.h"
#include "http/query.h"

namespace gantry::agent {

class ContainerLogs {
 public:
  // Answers at once, also of clients that do not take theirs; one more is answered 503.
  static constexpr std::size_t kMaxReaders = 512;

  // `runtime` outlives the loop's last turn. `pod_logs_dir` is where all logs are.
  ContainerLogs(Loop& loop, cri::RuntimeService& runtime, std::string pod_logs_dir);
  // Answers that come over time go on to their end.
  ~ContainerLogs();

  // Of a pod that is there.
  Task<http::Reply> serve(PodInfo pod, PodPath path, http::Query query);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
