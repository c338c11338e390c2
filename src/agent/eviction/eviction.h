// SPDX-License-Identifier: Apache-2.0
// Keeps the node alive when it is short of memory, disk or processes: says so (the pressures of its Node) and ends one
// pod after the other, those first that use more than they asked for. For its disk, what pods that have ended left on
// it is removed before, and images that nobody uses; and no pod goes before the last one has given back what it had:
// else one after the other would go for nothing. Pods of manifests and critical ones stay. Pods that are beyond their
// own limits on disk go whatever the node has. Every ten seconds, as kubelet.
//
// Owner: the agent. Loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/eviction/pod_use.h"
#include "agent/eviction/thresholds.h"
#include "agent/node_config.h"
#include "agent/node_machine.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class Pod;
class PodStatus;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

class EventRecorder;

// How a pod is ended that did not end by itself.
struct PodEviction {
  std::string reason = "Evicted";
  std::string message;
  // For the node's sake: its condition DisruptionTarget says so.
  bool is_disruption = false;
  Duration grace{};  // the longest that it is given
};

struct PodToMeasure {
  std::string uid;
  std::shared_ptr<const k8s::io::api::core::v1::Pod> pod;
  bool is_static = false;  // of a manifest
};

// What is measured. Both may take a while; what they answer is of then.
class EvictionMeter {
 public:
  virtual ~EvictionMeter() = default;
  virtual Task<Result<NodeReadings>> node() = 0;
  // By uid; what is not there was not measured. Empty when nothing could be. What they have on disks takes longest, and
  // is looked at `with_folders` alone.
  virtual Task<std::map<std::string, PodUse>> pods(std::vector<PodToMeasure> pods, bool with_folders) = 0;
};

class Evictions {
 public:
  // What it acts with.
  struct Hands {
    // That run and are not about to end.
    std::function<std::vector<PodToMeasure>()> pods;
    std::function<void(const std::string& uid, const PodEviction& eviction)> evict;
    // Nothing of it runs any more.
    std::function<bool(const std::string& uid)> has_ended;
    // What it had on the disk is free, or can't be freed now.
    std::function<bool(const std::string& uid)> has_given_back;
    // Removes containers, logs and volumes of pods that have ended, and then images that nobody uses.
    std::function<Task<>(bool with_images)> reclaim_disk;
    // There are other pressures than before.
    std::function<void()> pressures_changed;
    EventRecorder* events = nullptr;  // null: nobody is told
  };

  // The meter outlives the loop's last turn.
  Evictions(Loop& loop, std::shared_ptr<EvictionMeter> meter, EvictionConfig config, Hands hands);
  ~Evictions();
  Evictions(const Evictions&) = delete;
  Evictions& operator=(const Evictions&) = delete;

  // What the node is short of, before anything is done about it.
  Task<> measure();
  // One round. True when a pod was evicted.
  Task<bool> look();
  // A round every period, from the next one on; sooner after a pod was evicted and has ended.
  void start();
  void stop();
  // A pod has changed.
  void hear();

  NodePressures pressures() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
