// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/same_map.h"
#include "api/names.h"
#include "kubernetes/core/v1/config.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::vector<Value> row(const core::ConfigMap& object, int64_t now) {
  return {object.metadata().name(), static_cast<int64_t>(object.data_size() + object.binary_data_size()),
          age(object.metadata(), now)};
}

constexpr size_t kMaxBytes = size_t{1} << 20;

FieldProblems validate(const core::ConfigMap& object) {
  FieldProblems problems;
  const Check check(&problems);
  size_t bytes = 0;
  for (const auto& [key, value] : object.data()) {
    const Check inside = check.at("data").key(key);
    if (const std::string wrong = check_config_key(key); !wrong.empty()) inside.invalid(key, wrong);
    if (object.binary_data().contains(key)) inside.invalid(key, "is a key of binaryData, too");
    bytes += value.size();
  }
  for (const auto& [key, value] : object.binary_data()) {
    if (const std::string wrong = check_config_key(key); !wrong.empty()) {
      check.at("binaryData").key(key).invalid(key, wrong);
    }
    bytes += value.size();
  }
  if (bytes > kMaxBytes) check.too_long(bytes, kMaxBytes, "bytes of data");
  return problems;
}

FieldProblems validate_update(const core::ConfigMap& old, const core::ConfigMap& updated) {
  FieldProblems problems;
  if (!old.immutable()) return problems;
  const Check check(&problems);
  const std::string_view reason = "field is immutable when `immutable` is set";
  if (!updated.immutable()) check.at("immutable").forbidden(reason);
  if (!same_map(old.data(), updated.data())) check.at("data").forbidden(reason);
  if (!same_map(old.binary_data(), updated.binary_data())) check.at("binaryData").forbidden(reason);
  return problems;
}

}  // namespace

Kind config_map_kind() {
  Kind kind = make_kind<core::ConfigMap>("configmaps", "configmap", {"cm"});
  kind.storage = "configmaps";
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.table = {{name_column(), column("Data", "string", "How many keys it has."), age_column()}, over(&row)};
  return kind;
}

}  // namespace gantry::api
