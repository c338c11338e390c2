// SPDX-License-Identifier: Apache-2.0
// Resources and their amounts: in specs, statuses and quotas. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "api/check.h"

namespace google::protobuf {
template <typename Key, typename T>
class Map;
}

namespace k8s::io::apimachinery::pkg::api::resource {
class Quantity;
}

namespace gantry::api {

using Amounts = google::protobuf::Map<std::string, k8s::io::apimachinery::pkg::api::resource::Quantity>;

// The name of a resource: one without a domain must be Kubernetes' own. False when something is wrong with it.
bool check_resource_name(const std::string& name, const Check& check);
// Of one that a container may ask for, and of one that a quota may bound.
void check_container_resource_name(const std::string& name, const Check& check);
void check_quota_resource_name(const std::string& name, const Check& check);
// Not negative, and whole where things are counted.
void check_amount(const std::string& name, const std::string& amount, const Check& check);
bool is_huge_page(std::string_view name);
// Of a domain that is not Kubernetes' own: what devices and operators count.
bool is_extended_resource(std::string_view name);
// A request of it may be less than its limit.
bool can_be_overcommitted(std::string_view name);

// Rounds each up to a thousandth, which is the finest that the API keeps.
void round_amounts(Amounts* amounts);

}  // namespace gantry::api
