// SPDX-License-Identifier: Apache-2.0
// What makes gantryd a node of a cluster, put together: the API server, the Node with its status and its lease, the
// range of its pods' addresses, its certificates, and the node API. Owner: main, to the end of the process. Loop
// thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "agent/agent.h"
#include "agent/certificate_keeper.h"
#include "agent/cluster.h"
#include "agent/counted_runtime.h"
#include "agent/kubelet_config.h"
#include "agent/local_volumes.h"
#include "agent/node_lease.h"
#include "agent/node_reporter.h"
#include "agent/oom_watcher.h"
#include "agent/pod_cidr_teller.h"
#include "api/client/kubeconfig.h"
#include "base/loop.h"
#include "base/result.h"
#include "cli/gantryd_options.h"
#include "cli/node_api_server.h"
#include "cli/service.h"

namespace gantry::cli {

class Membership {
 public:
  // All outlive it.
  struct Parts {
    Loop& loop;
    const GantrydOptions& options;
    agent::CountedRuntime& runtime;
    Pool& disk;
    KeptSockets& kept;
    const agent::KubeletSettings& settings;
    const std::string& configuration;  // in force, as JSON: what the node API tells
  };
  // Reads the kubeconfig of the options, and what certificates there are. Nothing is asked yet. Blocking.
  static Result<std::unique_ptr<Membership>> open(Parts parts);
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;

  agent::Cluster& cluster() { return *cluster_; }
  // What else the node counts, in Prometheus' text form. Before start().
  void set_more_metrics(std::function<std::string()> metrics) { more_metrics_ = std::move(metrics); }
  // `taken` is called when the runtime has taken the pods' ranges that the cluster says. Before start().
  void on_range(std::function<void()> taken) { range_taken_ = std::move(taken); }
  // `agent` has started, and outlives it. From here on the cluster is told, and asks.
  Status start(agent::Agent& agent);
  void stop();

 private:
  explicit Membership(Parts parts) : parts_(parts) {}
  void keep_certificates(const api::Kubeconfig& kubeconfig);
  void keep_client_certificate(const api::Kubeconfig& kubeconfig, const std::string& folder);
  void keep_serving_certificate(const std::string& folder);
  Status serve_node_api();
  void watch_oom();

  const Parts parts_;
  agent::Agent* agent_ = nullptr;  // null until it has started
  std::function<std::string()> more_metrics_;
  std::function<void()> range_taken_;
  std::string ca_;                 // of the cluster, as PEM
  std::unique_ptr<agent::Cluster> cluster_;
  std::unique_ptr<agent::NodeReporter> reporter_;
  std::unique_ptr<agent::NodeLease> lease_;
  std::unique_ptr<agent::LocalVolumes> local_volumes_;
  std::unique_ptr<agent::OomWatcher> oom_;           // null: the kernel's log can't be read
  std::unique_ptr<agent::PodCidrTeller> pod_cidrs_;  // null: the command line says them
  NodeApiServer node_api_;
  // Null: somebody else sees to it.
  std::unique_ptr<agent::CertificateKeeper> client_certificate_, serving_certificate_;
};

}  // namespace gantry::cli
