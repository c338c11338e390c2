// SPDX-License-Identifier: Apache-2.0
// Maps of amounts: of resources, in specs, statuses and quotas. Pure; any thread.
#pragma once

#include <google/protobuf/map.h>

#include <string>

#include "api/quantity.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::api {

using Amounts = google::protobuf::Map<std::string, k8s::io::apimachinery::pkg::api::resource::Quantity>;

// Rounds each up to a thousandth, which is the finest that the API keeps.
inline void round_amounts(Amounts* amounts) {
  constexpr int kMilli = -3;
  for (auto& [name, amount] : *amounts) {
    Result<Quantity> quantity = Quantity::parse(amount.string());
    if (!quantity) continue;
    quantity->round_up(kMilli);
    amount.set_string(quantity->to_string());
  }
}

}  // namespace gantry::api
