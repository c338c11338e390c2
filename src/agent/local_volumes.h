// SPDX-License-Identifier: Apache-2.0
// LocalVolumes: removes the folders of this node's persistent volumes (volumes/local_folder.h) when somebody has
// deleted the volumes, and then says so by taking their finalizer off. What is in a volume whose reclaim policy is not
// Delete stays. The volumes are watched only when the Node says that it has any. Folders are made where pods' volumes
// are, not here.
//
// Owner: main, to the end of the process. Loop thread; files are removed on a thread of its own.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "agent/cluster.h"
#include "api/client/work_queue.h"
#include "base/loop.h"

namespace k8s::io::api::core::v1 {
class PersistentVolume;
}

namespace gantry::agent {

class LocalVolumes {
 public:
  // Volumes are in `folder`, pods in `pods_folder`; both absolute. The cluster outlives it. Before cluster.start().
  LocalVolumes(Cluster& cluster, std::string folder, std::string pods_folder);
  LocalVolumes(const LocalVolumes&) = delete;
  LocalVolumes& operator=(const LocalVolumes&) = delete;

  // With the cluster, after start().
  void stop();

 private:
  void look();
  Task<Status> work(std::string name);

  Cluster& cluster_;
  const std::string folder_, pods_folder_;
  bool watches_ = false, stopped_ = false;
  std::optional<Pool> disk_;  // once it watches
  std::unique_ptr<api::InformerOf<k8s::io::api::core::v1::PersistentVolume>> volumes_;
  api::WorkQueue queue_;
};

}  // namespace gantry::agent
