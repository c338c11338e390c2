// SPDX-License-Identifier: Apache-2.0
#include <limits>
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

// One without a name gets one that nobody else has.
void prepare_create(core::LimitRange* object) {
  ObjectMeta* metadata = object->mutable_metadata();
  if (metadata->name().empty()) metadata->set_name(metadata->uid());
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

void check_names(const std::string& type, const Amounts& amounts, const Check& check) {
  for (const auto& [name, amount] : amounts) {
    if (type == "Pod" || type == "Container") {
      check_container_resource_name(name, check.key(name));
    } else {
      check_resource_name(name, check.key(name));
    }
  }
}

// How many times its request a limit may be: at least once, and no more than max and min leave room for.
void check_ratios(const core::LimitRangeItem& item, const Check& check) {
  for (const auto& [name, ratio] : item.max_limit_request_ratio()) {
    const Quantity most = amount_of(item.max_limit_request_ratio(), name);
    if (most.compare(Quantity(1)) < 0) check.key(name).invalid(ratio.string(), "must be at least 1");
    if (!item.min().contains(name) || !item.max().contains(name)) continue;
    const Quantity largest = amount_of(item.max(), name);
    const Quantity least = amount_of(item.min(), name);
    // In thousandths, where these have room for it.
    const int power = largest.milli_value() == std::numeric_limits<int64_t>::max() ? 0 : -3;
    const double allowed = static_cast<double>(largest.scaled(power)) / static_cast<double>(least.scaled(power));
    if (static_cast<double>(most.milli_value()) / 1000 > allowed) {
      check.key(name).invalid(ratio.string(), "must not be more than max is of min");
    }
  }
}

// Of what cannot be promised twice the default of the request is that of the limit.
void check_promises(const core::LimitRangeItem& item, const Check& check) {
  for (const auto& [name, amount] : item.default_request()) {
    if (can_be_overcommitted(name) || !item.default_().contains(name)) continue;
    if (amount_of(item.default_(), name) != amount_of(item.default_request(), name)) {
      check.key(name).invalid(amount.string(), "must equal default");
    }
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
    check_names(item.type(), item.max(), check.at("max"));
    check_names(item.type(), item.min(), check.at("min"));
    check_names(item.type(), item.max_limit_request_ratio(), check.at("maxLimitRequestRatio"));
    check_ratios(item, check.at("maxLimitRequestRatio"));
    if (item.type() == "Pod") {
      const std::string_view reason = "can not be set when type is Pod";
      if (!item.default_().empty()) check.at("default").forbidden(reason);
      if (!item.default_request().empty()) check.at("defaultRequest").forbidden(reason);
    } else {
      check_names(item.type(), item.default_(), check.at("default"));
      check_names(item.type(), item.default_request(), check.at("defaultRequest"));
      check_promises(item, check.at("defaultRequest"));
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
  kind.put_creates = true;
  kind.set_defaults = over(&set_defaults);
  kind.prepare_create = over(&prepare_create);
  kind.validate = over(&validate);
  kind.table = name_and_creation<core::LimitRange>();
  return kind;
}

}  // namespace gantry::api
