// SPDX-License-Identifier: Apache-2.0
// Who the pods of a StatefulSet are: NAME-ORDINAL, with a label and a host name that say so, and with claims of their
// own, CLAIM-NAME-ORDINAL, which stay when the pod goes. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/workloads/owner.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"

namespace gantry::control::workloads {

// Nothing when a set of that name has no such pod.
std::optional<std::int64_t> ordinal_of(std::string_view set_name, std::string_view pod_name);

// Those that the set has now.
struct Ordinals {
  std::int64_t start = 0;
  std::int64_t count = 0;
  bool has(std::int64_t ordinal) const { return ordinal >= start && ordinal < start + count; }
};
Ordinals ordinals_of(const k8s::io::api::apps::v1::StatefulSet& set);

// The pod of that ordinal, made of a template that the set has or had. `revision` is the revision's name.
k8s::io::api::core::v1::Pod stateful_pod(const k8s::io::api::apps::v1::StatefulSet& set, const Owner& owner,
                                         const k8s::io::api::core::v1::PodTemplateSpec& pod_template,
                                         const std::string& revision, std::int64_t ordinal);
// The name of the revision that the pod was made of; "" if nobody says.
const std::string& revision_of(const k8s::io::api::core::v1::Pod& pod);
// A merge patch that gives a pod the labels that are its identity; nothing when it has them.
std::optional<api::Value> identity_patch(const k8s::io::api::core::v1::Pod& pod, std::int64_t ordinal);

// The claims of that ordinal, without owners.
std::vector<k8s::io::api::core::v1::PersistentVolumeClaim> claims_of(const k8s::io::api::apps::v1::StatefulSet& set,
                                                                     std::int64_t ordinal);

// What persistentVolumeClaimRetentionPolicy makes of a claim's owners: with whom it goes. `pod` is null while there is
// none.
struct Retention {
  bool is_right = false;
  bool has_other_controller = false;  // who is not to be disturbed
  k8s::io::api::core::v1::PersistentVolumeClaim claim;  // as it should be, unless it is right
};
Retention retention_of(const k8s::io::api::apps::v1::StatefulSet& set, const Owner& owner, std::int64_t ordinal,
                       const k8s::io::api::core::v1::Pod* pod,
                       const k8s::io::api::core::v1::PersistentVolumeClaim& claim);
// The claim belongs to a pod that is no more and goes with it: a new pod must not have it.
bool is_stale(const k8s::io::api::apps::v1::StatefulSet& set, const std::string& pod_name,
              const k8s::io::api::core::v1::PersistentVolumeClaim& claim);

}  // namespace gantry::control::workloads
