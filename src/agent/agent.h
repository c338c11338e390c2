// SPDX-License-Identifier: Apache-2.0
// The agent: what kubelet is on other nodes. Its pods come from a folder of manifests: a file that appears is a pod
// that runs, a file that changes is a new pod in place of the old one, a file that goes takes its pod along. On a node
// of a cluster they also come from the API server, which is told how they are (status_writer.h); a pod that is deleted
// there is ended here, and its object removed when nothing of it is left. While the API server is away all goes on as
// it was, and none of its pods is ended before all of them were seen. Every pod has a serial worker (pod_worker.h); the
// runtime's events and the folder's drive them, nothing polls.
//
// A restart of gantryd changes nothing that runs: start() finds the pods of before by their labels and goes on with
// them. Pods that others run through the CRI (crictl, a kubelet) are not the agent's and are never touched.
//
// Owner: main. Loop thread. Needs: root, for volumes in memory and other users' files; nothing else of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/backoff.h"
#include "agent/image_gc.h"
#include "agent/log_rotation.h"
#include "agent/manifest.h"
#include "agent/node_config.h"
#include "agent/probe/probe_count.h"
#include "agent/pull_queue.h"
#include "agent/pull_verification.h"
#include "agent/qos_cgroups.h"
#include "agent/shutdown/shutdown_lock.h"
#include "agent/shutdown/shutdown_periods.h"
#include "agent/token_bucket.h"
#include "api/ip_network.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "cgroups/driver.h"
#include "cri/runtime_service.h"
#include "volumes/prepare.h"

