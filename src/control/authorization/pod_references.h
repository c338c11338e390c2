// SPDX-License-Identifier: Apache-2.0
// What an object makes its node read: references by name, found by their types wherever they stand in it. Pure.
#pragma once

#include <set>
#include <string>

#include "api/kind.h"

namespace k8s::io::api::core::v1 {
class PersistentVolume;
class Pod;
}  // namespace k8s::io::api::core::v1

namespace gantry::control {

// "secrets/NAMESPACE/NAME", and so with configmaps, persistentvolumeclaims, serviceaccounts, and pods for itself. Of a
// mirror pod, which a node makes of its own files, itself alone.
std::set<std::string> references_of(const k8s::io::api::core::v1::Pod& pod);

// "secrets/NAMESPACE/NAME" that its node needs to mount it.
std::set<std::string> references_of(const k8s::io::api::core::v1::PersistentVolume& volume);

}  // namespace gantry::control
