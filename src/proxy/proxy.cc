// SPDX-License-Identifier: Apache-2.0
#include "proxy/proxy.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/log.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"

namespace gantry::proxy {
namespace {

using namespace std::chrono_literals;

constexpr const char* kServiceNameLabel = "kubernetes.io/service-name";
constexpr const char* kZoneLabel = "topology.kubernetes.io/zone";
constexpr const char* kByService = "service";
constexpr Duration kFirstPause = 100ms, kLongestPause = 30s;

std::string service_of(const api::Message& message) {
  const auto& metadata = static_cast<const EndpointSlice&>(message).metadata();
  auto label = metadata.labels().find(kServiceNameLabel);
  return label == metadata.labels().end() ? "" : api::object_key(metadata.namespace_(), label->second);
}

NodeView view_of(const ClusterObjects::Node& node) {
  NodeView view;
  view.place.node = node.metadata().name();
  if (auto zone = node.metadata().labels().find(kZoneLabel); zone != node.metadata().labels().end()) {
    view.place.zone = zone->second;
  }
  for (const auto& entry : node.status().addresses()) {
    if (entry.type() != "InternalIP") continue;
    auto address = netns::IpAddress::parse(entry.address());
    if (address && is_servable(*address)) view.addresses.push_back(*address);
  }
  std::ranges::sort(view.addresses);
  return view;
}

// What load balancers take as a sign that a node will be gone soon.
bool is_leaving(const ClusterObjects::Node& node) {
  return node.metadata().has_deletion_timestamp() ||
         std::ranges::any_of(node.spec().taints(), [](const auto& taint) {
           return taint.key() == "ToBeDeletedByClusterAutoscaler";
         });
}

std::vector<netns::Cidr> ranges_of(const ClusterObjects::Node& node) {
  std::vector<netns::Cidr> ranges;
  auto take = [&](const std::string& text) {
    auto range = netns::Cidr::parse(text);
    if (range && std::ranges::find(ranges, *range) == ranges.end()) ranges.push_back(*range);
  };
  for (const std::string& text : node.spec().pod_cidrs()) take(text);
  if (!node.spec().pod_cidr().empty()) take(node.spec().pod_cidr());
  return ranges;
}

// The node itself answers there. It is said all the same, so that neither another Service's address nor a port of the
// host takes what is sent there.
void lead_here(RulesOfService* made) {
  made->health_check.reset();
  for (auto& [name, rule] : made->rules) {
    std::erase_if(rule.frontends,
                  [](const Frontend& each) { return each.origin != Frontend::Origin::kClusterAddress; });
    rule.affinity_seconds = 0;
    rule.source_ranges.clear();
    for (Frontend& each : rule.frontends) {
      each.inside = each.outside = Path{};
      rule.cluster.assign(1, EndpointAddress{each.address, each.port});
    }
  }
}

}  // namespace

Proxy::Proxy(Parts parts)
    : parts_(std::move(parts)), thread_(parts_.loop, 1), wake_(parts_.loop), node_known_(parts_.loop) {
  ClusterObjects& objects = parts_.objects;
  objects.services().on_change([this](const api::Informer::Change& change) {
    const auto& metadata = static_cast<const Service&>(change.object()).metadata();
    touch(api::object_key(metadata.namespace_(), metadata.name()));
  });
  objects.endpoint_slices().add_index(kByService, [](const api::Message& slice) -> std::vector<std::string> {
    std::string service = service_of(slice);
    if (service.empty()) return {};
    return {std::move(service)};
  });
  objects.endpoint_slices().on_change([this](const api::Informer::Change& change) {
    // Its label may have changed.
    for (const auto& slice : {change.before, change.now}) {
      if (slice) touch(service_of(*slice));
    }
  });
  objects.nodes().on_change([this](const api::Informer::Change& change) {
    const auto& node = static_cast<const ClusterObjects::Node&>(change.object());
    if (!change.now || node.metadata().name() != parts_.objects.node_name()) return;
    node_changed_ = true;
    node_known_.set();
    wake_.set();
  });
}

void Proxy::start() { parts_.loop.spawn(run()); }

void Proxy::stop() {
  stopped_ = true;
  if (health_) health_->stop();
  wake_.set();
}

void Proxy::replace_all() {
  replace_ = true;
  wake_.set();
}

void Proxy::touch(const std::string& service) {
  if (service.empty()) return;
  dirty_.insert(service);
  wake_.set();
}

Task<> Proxy::wait_for_objects() {
  co_await parts_.objects.services().wait_synced();
  co_await parts_.objects.endpoint_slices().wait_synced();
  co_await parts_.objects.nodes().wait_synced();
  co_await node_known_.wait();
}

// True when all rules may be others now.
bool Proxy::take_node() {
  node_changed_ = false;
  auto node = parts_.objects.nodes().find_key(parts_.objects.node_name());
  if (!node) return false;
  health_->set_leaving(is_leaving(*node));
  NodeView view = view_of(*node);
  auto pods = ranges_of(*node);
  if (parts_.pods) {
    std::erase_if(pods, [&](const netns::Cidr& range) { return range.family() == parts_.pods->family(); });
    pods.push_back(*parts_.pods);
  }
  if (pods != pods_) replace_ = true;  // rules, not data
  pods_ = std::move(pods);
  if (view == node_) return false;
  node_ = std::move(view);
  return true;
}

void Proxy::refresh(const std::string& key, RuleChanges* changes) {
  RulesOfService made;
  if (auto service = parts_.objects.services().find_key(key)) {
    if (parts_.is_answered_here && parts_.is_answered_here(key)) {
      made = rules_of(*service, {}, node_);
      lead_here(&made);
    } else {
      made = rules_of(*service, parts_.objects.endpoint_slices().by(kByService, key), node_);
    }
  }
  checks_.erase(key);
  if (made.health_check) checks_.emplace(key, *made.health_check);
  Known& known = services_[key];
  std::vector<std::string> names;
  for (auto& [name, rule] : made.rules) {
    names.push_back(name);
    auto [it, is_new] = rules_.try_emplace(name);
    if (!is_new && it->second == rule) continue;
    flows_.note(is_new ? nullptr : &it->second, &rule);
    it->second = rule;
    changes->set.emplace(name, std::move(rule));
  }
  for (const std::string& name : known.rules) {
    if (std::ranges::binary_search(names, name)) continue;
    auto gone = rules_.find(name);
    flows_.note(&gone->second, nullptr);
    rules_.erase(gone);
    changes->removed.push_back(name);
  }
  made.refused.resize(std::min<std::size_t>(made.refused.size(), 8));
  if (!made.refused.empty() && made.refused != known.refused) {
    log::warning("addresses of endpoints are not served, because no endpoint may have them",
                 {{"service", key}, {"addresses", absl::StrJoin(made.refused, ", ")}});
  }
  if (names.empty() && made.refused.empty()) {
    services_.erase(key);
    return;
  }
  known.rules = std::move(names);
  known.refused = std::move(made.refused);
}

void Proxy::refresh_all() {
  for (const auto& [key, service] : parts_.objects.services().all()) dirty_.insert(key);
}

Task<Status> Proxy::sync() {
  if (node_changed_ && take_node()) refresh_all();
  RuleChanges changes;
  // Of what is touched while others have their turn wake_ tells.
  const auto dirty = std::exchange(dirty_, {});
  std::size_t refreshed = 0;
  for (const std::string& key : dirty) {
    refresh(key, &changes);
    if (++refreshed % 256 == 0) co_await parts_.loop.sleep_for(Duration(0));
  }
  if (!replace_ && changes.is_empty()) {
    health_->set_checks(checks_);
    co_return Status();
  }
  bool all = std::exchange(replace_, false);
  Status done;
  if (all) {
    // Nobody else changes rules_ and pods_, and this waits.
    done = co_await thread_.run([this]() -> Status {
      if (!backend_) {
        auto opened = parts_.open();
        if (!opened) return std::unexpected(std::move(opened.error()));
        backend_ = std::move(*opened);
      }
      return backend_->replace(rules_, pods_);
    });
  } else {
    done = co_await thread_.run([this, changes = std::move(changes)] { return backend_->apply(changes); });
  }
  health_->set_synced(!done);
  if (!done) {
    replace_ = true;
    co_return done;
  }
  health_->set_checks(checks_);
  if (!flows_.is_empty()) co_await forget_flows();
  co_return done;
}

// The rules are for new flows only; those that go on, say of a resolver that keeps its port, follow here.
Task<> Proxy::forget_flows() {
  auto done = co_await thread_.run([flows = std::exchange(flows_, {})]() -> Status {
    for (netns::Family family : {netns::Family::kV4, netns::Family::kV6}) {
      if (!flows.concerns(family)) continue;
      auto forgotten = netns::forget_udp_flows(
          family, [&flows](const netns::UdpFlow& flow) { return flows.is_unwanted(flow); });
      if (!forgotten) return std::unexpected(std::move(forgotten.error()));
    }
    return {};
  });
  if (!done) log::warning("flows of UDP may go on to former endpoints", {{"error", done.error()}});
}

Task<> Proxy::run() {
  co_await wait_for_objects();
  health_ = std::make_unique<HealthPorts>(parts_.loop);
  Duration pause = kFirstPause;
  bool first = true;
  while (!stopped_) {
    wake_.reset();
    Status done = co_await sync();
    if (done) {
      if (std::exchange(first, false)) log::info("services are served", {{"ports", std::to_string(rules_.size())}});
      pause = kFirstPause;
      co_await wake_.wait();
      continue;
    }
    log::error("services can't be served as they should, retrying", {{"error", done.error()}});
    co_await parts_.loop.sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace gantry::proxy
