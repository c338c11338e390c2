// SPDX-License-Identifier: Apache-2.0
#include "control/services/endpoint_slices.h"

#include <algorithm>

#include "base/text.h"
#include "control/controllers/pods.h"
#include "control/services/names.h"
#include "control/services/pod_endpoint.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kController[] = "endpointslice-controller.k8s.io";
constexpr char kZone[] = "topology.kubernetes.io/zone";
constexpr std::size_t kWorkers = 4;

std::string zone_of(const core::Node& node) {
  const auto found = node.metadata().labels().find(kZone);
  return found == node.metadata().labels().end() ? std::string() : found->second;
}

std::vector<std::string> address_types(const core::Service& service) {
  const auto& families = service.spec().ip_families();
  if (!families.empty()) return {families.begin(), families.end()};
  // Of a server that knows of one family alone.
  if (is_headless(service)) return {"IPv4", "IPv6"};
  return {service.spec().cluster_ip().contains(':') ? "IPv6" : "IPv4"};
}

SliceFrame frame_of(const core::Service& service) {
  const auto& metadata = service.metadata();
  SliceFrame frame{.owner = {.api_version = "v1",
                             .kind = "Service",
                             .ns = metadata.namespace_(),
                             .name = metadata.name(),
                             .uid = metadata.uid(),
                             .resource_version = metadata.resource_version(),
                             .selector = {}},
                   .address_types = address_types(service),
                   .labels = {metadata.labels().begin(), metadata.labels().end()},
                   .annotations = {},
                   .keeps_one = true};
  frame.labels.erase(kHeadless);
  if (is_headless(service)) frame.labels[kHeadless] = "";
  frame.labels[kServiceName] = metadata.name();
  frame.labels[kManagedBy] = kController;
  return frame;
}

std::vector<EndpointPort> ports_of(const core::Service& service, const core::Pod& pod) {
  std::vector<EndpointPort> out;
  for (const core::ServicePort& each : service.spec().ports()) {
    const std::optional<std::int32_t> number = find_port(each, pod);
    if (!number) continue;
    EndpointPort& port = out.emplace_back();
    port.set_name(each.name());
    port.set_protocol(each.protocol());
    port.set_port(*number);
    if (each.has_app_protocol()) port.set_app_protocol(each.app_protocol());
  }
  return out;
}

// Who is to use it rather than others.
void add_hints(const std::string& distribution, Endpoint* endpoint) {
  const bool to_node = distribution == "PreferSameNode";
  const bool to_zone = to_node || distribution == "PreferSameZone" || distribution == "PreferClose";
  if (!endpoint->conditions().ready()) return;
  if (to_zone && endpoint->has_zone()) endpoint->mutable_hints()->add_for_zones()->set_name(endpoint->zone());
  if (to_node && endpoint->has_node_name()) {
    endpoint->mutable_hints()->add_for_nodes()->set_name(endpoint->node_name());
  }
}

Endpoint endpoint_of(const core::Service& service, const core::Pod& pod, const core::Node* node) {
  Endpoint endpoint;
  const bool is_serving = workloads::is_ready(pod);
  const bool is_terminating = pod.metadata().has_deletion_timestamp();
  auto* conditions = endpoint.mutable_conditions();
  conditions->set_ready(service.spec().publish_not_ready_addresses() || (is_serving && !is_terminating));
  conditions->set_serving(is_serving);
  conditions->set_terminating(is_terminating);
  auto* target = endpoint.mutable_target_ref();
  target->set_kind("Pod");
  target->set_namespace_(pod.metadata().namespace_());
  target->set_name(pod.metadata().name());
  target->set_uid(pod.metadata().uid());
  if (has_name_in(service, pod)) endpoint.set_hostname(pod.spec().hostname());
  if (!pod.spec().node_name().empty()) endpoint.set_node_name(pod.spec().node_name());
  if (node != nullptr && !zone_of(*node).empty()) endpoint.set_zone(zone_of(*node));
  add_hints(service.spec().traffic_distribution(), &endpoint);
  return endpoint;
}

}  // namespace

