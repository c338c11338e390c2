// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/amounts.h"

#include <google/protobuf/map.h>

#include "api/quantity.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::api {

void round_amounts(Amounts* amounts) {
  constexpr int kMilli = -3;
  for (auto& [name, amount] : *amounts) {
    Result<Quantity> quantity = Quantity::parse(amount.string());
    if (!quantity) continue;
    quantity->round_up(kMilli);
    amount.set_string(quantity->to_string());
  }
}

}  // namespace gantry::api
