// SPDX-License-Identifier: Apache-2.0
// The replica sets of a deployment: which of them has its template, the annotations by which they are numbered and
// sized, and the one to come. As upstream has it, so that kubectl's rollout commands and upstream's controller read it.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/workloads/owner.h"
#include "kubernetes/apps/v1/deployment.pb.h"
#include "kubernetes/apps/v1/replica_set.pb.h"

namespace gantry::control::workloads {

using Deployment = k8s::io::api::apps::v1::Deployment;
using ReplicaSet = k8s::io::api::apps::v1::ReplicaSet;
using SetPtr = std::shared_ptr<const ReplicaSet>;
using Annotations = std::map<std::string, std::string>;

inline constexpr char kTemplateHash[] = "pod-template-hash";
inline constexpr char kRevision[] = "deployment.kubernetes.io/revision";
inline constexpr char kDesiredReplicas[] = "deployment.kubernetes.io/desired-replicas";
inline constexpr char kMaxReplicas[] = "deployment.kubernetes.io/max-replicas";

// How many pods may be too many and too few on the way.
struct Bounds {
  std::int32_t surge = 0;
  std::int32_t unavailable = 0;
};
Bounds bounds_of(const Deployment& deployment);
bool is_recreated(const Deployment& deployment);

std::int32_t size_of(const ReplicaSet& set);

// Orders sets by their age, and those of one second by their names.
std::pair<std::int64_t, std::string> age_of(const ReplicaSet& set);
// The sets, oldest first.
std::vector<SetPtr> by_age(std::vector<SetPtr> sets);
// The oldest that has the deployment's template, whatever its pod-template-hash; null: none has.
SetPtr find_new(const Deployment& deployment, const std::vector<SetPtr>& sets);
bool has_template_of(const Deployment& deployment, const ReplicaSet& set);
// All others.
std::vector<SetPtr> without(const std::vector<SetPtr>& sets, const SetPtr& one);
// Those that want pods.
std::vector<SetPtr> active(const std::vector<SetPtr>& sets);

// 0: it has none that can be read.
std::int64_t revision_of(const ReplicaSet& set);
// -1 likewise.
std::int64_t number_in(const ReplicaSet& set, const char* annotation);
// What the new set's annotations lack: the deployment's, and its number among the others.
Annotations missing_annotations(const Deployment& deployment, const ReplicaSet& set, const std::vector<SetPtr>& others);
// What says to which size of the deployment the set was last brought.
Annotations size_annotations(const Deployment& deployment);

// For its template, of `size` pods. Its name follows from the template and the deployment's collisionCount.
ReplicaSet new_set(const Deployment& deployment, const Owner& owner, const std::vector<SetPtr>& others,
                   std::int32_t size);

}  // namespace gantry::control::workloads
