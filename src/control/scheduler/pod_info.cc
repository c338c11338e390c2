// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/pod_info.h"

#include <algorithm>

#include "api/client/informer.h"
#include "api/codec.h"
#include "api/kinds/core/same_map.h"
#include "control/controllers/controller.h"
#include "control/controllers/pods.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;
namespace meta = k8s::io::apimachinery::pkg::apis::meta::v1;

namespace {

// The pods that have the value of `pod` for these labels, or another one.
template <typename Keys>
void add_keys(const core::Pod& pod, const Keys& keys, const char* op, meta::LabelSelector* selector) {
  for (const std::string& key : keys) {
    const auto found = pod.metadata().labels().find(key);
    if (found == pod.metadata().labels().end()) continue;
    meta::LabelSelectorRequirement* requirement = selector->add_match_expressions();
    requirement->set_key(key);
    requirement->set_operator_(op);
    requirement->add_values(found->second);
  }
}

AffinityTerm read_term(const core::Pod& pod, const core::PodAffinityTerm& term, std::int64_t weight) {
  AffinityTerm out{.topology_key = term.topology_key(), .weight = weight};
  out.pods = api::LabelSelector::nothing();
  if (term.has_label_selector()) {
    meta::LabelSelector selector = term.label_selector();
    add_keys(pod, term.match_label_keys(), "In", &selector);
    add_keys(pod, term.mismatch_label_keys(), "NotIn", &selector);
    out.pods = read_selector(selector);
  }
  out.namespaces.insert(term.namespaces().begin(), term.namespaces().end());
  out.namespace_selector =
      term.has_namespace_selector() ? read_selector(term.namespace_selector()) : api::LabelSelector::nothing();
  if (term.namespaces().empty() && !term.has_namespace_selector()) out.namespaces.insert(pod.metadata().namespace_());
  return out;
}

template <typename Affinity>
void read_terms(const core::Pod& pod, const Affinity& affinity, std::vector<AffinityTerm>* required,
                std::vector<AffinityTerm>* preferred) {
  for (const auto& term : affinity.required_during_scheduling_ignored_during_execution()) {
    required->push_back(read_term(pod, term, 0));
  }
  for (const auto& term : affinity.preferred_during_scheduling_ignored_during_execution()) {
    preferred->push_back(read_term(pod, term.pod_affinity_term(), term.weight()));
  }
}

SpreadConstraint read_spread(const core::Pod& pod, const core::TopologySpreadConstraint& spread) {
  meta::LabelSelector selector = spread.label_selector();
  add_keys(pod, spread.match_label_keys(), "In", &selector);
  return {.max_skew = spread.max_skew(),
          .min_domains = spread.has_min_domains() ? spread.min_domains() : 1,
          .topology_key = spread.topology_key(),
          .pods = spread.has_label_selector() ? read_selector(selector) : api::LabelSelector::nothing(),
          .is_required = spread.when_unsatisfiable() == "DoNotSchedule",
          .honors_affinity = spread.node_affinity_policy() != "Ignore",
          .honors_taints = spread.node_taints_policy() == "Honor"};
}

void read_ports(const core::Container& container, std::vector<HostPort>* ports) {
  for (const core::ContainerPort& port : container.ports()) {
    if (port.host_port() <= 0) continue;
    ports->push_back({.protocol = port.protocol().empty() ? "TCP" : port.protocol(),
                      .ip = port.host_ip().empty() ? "0.0.0.0" : port.host_ip(),
                      .port = port.host_port()});
  }
}

void read_claims(const core::Pod& pod, std::vector<PodClaim>* claims) {
  for (const core::Volume& volume : pod.spec().volumes()) {
    const std::string name = claim_of(pod, volume);
    if (name.empty()) continue;
    claims->push_back({.key = api::object_key(pod.metadata().namespace_(), name),
                       .name = name,
                       .is_its_own = volume.volume_source().has_ephemeral()});
  }
}

// While containers are resized, what they take is not what the spec says.
bool is_resized(const core::Pod& pod) {
  return std::ranges::any_of(pod.status().conditions(), [](const core::PodCondition& condition) {
    return condition.type() == "PodResizePending" || condition.type() == "PodResizeInProgress";
  });
}

}  // namespace

api::LabelSelector read_selector(const meta::LabelSelector& selector) {
  return api::LabelSelector::from_value(api::encode(selector)).value_or(api::LabelSelector::nothing());
}

bool differs(const core::Pod& before, const core::Pod& now) {
  const auto &a = before.metadata(), &b = now.metadata();
  return !api::same_map(a.labels(), b.labels()) || a.uid() != b.uid() || a.generation() == 0 ||
         a.generation() != b.generation() ||
         a.has_deletion_timestamp() != b.has_deletion_timestamp() || is_resized(before) || is_resized(now);
}

PodInfoPtr read_again(const PodInfo& before, std::shared_ptr<const core::Pod> pod) {
  if (differs(*before.pod, *pod)) return read_pod(std::move(pod));
  auto info = std::make_shared<PodInfo>(before);
  info->pod = std::move(pod);
  return info;
}

PodInfoPtr read_pod(std::shared_ptr<const core::Pod> object) {
  auto info = std::make_shared<PodInfo>();
  const core::Pod& pod = *object;
  info->key = key_of(pod);
  info->requests = requests_of(pod);
  info->weighed = weighed_requests_of(pod);
  for (const core::Container& container : pod.spec().init_containers()) {
    if (container.restart_policy() == "Always") read_ports(container, &info->ports);
  }
  for (const core::Container& container : pod.spec().containers()) read_ports(container, &info->ports);
  read_claims(pod, &info->claims);
  const core::Affinity& affinity = pod.spec().affinity();
  read_terms(pod, affinity.pod_affinity(), &info->required_affinity, &info->preferred_affinity);
  read_terms(pod, affinity.pod_anti_affinity(), &info->required_anti_affinity, &info->preferred_anti_affinity);
  for (const auto& spread : pod.spec().topology_spread_constraints()) info->spread.push_back(read_spread(pod, spread));
  info->pod = std::move(object);
  return info;
}

}  // namespace gantry::control::scheduling