namespace k8s::io::api::core::v1 {
class Pod;
class PodStatus;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

class Cluster;

struct AgentConfig {
  // Made (0755) when it is not there. Absolute, as all paths here.
  std::string manifest_dir = "/etc/gantry/manifests";
  std::string root_dir = "/var/lib/kubelet";
  std::string local_volumes_dir;  // of persistent volumes that this node makes; empty: it makes none
  std::string pod_logs_dir = "/var/log/pods";
  std::string container_logs_dir = "/var/log/containers";
  // A DNS subdomain. It is part of what pods' uids are made of.
  std::string node_name;
  // Appended to the names of static pods: "-" and the node's name on a node of a cluster, where other nodes run the
  // same manifest. Empty on a node that stands alone.
  std::string name_suffix;
  // What pods on the host's network answer at, and what status.hostIP is. Empty: not told.
  std::string host_ip;
  // The cgroup that holds kubepods/, "/..." or empty for the root of the hierarchy. With the driver systemd pods are in
  // kubepods.slice instead.
  std::string cgroup_root;
  cgroups::DriverKind cgroup_driver = cgroups::DriverKind::kCgroupfs;
  // Where the runtime's cgroups are; null: no limits are set above those of pods, which the runtime sets. It outlives
  // the loop's last turn.
  const cgroups::Hierarchy* hierarchy = nullptr;
  std::string instance;  // the mark of this node's cgroups; empty beneath another's runtime
  NodeReserve reserve;
  std::int64_t pod_pids_limit = -1;  // processes of one pod; -1: no limit
  std::uint32_t ids_per_pod = 65536;  // with a user namespace: a multiple of that
  bool limits_cpu = true;             // what pods and containers have as limits of cpu
  std::chrono::microseconds cpu_period{100'000};  // in which they count
  // Containers that say nothing of seccomp have the runtime's profile; else none.
  bool seccomp_by_default = true;
  // Over its memory limit the kernel kills one process of a container, and not all.
  bool single_process_oom_kill = false;
  std::string resolv_conf = "/etc/resolv.conf";
  // The cluster's DNS: its domain ("cluster.local"), which names of pods end in, and the servers that pods of the
  // policy ClusterFirst ask. Either may be empty.
  std::string cluster_domain;
  std::vector<std::string> cluster_dns;
  // Beside the safe ones pods may set these: names, or beginnings of names ("net.core.*").
  std::vector<std::string> allowed_unsafe_sysctls;
  // What containers that are not privileged don't see, and don't write to: the runtime's defaults for this host. As
  // kubelet does, the agent names them with every container; empty lists are none.
  std::vector<std::string> masked_paths;
  std::vector<std::string> read_only_paths;
  // Of the node, in bytes, for the oom score of burstable pods; 0: what the kernel says.
  std::uint64_t memory_capacity = 0;
  // Restarts of a container that ended: at once, then 10 s after its end, 20 s, ... 300 s; anew after 10 minutes of
  // running.
  BackoffLimits crash{std::chrono::seconds(10), std::chrono::minutes(5), std::chrono::minutes(10)};
  // Pulls of an image that failed, for each pod.
  BackoffLimits pull{std::chrono::seconds(10), std::chrono::minutes(5), std::chrono::minutes(10)};
  PullLimits pull_limits;
  // registryPullQPS and registryBurst: what comes beyond waits.
  RateLimit pull_rate{5, 10};
  PullVerification verification;
  RateLimit event_rate{50, 100};  // eventRecordQPS and eventBurst
  // Looking again for an image that is not on the node, and may come from somebody else. The store has no event for it,
  // and looking costs next to nothing.
  BackoffLimits image{std::chrono::seconds(2), std::chrono::seconds(30), std::chrono::minutes(1)};
  // The disk of images is looked at once in each period, as it fills up without a word.
  ImageGcLimits image_gc;
  Duration image_gc_period = std::chrono::minutes(5);
  // Of containers' logs.
  LogLimits logs;
  // Without thresholds the node is never short of anything.
  EvictionConfig eviction;
  // What pods have to end in before the machine goes down, and where that is heard of; the lock's delay follows.
  ShutdownConfig shutdown;
  ShutdownLock::Options shutdown_lock;
  // Trying again what the runtime or the node refused.
  BackoffLimits retry{std::chrono::seconds(1), std::chrono::minutes(1), std::chrono::minutes(2)};
  // For which a pod's volumes may take before its events say so, as kubelet does; again after each of them.
  Duration volume_patience = std::chrono::seconds(123);
  // Telling the API server again what it did not take, or was not there to take.
  BackoffLimits tell{std::chrono::milliseconds(200), std::chrono::seconds(10), std::chrono::minutes(1)};
};

// As volumes::prepare.
using PrepareVolumes = std::function<Result<volumes::PreparedVolumes>(
    const k8s::io::api::core::v1::Pod& pod, const std::string& pod_folder, const volumes::Claims& claims,
    std::atomic<int>* passed)>;

// A pod as it is asked for and as it is. Values that don't change; a later state is another object.
struct PodInfo {
  std::string uid;
  std::shared_ptr<const k8s::io::api::core::v1::Pod> pod;
  std::shared_ptr<const k8s::io::api::core::v1::PodStatus> status;
};

class Agent {
 public:
  // All outlive it. `runtime` and `cluster` also outlive the loop's last turn: what was under way may still come back
  // to them. A node that stands alone has no cluster (null); one that has is started after the agent.
  Agent(Loop& loop, cri::RuntimeService& runtime, cri::ImageService& images, AgentConfig config,
        Cluster* cluster = nullptr, PrepareVolumes prepare_volumes = volumes::prepare);
  // Stops it.
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Once. Reads the folder and what the runtime has, then starts the workers. An error means that nothing was started:
  // a folder that can't be made or watched, a runtime that does not answer.
  Task<Status> start();
  // Nothing more is done for any pod; what runs goes on running.
  void stop();

  // The pods of now, also those that are going, by namespace and name.
  std::vector<PodInfo> pods() const;
  // Of the pods of now.
  std::vector<CountedProbe> probe_counts() const;
  // The manifests that are not in force as they stand, and why.
  std::vector<ManifestProblem> problems() const;
  // Calls `observer` after each change of a pod's status; with a null status when the pod has gone.
  void observe(std::function<void(const PodInfo&)> observer);
  // The node can do more than before: what waits for it is tried again at once.
  void look_again();
  // Pods that have an address of none of these get another sandbox, but for those that are to run once. Empty: any
  // address is fine, as in the beginning.
  void keep_pods_in(std::vector<api::IpNetwork> ranges);
  // The servers that pods of the policy ClusterFirst ask, from now on, where the configuration names none.
  void use_cluster_dns(std::vector<std::string> servers);
  // What the node is short of; `changed` is called when there is something else.
  NodePressures pressures() const;
  void on_pressures(std::function<void()> changed);
  // The machine goes down soon; `changed` is called when it does, or does not any more.
  bool is_shutting_down() const;
  void on_shutdown(std::function<void()> changed);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
