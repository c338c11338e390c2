// SPDX-License-Identifier: Apache-2.0
// Maps of amounts: of resources, in specs, statuses and quotas. Pure; any thread.
#pragma once

#include <string>

namespace google::protobuf {
template <typename Key, typename T>
class Map;
}

namespace k8s::io::apimachinery::pkg::api::resource {
class Quantity;
}

namespace gantry::api {

using Amounts = google::protobuf::Map<std::string, k8s::io::apimachinery::pkg::api::resource::Quantity>;

// Rounds each up to a thousandth, which is the finest that the API keeps.
void round_amounts(Amounts* amounts);

}  // namespace gantry::api
