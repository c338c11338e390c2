// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"

namespace gantry::api {

namespace {

namespace networking = k8s::io::api::networking::v1;

std::vector<Value> row(const networking::ServiceCIDR& object, int64_t now) {
  return {object.metadata().name(), joined({object.spec().cidrs().begin(), object.spec().cidrs().end()}),
          age(object.metadata(), now)};
}

}  // namespace

Kind service_cidr_kind() {
  Kind kind = make_kind<networking::ServiceCIDR>("servicecidrs", "servicecidr");
  kind.namespaced = false;
  kind.storage = "servicecidrs";
  kind.table = {{name_column(), column("CIDRs", "string", "Ranges from which services get addresses."), age_column()},
                over(&row)};
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