WantedSlices wanted_slices(const core::Service& service, const std::vector<std::shared_ptr<const core::Pod>>& pods,
                           const FindNode& find_node) {
  WantedSlices wanted{.frame = frame_of(service), .groups = {}, .missing = nullptr};
  for (const auto& pod : pods) {
    if (!can_be_reached(*pod, true)) continue;
    const auto node = find_node(pod->spec().node_name());
    // Whoever wants addresses of pods that are not ready wants this one, too.
    if (node == nullptr && !service.spec().publish_not_ready_addresses()) {
      wanted.missing = pod;
      continue;
    }
    const std::vector<EndpointPort> ports = ports_of(service, *pod);
    const Endpoint endpoint = endpoint_of(service, *pod, node.get());
    for (const std::string& type : wanted.frame.address_types) {
      const std::vector<std::string> addresses = addresses_of(*pod, type == "IPv6");
      if (addresses.empty()) continue;
      Endpoint reached = endpoint;
      reached.mutable_addresses()->Assign(addresses.begin(), addresses.end());
      wanted.groups.add(type, ports, std::move(reached));
    }
  }
  return wanted;
}

EndpointSliceController::EndpointSliceController(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, "endpoint-slice-controller"),
      queue_(
          parts_.queues(), "endpointslice", [this](std::string key) { return work(key); }, kWorkers),
      pods_(parts_.informers, [this](const std::string& key) { gathering_.add(key); }),
      slices_(parts_, kController, [this](const std::string& key) { gathering_.add(key); }) {
  index_by_node(parts_.informers.of<core::Pod>());
  parts_.informers.of<core::Node>().on_change([this](const api::Informer::Change& change) {
    const bool is_kept = change.before != nullptr && change.now != nullptr;
    if (is_kept && zone_of(static_cast<const core::Node&>(*change.before)) ==
                       zone_of(static_cast<const core::Node&>(*change.now))) {
      return;
    }
    const std::string& name = static_cast<const core::Node&>(change.object()).metadata().name();
    for (const auto& pod : parts_.informers.of<core::Pod>().by(kPodsByNode, name)) {
      for (const std::string& key : pods_.services_of(*pod)) gathering_.add(key);
    }
  });
}

Task<Status> EndpointSliceController::work(std::string key) {
  const std::vector<std::shared_ptr<const core::Pod>> pods = pods_.of(key);
  gathering_.begin(key, pods.size());
  const auto service = parts_.informers.of<core::Service>().find_key(key);
  if (service == nullptr) {
    gathering_.forget(key);
    times_.forget(key);
    slices_.forget(key);
    co_return Status();
  }
  if (!is_led_by_selector(*service)) co_return Status();
  const std::optional<std::vector<SlicePtr>> existing = slices_.of(key);
  if (!existing) co_return Status();
  WantedSlices wanted = wanted_slices(
      *service, pods, [this](const std::string& name) { return parts_.informers.of<core::Node>().find("", name); });
  wanted.frame.trigger_time = times_.next(key, *service, pods);
  const std::string ns = service->metadata().namespace_();
  SlicePlan plan = plan_slices(wanted.frame, std::move(wanted.groups), *existing,
                               [&](const std::string& name) { return slices_.is_taken(ns, name); });
  if (service->metadata().has_deletion_timestamp()) plan.create.clear();
  Status done = co_await slices_.write(key, std::move(plan));
  std::string failure;
  if (!done && !done.error().is_cancelled()) failure = done.error().message();
  // It comes again when the node is known.
  if (wanted.missing != nullptr) {
    failure = cat("skipping Pod ", wanted.missing->metadata().name(), " for Service ", key, ": Node ",
                  wanted.missing->spec().node_name(), " Not Found");
  }
  if (!failure.empty()) {
    events_.warning(events_.about(*service), "FailedToUpdateEndpointSlices",
                    cat("Error updating Endpoint Slices for Service ", key, ": ", failure));
  }
  co_return done;
}

}  // namespace gantry::control::services
