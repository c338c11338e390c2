// SPDX-License-Identifier: Apache-2.0
// ClusterObjects: what a node's network is made of, as the API server has it: all Services, all EndpointSlices and all
// Nodes, each watched once for everybody who asks. While the server is away all stays as it was.
//
// Parts add their handlers to the informers first, then start() is called once. Owner: main, to the end of the process.
// Loop thread.
#pragma once

#include <memory>
#include <string>

#include "api/client/client.h"
#include "api/client/informer.h"

namespace k8s::io::api::core::v1 {
class Node;
class Service;
}  // namespace k8s::io::api::core::v1
namespace k8s::io::api::discovery::v1 {
class EndpointSlice;
}

namespace gantry::proxy {

class ClusterObjects {
 public:
  using Node = k8s::io::api::core::v1::Node;
  using Service = k8s::io::api::core::v1::Service;
  using EndpointSlice = k8s::io::api::discovery::v1::EndpointSlice;

  // `client` knows these kinds. `services` is somebody else's, who starts and stops it: of all of the cluster, with
  // labels, spec and status.
  ClusterObjects(api::Client& client, api::InformerOf<Service>& services, std::string node_name);
  ~ClusterObjects();
  ClusterObjects(const ClusterObjects&) = delete;
  ClusterObjects& operator=(const ClusterObjects&) = delete;

  void start();
  void stop();

  // Of the node that this is.
  const std::string& node_name() const { return node_name_; }
  api::InformerOf<Service>& services() { return services_; }
  api::InformerOf<EndpointSlice>& endpoint_slices() { return *endpoint_slices_; }
  // Of each only its metadata, its ranges of addresses (spec) and its addresses (status).
  api::InformerOf<Node>& nodes() { return *nodes_; }

 private:
  const std::string node_name_;
  api::InformerOf<Service>& services_;
  std::unique_ptr<api::InformerOf<EndpointSlice>> endpoint_slices_;
  std::unique_ptr<api::InformerOf<Node>> nodes_;
};

}  // namespace gantry::proxy
