// SPDX-License-Identifier: Apache-2.0
// Takes back the network of pods that have ended, beside whoever ended them: the kernel takes some 30 ms to remove a
// link, and no longer to remove many. Until then a pod's address is held, by a record that the next start finds should
// this one end before. What fails is logged and tried again. Loop thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/task.h"
#include "netns/pod_network.h"

namespace gantry::cri {

class NetworkEnd {
 public:
  // All outlive it. `threads` is where PodNetwork's calls are made.
  NetworkEnd(Loop& loop, Pool& threads, netns::PodNetwork& network);

  // Nothing runs in the pod's network any more.
  void add(std::string sandbox_id);
  // Returns when those that are being taken back are. False: there are none, or the last ones could not be.
  Task<bool> batch();

 private:
  Task<> work();

  Loop& loop_;
  Pool& threads_;
  netns::PodNetwork& network_;
  std::vector<std::string> waiting_;
  bool working_ = false;
  bool failing_ = false;
  std::shared_ptr<Event> tried_;
};

}  // namespace gantry::cri
