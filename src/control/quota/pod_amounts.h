// SPDX-License-Identifier: Apache-2.0
// What a pod takes of each resource as a whole: its containers together, or its init containers one after the other,
// whichever is more. Pure; any thread.
#pragma once

#include "control/quota/amounts.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control {

struct PodAmountsOptions {
  // What the node has given containers counts where it is more than what they ask for, while they are resized.
  bool with_status = false;
  // What the pod itself costs beside its containers.
  bool with_overhead = false;
  // Of what stands at the pod and not at a container, huge pages count as well.
  bool with_pod_huge_pages = false;
};

Amounts pod_requests(const k8s::io::api::core::v1::Pod& pod, const PodAmountsOptions& options);
Amounts pod_limits(const k8s::io::api::core::v1::Pod& pod, const PodAmountsOptions& options);

// Its resources are said for the pod as a whole.
bool has_own_resources(const k8s::io::api::core::v1::Pod& pod);

}  // namespace gantry::control
