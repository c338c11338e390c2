// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/kinds.h"
#include "kubernetes/core/v1/quota.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

void add_missing(const Amounts& from, Amounts* to) {
  for (const auto& [name, amount] : from) to->insert({name, amount});
}

void set_defaults(core::LimitRange* object) {
  apply_constant_defaults(object);
  for (core::LimitRangeItem& item : *object->mutable_spec()->mutable_limits()) {
    for (Amounts* amounts : {item.mutable_max(), item.mutable_min(), item.mutable_default_(),
                             item.mutable_default_request(), item.mutable_max_limit_request_ratio()}) {
      round_amounts(amounts);
    }
    if (item.type() != "Container") continue;
    add_missing(item.max(), item.mutable_default_());
    add_missing(item.default_(), item.mutable_default_request());
    add_missing(item.min(), item.mutable_default_request());
  }
}

}  // namespace

Kind limit_range_kind() {
  Kind kind = make_kind<core::LimitRange>("limitranges", "limitrange", {"limits"});
  kind.storage = "limitranges";
  kind.set_defaults = over(&set_defaults);
  kind.table = name_and_creation<core::LimitRange>();
  return kind;
}

}  // namespace gantry::api
