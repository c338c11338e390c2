// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "api/check.h"
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/kinds.h"
#include "api/names.h"
#include "api/quantity.h"
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

Quantity amount_of(const Amounts& amounts, const std::string& name) {
  return Quantity::parse(amounts.at(name).string()).value_or(Quantity());
}

// `lower` may not exceed `upper`, where both say something of the same resource.
void check_order(const Amounts& lower, const Amounts& upper, const Amounts& blamed, const Check& check) {
  for (const auto& [name, amount] : lower) {
    if (!upper.contains(name) || amount_of(lower, name).compare(amount_of(upper, name)) <= 0) continue;
    check.key(name).invalid(blamed.at(name).string(), "does not fit between min and max");
  }
}

// One of Kubernetes' own, or with a domain.
void check_type(const std::string& type, const Check& check) {
  if (type == "Container" || type == "PersistentVolumeClaim" || type == "Pod") return;
  if (const std::string wrong = check_qualified_name(type); !wrong.empty()) return check.invalid(type, wrong);
  if (!type.contains('/')) check.invalid(type, "must be Container, PersistentVolumeClaim, Pod, or have a domain");
}

FieldProblems validate(const core::LimitRange& object) {
  FieldProblems problems;
  std::set<std::string_view> types;
  for (int i = 0; i < object.spec().limits_size(); ++i) {
    const core::LimitRangeItem& item = object.spec().limits(i);
    const Check check = Check(&problems).at("spec").at("limits")[i];
    check_type(item.type(), check.at("type"));
    if (!types.insert(item.type()).second) check.at("type").duplicate(item.type());
    if (item.type() == "Pod") {
      const std::string_view reason = "can not be set when type is Pod";
      if (!item.default_().empty()) check.at("default").forbidden(reason);
      if (!item.default_request().empty()) check.at("defaultRequest").forbidden(reason);
    } else {
      check_order(item.min(), item.default_request(), item.default_request(), check.at("defaultRequest"));
      check_order(item.default_request(), item.max(), item.default_request(), check.at("defaultRequest"));
      check_order(item.default_request(), item.default_(), item.default_request(), check.at("defaultRequest"));
      check_order(item.min(), item.default_(), item.default_(), check.at("default"));
      check_order(item.default_(), item.max(), item.default_(), check.at("default"));
    }
    check_order(item.min(), item.max(), item.min(), check.at("min"));
    if (item.type() == "PersistentVolumeClaim" && !item.min().contains("storage") && !item.max().contains("storage")) {
      check.at("limits").required("min or max of storage must be set");
    }
  }
  return problems;
}

}  // namespace

Kind limit_range_kind() {
  Kind kind = make_kind<core::LimitRange>("limitranges", "limitrange", {"limits"});
  kind.storage = "limitranges";
  kind.set_defaults = over(&set_defaults);
  kind.validate = over(&validate);
  kind.table = name_and_creation<core::LimitRange>();
  return kind;
}

}  // namespace gantry::api
