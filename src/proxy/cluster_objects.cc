// SPDX-License-Identifier: Apache-2.0
#include "proxy/cluster_objects.h"

#include <utility>

#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"

namespace gantry::proxy {
namespace {

template <typename M>
std::unique_ptr<api::InformerOf<M>> informer_of(api::Client& client, void (*trim)(api::Message*)) {
  return std::make_unique<api::InformerOf<M>>(
      client, api::Informer::Options{
                  .target = client.target<M>(), .make = [] { return std::make_unique<M>(); }, .trim = trim});
}

void keep_endpoints(api::Message* object) {
  static_cast<ClusterObjects::EndpointSlice*>(object)->mutable_metadata()->clear_managed_fields();
}

// Most of a Node is its list of images.
void keep_addresses(api::Message* object) {
  auto* node = static_cast<ClusterObjects::Node*>(object);
  node->mutable_metadata()->clear_managed_fields();
  k8s::io::api::core::v1::NodeStatus kept;
  kept.mutable_addresses()->Swap(node->mutable_status()->mutable_addresses());
  *node->mutable_status() = std::move(kept);
}

}  // namespace

ClusterObjects::ClusterObjects(api::Client& client, api::InformerOf<Service>& services, std::string node_name)
    : node_name_(std::move(node_name)),
      services_(services),
      endpoint_slices_(informer_of<EndpointSlice>(client, keep_endpoints)),
      nodes_(informer_of<Node>(client, keep_addresses)) {}

ClusterObjects::~ClusterObjects() = default;

void ClusterObjects::start() {
  endpoint_slices_->start();
  nodes_->start();
}

void ClusterObjects::stop() {
  endpoint_slices_->stop();
  nodes_->stop();
}

}  // namespace gantry::proxy
