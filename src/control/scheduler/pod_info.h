// SPDX-License-Identifier: Apache-2.0
// PodInfo: a pod as the scheduler looks at it again and again, with what it asks for read once. A plain value that does
// not change; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/label_selector.h"
#include "control/scheduler/resources.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class LabelSelector;
}

namespace gantry::control::scheduling {

struct HostPort {
  std::string protocol;
  std::string ip;  // "0.0.0.0": all of the node's
  int port = 0;
};

// Other pods, and how near to them.
struct AffinityTerm {
  api::LabelSelector pods;
  std::set<std::string> namespaces;
  api::LabelSelector namespace_selector;  // those whose labels it selects, too
  std::string topology_key;
  std::int64_t weight = 0;  // of a preference
};

struct SpreadConstraint {
  std::int64_t max_skew = 1;
  std::int64_t min_domains = 1;
  std::string topology_key;
  api::LabelSelector pods;
  bool is_required = false;    // DoNotSchedule
  bool honors_affinity = true;  // nodes that the pod does not select don't count
  bool honors_taints = false;   // nor those whose taints it does not tolerate
};

// A persistent volume that the pod uses, by its claim.
struct PodClaim {
  std::string key;         // "namespace/name"
  std::string name;
  bool is_its_own = false;  // made for this pod
};

struct PodInfo {
  std::shared_ptr<const k8s::io::api::core::v1::Pod> pod;
  std::string key;  // "namespace/name"
  Resources requests;
  Resources weighed;  // weighed_requests_of()
  std::vector<HostPort> ports;
  std::vector<PodClaim> claims;
  std::vector<AffinityTerm> required_affinity, required_anti_affinity;
  std::vector<AffinityTerm> preferred_affinity, preferred_anti_affinity;
  std::vector<SpreadConstraint> spread;

  const std::string& ns() const { return pod->metadata().namespace_(); }
  const std::string& uid() const { return pod->metadata().uid(); }
  const k8s::io::api::core::v1::PodSpec& spec() const { return pod->spec(); }
  std::int64_t priority() const { return spec().priority(); }
  bool has_affinity() const {
    return !required_affinity.empty() || !required_anti_affinity.empty() || !preferred_affinity.empty() ||
           !preferred_anti_affinity.empty();
  }
};
using PodInfoPtr = std::shared_ptr<const PodInfo>;

// What no rule of the API would have let in selects nothing.
api::LabelSelector read_selector(const k8s::io::apimachinery::pkg::apis::meta::v1::LabelSelector& selector);

PodInfoPtr read_pod(std::shared_ptr<const k8s::io::api::core::v1::Pod> pod);
// The same of a later version. What `before` has is read again only where it may be another.
PodInfoPtr read_again(const PodInfo& before, std::shared_ptr<const k8s::io::api::core::v1::Pod> pod);

// Whether two versions of a pod differ in what the scheduler looks at: its spec, labels, deletion, and amounts.
bool differs(const k8s::io::api::core::v1::Pod& before, const k8s::io::api::core::v1::Pod& now);

}  // namespace gantry::control::scheduling
