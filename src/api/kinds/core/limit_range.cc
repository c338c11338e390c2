// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "kubernetes/core/v1/quota.pb.h"

namespace gantry::api {

Kind limit_range_kind() {
  Kind kind = make_kind<k8s::io::api::core::v1::LimitRange>("limitranges", "limitrange", {"limits"});
  kind.storage = "limitranges";
  kind.table = name_and_creation<k8s::io::api::core::v1::LimitRange>();
  return kind;
}

}  // namespace gantry::api
