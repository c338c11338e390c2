// SPDX-License-Identifier: Apache-2.0
// Cluster: the API server as this node sees it. It holds what every part of the agent asks with: one Client with the
// node's credentials, and what is watched of the cluster. Requests fail while the server is away, and watches go on
// trying: nothing here ends for that.
//
// Parts add their handlers to the informers first, then main calls start() once. Owner: main, to the end of the
// process: what was under way comes back to it. Loop thread.
#pragma once

#include <memory>
#include <string>

#include "agent/event_recorder.h"
#include "api/client/client.h"
#include "api/client/informer.h"
#include "api/client/kubeconfig.h"
#include "api/client/remote_transport.h"

namespace k8s::io::api::core::v1 {
class Node;
class Pod;
class Service;
}  // namespace k8s::io::api::core::v1
namespace k8s::io::api::node::v1 {
class RuntimeClass;
}

namespace gantry::agent {

// The kinds that an agent asks for, by their names alone.
std::vector<api::Kind> cluster_kinds();

class Cluster {
 public:
  using Node = k8s::io::api::core::v1::Node;
  using Pod = k8s::io::api::core::v1::Pod;
  using Service = k8s::io::api::core::v1::Service;
  using RuntimeClass = k8s::io::api::node::v1::RuntimeClass;

  // With the credentials of a kubeconfig. Nothing is asked yet.
  static Result<std::unique_ptr<Cluster>> open(Loop& loop, const api::Kubeconfig& config, std::string node_name);
  // Over any transport, which outlives it.
  Cluster(Loop& loop, api::Transport& transport, std::string node_name);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // New credentials, for connections that are made from now on. On an error all stays as it was.
  Status replace_credentials(const api::Kubeconfig& config);

  void start();
  void stop();

  Loop& loop() const { return loop_; }
  const std::string& node_name() const { return node_name_; }
  api::Client& client() { return client_; }
  // On connections of its own, and with answers within ten seconds or none: for what must not wait behind a connection
  // whose other end is gone, such as the sign of life.
  api::Client& urgent_client() { return urgent_client_; }

  // What people are told of this node and its pods.
  EventRecorder& events() { return events_; }

  // This node's Node alone: nothing is in it until the node is registered.
  api::InformerOf<Node>& node() { return *node_; }
  std::shared_ptr<const Node> node_object() const;
  // The pods that are bound to this node.
  api::InformerOf<Pod>& pods() { return *pods_; }
  // All of the cluster's.
  api::InformerOf<Service>& services() { return *services_; }
  api::InformerOf<RuntimeClass>& runtime_classes() { return *runtime_classes_; }

 private:
  struct Remote {
    std::unique_ptr<api::RemoteTransport> usual, urgent;
  };
  Cluster(Loop& loop, Remote remote, std::string node_name);

  Loop& loop_;
  const std::string node_name_;
  const Remote remote_;  // of nulls: over another's
  const api::Kinds kinds_;
  api::Client client_, urgent_client_;
  EventRecorder events_;
  std::unique_ptr<api::InformerOf<Node>> node_;
  std::unique_ptr<api::InformerOf<Pod>> pods_;
  std::unique_ptr<api::InformerOf<Service>> services_;
  std::unique_ptr<api::InformerOf<RuntimeClass>> runtime_classes_;
};

}  // namespace gantry::agent
