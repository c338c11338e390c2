// SPDX-License-Identifier: Apache-2.0
// Keeps containers' logs from filling the disk: one that has grown beyond its limit is set aside, the runtime is told
// to open a new one, older ones are compressed in the background and the oldest removed. Names and limits are
// kubelet's (log_files.h). Whoever follows a log goes on in the new file.
//
// A rotation that was cut short (the runtime did not open a new file, or gantryd was killed) is put right by the next
// look: a log that is not there is opened by asking the runtime once more.
//
// Owner: the agent. Loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

struct LogLimits {
  std::int64_t max_size = 10 << 20;  // bytes; negative: logs are not rotated
  std::size_t max_files = 5;         // of one container, the one that is written to included; 2 or more
  std::size_t max_workers = 1;       // that rotate and compress at once
  Duration interval = std::chrono::seconds(10);
};

struct WrittenLog {
  std::string container;  // its id
  std::string path;
};

class LogRotation {
 public:
  // `running` tells of the logs that are written now. The runtime outlives the loop's last turn.
  LogRotation(Loop& loop, cri::RuntimeService& runtime, std::string pod_logs_dir, LogLimits limits,
              std::function<std::vector<WrittenLog>()> running);
  // Stops it.
  ~LogRotation();
  LogRotation(const LogRotation&) = delete;
  LogRotation& operator=(const LogRotation&) = delete;

  void start();
  void stop();
  // One look at all of them; start() has one made in each interval. `stamp` is the time of now as it is in names.
  Task<> look(std::string stamp);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
