// SPDX-License-Identifier: Apache-2.0
// What an object takes of a ResourceQuota: its place in counts ("count/deployments.apps", "pods"), and of pods, claims
// and services what they are made of. Admission charges by it, and the quota controller counts by it. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "api/kind.h"
#include "control/quota/amounts.h"

namespace k8s::io::api::core::v1 {
class Pod;
class ResourceQuota;
}  // namespace k8s::io::api::core::v1

namespace gantry::control {

using k8s::io::api::core::v1::ResourceQuota;

// A resource: "apps" and "deployments".
struct QuotaResource {
  std::string group;
  std::string plural;

  bool is_core(std::string_view name) const { return group.empty() && plural == name; }
  // "count/deployments.apps", "count/pods"
  std::string count_name() const;
  // Events are not counted.
  bool is_counted() const;
};

// The resources whose objects take more than a place: pods, services, persistentvolumeclaims.
bool has_own_amounts(const QuotaResource& resource);

// Everything that the object takes, under all names that a quota may have for it. `now`, in seconds: a pod takes
// nothing but its place when it has ended, or when the time for its end is over.
Amounts quota_usage(const QuotaResource& resource, const api::Message& object, std::int64_t now);
// Of any object of a resource without amounts of its own.
Amounts place_of(const QuotaResource& resource);

// A limit of that name is about objects of the resource.
bool is_limit_of(const QuotaResource& resource, std::string_view name);

// The object is in all scopes of the quota. What has no scopes is in none.
bool is_in_scopes(const ResourceQuota& quota, const QuotaResource& resource, const api::Message& object);

// What each container must say when there is a limit of that: "must specify cpu for: a,b; memory for: a"; empty when
// nothing is missing.
std::string missing_amounts(const k8s::io::api::core::v1::Pod& pod, const Amounts& limits);

}  // namespace gantry::control
