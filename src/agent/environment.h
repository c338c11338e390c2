// SPDX-License-Identifier: Apache-2.0
// What all pod workers of one agent share. It lives as long as the last of them, which may be longer than the agent: a
// call that was under way when the agent stopped still comes back. Loop thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/event_recorder.h"
#include "agent/pod_folders.h"
#include "agent/pod_spec_to_cri.h"
#include "agent/probe/probe_outcome.h"
#include "agent/pull_queue.h"
#include "agent/user_ranges.h"
#include "agent/volume_calls.h"
#include "api/ip_network.h"
#include "base/loop.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

class ObjectCache;
class PullRecords;
class TokenManager;

struct Environment {
  Loop& loop;
  cri::RuntimeService& runtime;
  cri::ImageService& images;
  AgentConfig config;
  NodeFacts node;
  PodFolders folders;
  Pool disk;
  // Makes a pod's volumes: volumes::prepare.
  PrepareVolumes prepare_volumes;
  VolumeCalls volumes;

  Cluster* cluster = nullptr;  // null: a node that stands alone
  PullQueue pulls;
  UserRanges users = {{.pods = config.root_dir + "/pods"}, config.ids_per_pod};
  EventRecorder* events = nullptr;            // the cluster's; null with it
  std::shared_ptr<ObjectCache> objects = {};  // null without a cluster
  std::shared_ptr<TokenManager> tokens = {};  // null without a cluster

  std::shared_ptr<PullRecords> pull_records = {};  // null: every pod may use every image of the node

  std::string runtime_name = {};  // what the runtime calls itself
  ProbeMeans probe_means = {loop, runtime};
  TimePoint began = std::chrono::steady_clock::now();  // what ran before that an earlier gantryd has started
  // A sandbox with an address of none of these is replaced; empty: any address is fine.
  std::vector<api::IpNetwork> pod_ranges = {};

  // Whose a sandbox is, by id: where its events go.
  std::map<std::string, std::string> sandbox_owners = {};
  // A worker's pod has a new status; a worker's pod is gone. Empty once the agent has stopped.
  std::function<void(const std::string& uid)> changed = {};
  std::function<void(const std::string& uid)> ended = {};
};

}  // namespace gantry::agent
