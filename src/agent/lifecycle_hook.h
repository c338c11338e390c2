// SPDX-License-Identifier: Apache-2.0
// Lifecycle hooks: what a container's spec wants done when it has started (postStart) and before it is stopped
// (preStop): a command in the container, a request to the pod, or nothing for a while. As with kubelet any answer to a
// request will do, tcpSocket is no hook (it fails), and a hook has no time limit of its own but for a request, which is
// given up after an hour.
//
// A hook that was begun is not known after a restart of gantryd. As with kubelet a postStart hook is not run again
// then, and the container is left as it is; a preStop hook is run again with the stop that it belongs to.
//
// Loop thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/loop.h"
#include "base/result.h"

namespace k8s::io::api::core::v1 {
class Container;
class LifecycleHandler;
class Pod;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

struct Environment;

class LifecycleHook {
 public:
  struct Target {
    std::shared_ptr<const k8s::io::api::core::v1::Pod> pod;
    std::string container, id;
    std::string pod_ip;           // may be empty
    Duration request_limit = {};  // of a request; none given: an hour
  };
  enum class Kind : std::uint8_t { kPostStart, kPreStop };

  // Null: the container has no such hook. `ended` is called when it has ended, not before begin() has returned.
  static std::shared_ptr<LifecycleHook> begin(std::shared_ptr<Environment> environment, Kind kind, Target target,
                                              std::function<void()> ended);
  explicit LifecycleHook(Loop& loop);
  LifecycleHook(const LifecycleHook&) = delete;
  LifecycleHook& operator=(const LifecycleHook&) = delete;

  bool has_ended() const { return has_ended_; }
  // Once it has ended. The error is the sentence that users of kubelet know.
  const Status& result() const { return result_; }
  // Nobody waits for it any more: its command is killed, and `ended` is not called.
  void give_up();

 private:
  static void run(const std::shared_ptr<LifecycleHook>& self, std::shared_ptr<Environment> environment,
                  const k8s::io::api::core::v1::LifecycleHandler& handler, Target target);
  void end(Status result);

  std::function<void()> ended_;
  std::shared_ptr<Event> over_;
  Status result_;
  bool has_ended_ = false;
};

}  // namespace gantry::agent
