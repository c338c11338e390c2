// SPDX-License-Identifier: Apache-2.0
// Labels and annotations by which services, Endpoints and EndpointSlices know each other.
#pragma once

namespace gantry::control::services {

// Labels.
inline constexpr char kServiceName[] = "kubernetes.io/service-name";            // of a slice
inline constexpr char kManagedBy[] = "endpointslice.kubernetes.io/managed-by";  // of a slice: which controller's it is
inline constexpr char kHeadless[] = "service.kubernetes.io/headless";           // its service has no address

// Annotations.
inline constexpr char kTriggerTime[] = "endpoints.kubernetes.io/last-change-trigger-time";
inline constexpr char kLeader[] = "control-plane.alpha.kubernetes.io/leader";  // Endpoints that are an old lease

}  // namespace gantry::control::services
