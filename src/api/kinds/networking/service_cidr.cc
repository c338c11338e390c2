// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/ip_network.h"
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "base/text.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"

namespace gantry::api {

namespace {

namespace networking = k8s::io::api::networking::v1;

std::vector<Value> row(const networking::ServiceCIDR& object, int64_t now) {
  return {object.metadata().name(), joined({object.spec().cidrs().begin(), object.spec().cidrs().end()}),
          age(object.metadata(), now)};
}

void check_networks(const google::protobuf::RepeatedPtrField<std::string>& networks, const Check& check) {
  if (networks.empty()) return check.required("must have at least one range");
  if (networks.size() > 2) return check.invalid("", "must have at most two ranges");
  int families = 0;
  for (int i = 0; i < networks.size(); ++i) {
    const Result<IpNetwork> network = parse_network(networks[i]);
    if (!network) {
      check[i].invalid(networks[i], "must be a range of addresses, such as 10.96.0.0/12");
    } else if (to_string(*network) != networks[i]) {
      check[i].invalid(networks[i], cat("must be written as ", to_string(*network)));
    } else {
      families += network->base.is_v6 ? 10 : 1;
    }
  }
  if (families == 2 || families == 20) check.invalid("", "must have at most one range of IPv4 and one of IPv6");
}

FieldProblems validate(const networking::ServiceCIDR& object) {
  FieldProblems problems;
  check_networks(object.spec().cidrs(), Check(&problems).at("spec").at("cidrs"));
  return problems;
}

// Nothing changes but that a range of the other family comes.
FieldProblems validate_update(const networking::ServiceCIDR& old, const networking::ServiceCIDR& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec").at("cidrs");
  const auto& before = old.spec().cidrs();
  const auto& after = updated.spec().cidrs();
  if (before.size() == 1 && after.size() == 2) check_networks(after, check);
  if (before.size() != after.size() && !(before.size() == 1 && after.size() == 2)) {
    check.invalid("", "field is immutable");
    return problems;
  }
  for (int i = 0; i < before.size(); ++i) {
    if (before[i] != after[i]) check[i].invalid(after[i], "field is immutable");
  }
  return problems;
}

}  // namespace

Kind service_cidr_kind() {
  Kind kind = make_kind<networking::ServiceCIDR>("servicecidrs", "servicecidr");
  kind.namespaced = false;
  kind.storage = "servicecidrs";
  kind.validate = over(&validate);
  kind.update = {.validate = over(&validate_update), .changes_alone = true};
  kind.table = {{name_column(), column("CIDRs", "string", "Ranges from which services get addresses."), age_column()},
                over(&row)};
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
