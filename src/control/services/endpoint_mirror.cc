// SPDX-License-Identifier: Apache-2.0
#include "control/services/endpoint_mirror.h"

#include "api/kinds/core/endpoint_address.h"
#include "base/text.h"
#include "control/services/names.h"
#include "kubernetes/core/v1/object_reference.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kController[] = "endpointslicemirroring-controller.k8s.io";
constexpr char kSkipped[] = "endpointslice.kubernetes.io/skip-mirror";
constexpr char kLastApplied[] = "kubectl.kubernetes.io/last-applied-configuration";
constexpr int kMostAddresses = 1000;  // of a subset
constexpr std::size_t kWorkers = 4;

std::vector<EndpointPort> ports_of(const core::EndpointSubset& subset) {
  std::vector<EndpointPort> out;
  for (const core::EndpointPort& each : subset.ports()) {
    EndpointPort& port = out.emplace_back();
    port.set_name(each.name());
    port.set_protocol(each.protocol());
    port.set_port(each.port());
    if (each.has_app_protocol()) port.set_app_protocol(each.app_protocol());
  }
  return out;
}

Endpoint endpoint_of(const core::EndpointAddress& address, bool is_ready) {
  Endpoint out;
  out.add_addresses(address.ip());
  out.mutable_conditions()->set_ready(is_ready);
  if (address.has_target_ref()) *out.mutable_target_ref() = address.target_ref();
  if (address.has_node_name()) out.set_node_name(address.node_name());
  if (!address.hostname().empty()) out.set_hostname(address.hostname());
  return out;
}

SliceFrame frame_of(const core::Endpoints& endpoints) {
  const auto& metadata = endpoints.metadata();
  SliceFrame frame{.owner = {.api_version = "v1",
                             .kind = "Endpoints",
                             .ns = metadata.namespace_(),
                             .name = metadata.name(),
                             .uid = metadata.uid(),
                             .resource_version = metadata.resource_version(),
                             .selector = {}},
                   .address_types = {"IPv4", "IPv6"},
                   .labels = {metadata.labels().begin(), metadata.labels().end()},
                   .annotations = Texts(metadata.annotations().begin(), metadata.annotations().end()),
                   .most_endpoints = kMostAddresses};
  frame.labels[kServiceName] = metadata.name();
  frame.labels[kManagedBy] = kController;
  frame.annotations->erase(kTriggerTime);
  frame.annotations->erase(kLastApplied);
  return frame;
}

}  // namespace

MirroredEndpoints mirrored_endpoints(const core::Endpoints& endpoints) {
  MirroredEndpoints out{.frame = frame_of(endpoints), .groups = {}};
  for (const core::EndpointSubset& subset : endpoints.subsets()) {
    const std::vector<EndpointPort> ports = ports_of(subset);
    int taken = 0;
    const auto take = [&](const core::EndpointAddress& address, bool is_ready) {
      if (taken == kMostAddresses) {
        ++out.beyond;
      } else if (!api::check_endpoint_address(address.ip()).empty()) {
        ++out.invalid;
      } else {
        ++taken;
        out.groups.add(address.ip().contains(':') ? "IPv6" : "IPv4", ports, endpoint_of(address, is_ready));
      }
    };
    for (const core::EndpointAddress& address : subset.addresses()) take(address, true);
    for (const core::EndpointAddress& address : subset.not_ready_addresses()) take(address, false);
  }
  return out;
}

EndpointMirror::EndpointMirror(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, "endpoint-slice-mirroring-controller"),
      queue_(
          parts_.queues(), "endpointslice-mirroring", [this](std::string key) { return work(key); }, kWorkers),
      slices_(parts_, kController, [this](const std::string& key) { queue_.add(key); }) {
  parts_.informers.of<core::Endpoints>().on_change([this](const api::Informer::Change& change) {
    const auto& metadata = static_cast<const core::Endpoints&>(change.object()).metadata();
    queue_.add(api::object_key(metadata.namespace_(), metadata.name()));
  });
  parts_.informers.of<core::Service>().on_change([this](const api::Informer::Change& change) {
    const auto& service = static_cast<const core::Service&>(change.object());
    if (change.before != nullptr && change.now != nullptr &&
        static_cast<const core::Service&>(*change.before).spec().selector().empty() ==
            service.spec().selector().empty()) {
      return;
    }
    queue_.add(api::object_key(service.metadata().namespace_(), service.metadata().name()));
  });
}

bool EndpointMirror::is_mirrored(const std::string& key) const {
  const auto endpoints = parts_.informers.of<core::Endpoints>().find_key(key);
  const auto service = parts_.informers.of<core::Service>().find_key(key);
  if (endpoints == nullptr || service == nullptr || !service->spec().selector().empty()) return false;
  const auto& labels = endpoints->metadata().labels();
  const auto skipped = labels.find(kSkipped);
  return (skipped == labels.end() || skipped->second != "true") &&
         !endpoints->metadata().annotations().contains(kLeader);
}

Task<Status> EndpointMirror::work(std::string key) {
  const std::optional<std::vector<SlicePtr>> existing = slices_.of(key);
  if (!existing) co_return Status();
  if (!is_mirrored(key)) {
    co_return co_await slices_.write(key, SlicePlan{.create = {}, .update = {}, .remove = *existing});
  }
  const auto endpoints = parts_.informers.of<core::Endpoints>().find_key(key);
  MirroredEndpoints mirrored = mirrored_endpoints(*endpoints);
  if (mirrored.invalid > 0) {
    events_.warning(events_.about(*endpoints), "InvalidIPAddress",
                    cat("Skipped ", mirrored.invalid, " invalid IP addresses when mirroring to EndpointSlices"));
  }
  if (mirrored.beyond > 0) {
    events_.warning(events_.about(*endpoints), "TooManyAddressesToMirror",
                    cat("A max of ", kMostAddresses,
                        " addresses can be mirrored to EndpointSlices per Endpoints subset. ",
                        mirrored.beyond + mirrored.invalid, " addresses were skipped"));
  }
  const std::string ns = endpoints->metadata().namespace_();
  SlicePlan plan = plan_slices(mirrored.frame, std::move(mirrored.groups), *existing,
                               [&](const std::string& name) { return slices_.is_taken(ns, name); });
  if (endpoints->metadata().has_deletion_timestamp()) plan.create.clear();
  co_return co_await slices_.write(key, std::move(plan));
}

}  // namespace gantry::control::services
