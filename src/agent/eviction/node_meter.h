// SPDX-License-Identifier: Apache-2.0
// Measures this node and what its pods use: by /proc and statfs(2), the runtime's statistics, and by walking the pods'
// folders, where what others mount is not entered. Loop thread; files on a pool.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/eviction/eviction.h"
#include "agent/pod_disk.h"
#include "base/loop.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

class NodeMeter final : public EvictionMeter {
 public:
  // All outlive the loop's last turn.
  NodeMeter(cri::RuntimeService& runtime, cri::ImageService& images, Pool& disk, PodDiskFolders folders)
      : runtime_(runtime), images_(images), disk_(disk), folders_(std::move(folders)) {}

  Task<Result<NodeReadings>> node() override;
  Task<std::map<std::string, PodUse>> pods(std::vector<PodToMeasure> pods, bool with_folders) override;

 private:
  cri::RuntimeService& runtime_;
  cri::ImageService& images_;
  Pool& disk_;
  const PodDiskFolders folders_;
  std::string image_folder_;
};

}  // namespace gantry::agent
