// SPDX-License-Identifier: Apache-2.0
// NodeReporter: this node's Node in the API. It registers the node, or brings to one that is there what it lacks; then
// it looks at the machine and the runtime every ten seconds and says what has changed, and every five minutes that
// nothing has. What others write into its status is put right as soon as it is seen. While the API is away it goes on
// trying. A Node that somebody deletes is not made again before the next start, as with kubelet: who takes a node out
// of a cluster deletes it.
//
// Owner: main, to the end of the process. Loop thread.
#pragma once

#include <functional>
#include <optional>

#include "agent/cluster.h"
#include "agent/node_object.h"
#include "base/loop.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

class NodeReporter {
 public:
  // All outlive it. `disk` is for what blocks; `pressures` says what the node is short of, `is_shutting_down` whether
  // the machine goes down. Before cluster.start().
  NodeReporter(Cluster& cluster, cri::RuntimeService& runtime, cri::ImageService& images, Pool& disk, NodeConfig config,
               std::function<NodePressures()> pressures, std::function<bool()> is_shutting_down);
  NodeReporter(const NodeReporter&) = delete;
  NodeReporter& operator=(const NodeReporter&) = delete;

  void start();
  void stop();
  // Something has changed that the status tells of.
  void look_soon() { wake_.set(); }

 private:
  Task<> run();
  Task<Status> look();
  Task<> look_at_runtime();
  Task<> look_at_images();
  Task<api::Answer<void>> register_once();
  Task<api::Answer<void>> report();
  void tell(const Node& before, const Node& after);
  Task<> pause(Duration least, Duration most);
  static api::Timestamp now();

  Cluster& cluster_;
  cri::RuntimeService& runtime_;
  cri::ImageService& images_;
  Pool& disk_;
  const NodeConfig config_;
  const std::function<NodePressures()> pressures_;
  const std::function<bool()> is_shutting_down_;
  NodeState state_;
  std::string image_folder_;
  std::optional<std::chrono::steady_clock::time_point> images_seen_, reported_;
  Event wake_;
  bool stopped_ = false;
};

}  // namespace gantry::agent
