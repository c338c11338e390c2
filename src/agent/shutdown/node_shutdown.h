// SPDX-License-Identifier: Apache-2.0
// Ends the node's pods before the machine goes down, as kubelet does: from logind's word on the node takes no pod any
// more, and those that are there end by their priority, the least important ones first, each of them within the time
// that its priority has. When all of a priority have ended, and the API server knows it, the next ones follow at once;
// then the lock is released, and the machine goes down. An agent that begins during a shutdown first learns for a while
// which pods there are; those that it learns of later end then. A shutdown that is cancelled ends no further pods;
// those that have ended stay so.
//
// Owner: the agent. Loop thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/eviction/eviction.h"
#include "agent/shutdown/shutdown_lock.h"
#include "agent/shutdown/shutdown_periods.h"
#include "base/loop.h"

namespace gantry::agent {

class EventRecorder;

class NodeShutdown {
 public:
  // What it acts with.
  struct Hands {
    struct Pod {
      std::string uid;
      std::int32_t priority = 0;
    };
    // Those of which something runs, or is to.
    std::function<std::vector<Pod>()> pods;
    // All that ran before this agent are among them.
    std::function<bool()> are_known;
    std::function<void(const std::string& uid, const PodEviction& eviction)> end;
    // The API server has heard all that there is to say of it, or need not.
    std::function<bool(const std::string& uid)> is_told;
    // It is shutting down, or is not any more.
    std::function<void()> changed;
    EventRecorder* events = nullptr;  // null: nobody is told
  };

  // `periods` and `lock` are as configured; without periods nothing is done. Both outlive the loop's last turn.
  NodeShutdown(Loop& loop, Pool& disk, std::vector<ShutdownPeriod> periods, ShutdownLock::Options lock, Hands hands);
  // Stops it.
  ~NodeShutdown();
  NodeShutdown(const NodeShutdown&) = delete;
  NodeShutdown& operator=(const NodeShutdown&) = delete;

  void start();
  void stop();
  bool is_shutting_down() const;
  // A pod, or what the API server knows of one, has changed.
  void hear();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Why it takes no pod: the reason and message of those that it refuses.
inline constexpr char kNodeShutdownReason[] = "NodeShutdown";
inline constexpr char kNodeShutdownMessage[] = "Pod was rejected as the node is shutting down.";

}  // namespace gantry::agent
