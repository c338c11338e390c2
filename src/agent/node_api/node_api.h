// SPDX-License-Identifier: Apache-2.0
// The node API, kubelet's on port 10250: what pods are here, their logs, exec, attach and port-forward into them,
// statistics and metrics. The API server's client and metrics-server come here; so does whoever has the rights
// (gate.h). Each request needs a name and a right, /healthz too.
//
//   GET  /healthz /pods /runningpods/ /configz /stats/summary
//   GET  /metrics /metrics/cadvisor /metrics/resource /metrics/probes /metrics/slis
//   GET  /containerLogs/NS/POD/CONTAINER
//   GET, POST  /exec/NS/POD[/UID]/CONTAINER  /attach/NS/POD[/UID]/CONTAINER  /portForward/NS/POD[/UID]
//
// Loop thread. Owner: main.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/node_api/gate.h"
#include "base/loop.h"
#include "base/owned_fd.h"
#include "cri/runtime_service.h"
#include "http/tls.h"

namespace gantry::agent {

struct NodeApiOptions {
  std::string node_name;
  std::string root_dir;      // the agent's, on the disk that counts as the node's
  std::string pod_logs_dir;  // "/var/log/pods"
  GateRules rules;
  bool enters_containers = true;  // false: no logs, no sessions in containers, no /runningpods/
  std::size_t max_connections = 1000;
};

// What it tells of. All outlive the loop's last turn, but for `tokens` and `access` (Gate).
struct NodeApiSources {
  cri::RuntimeService& runtime;
  cri::ImageService& images;
  // The pods of now (Agent::pods).
  std::function<std::vector<PodInfo>()> pods;
  // How often their probes were made (Agent::probe_counts). Null: nobody counts them.
  std::function<std::vector<CountedProbe>()> probes;
  // Calls what it is given after each change of a pod (Agent::observe). Null: nobody does.
  std::function<void(std::function<void(const PodInfo&)>)> observe;
  // The configuration in force: the JSON of a KubeletConfiguration. Null: there is none to tell of.
  std::function<std::string()> configuration;
  // What else is counted, as families of /metrics: what was asked of the runtime (CountedRuntime::text), and what the
  // node's network has done. Null: nobody counts.
  std::function<std::string()> operations;
  TokenReviewer* tokens = nullptr;
  AccessReviewer* access = nullptr;
};

class NodeApi {
 public:
  NodeApi(Loop& loop, NodeApiSources sources, NodeApiOptions options);
  // Stops listening and closes all connections; sessions and logs that are followed end.
  ~NodeApi();
  NodeApi(const NodeApi&) = delete;
  NodeApi& operator=(const NodeApi&) = delete;

  // `tls` has the node's certificate and the CA of clients; its owner replaces them when they are renewed.
  void serve(SocketFd listener, std::shared_ptr<http::TlsServer> tls);
  // Stops listening and lets answers under way end, for at most `limit`.
  Task<> drain(Duration limit);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
