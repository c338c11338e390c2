// SPDX-License-Identifier: Apache-2.0
// Discovery: the documents from which clients learn which groups, versions and resources a server has. Two forms, both
// made from the list of kinds alone: the aggregated one (all in one document, apidiscovery.k8s.io/v2) and the older one
// (/api, /apis, and one document for each version of a group), which even recent kubectl asks for here and there.
//
// Pure; nothing is kept. The documents change only with the list: whoever serves them keeps the bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"
#include "api/value.h"

namespace gantry::api {

// A group and its versions, preferred first: v2 before v1 before v1beta1.
struct ServedGroup {
  std::string name;  // "" for core
  std::vector<std::string> versions;
};

// Core first, then the others in the order of `kinds`.
std::vector<ServedGroup> served_groups(const Kinds& kinds);

// For /api and /apis of clients that accept as=APIGroupDiscoveryList, which is what `content_type` of the answer must
// say: core alone, and all groups but core.
Value aggregated_core(const Kinds& kinds);
Value aggregated_groups(const Kinds& kinds);
inline constexpr std::string_view kAggregatedDiscoveryType =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

// /api. `server_address` is where clients reach this server ("10.0.0.1:6443").
Value api_versions(const Kinds& kinds, std::string_view server_address);
// /apis
Value api_group_list(const Kinds& kinds);
// /apis/GROUP; absent if there is no such group. (Core has no such document.)
std::optional<Value> api_group(const Kinds& kinds, std::string_view group);
// /api/v1 (with the group "") and /apis/GROUP/VERSION, subresources among the resources.
std::optional<Value> api_resource_list(const Kinds& kinds, std::string_view group, std::string_view version);

}  // namespace gantry::api
