// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>

#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/core/pod_rules.h"
#include "api/kinds/storage/kinds.h"
#include "api/names.h"
#include "kubernetes/storage/v1/csi.pb.h"

namespace gantry::api {

namespace {

namespace storage = k8s::io::api::storage::v1;

std::vector<Value> row(const storage::CSINode& object, int64_t now) {
  return {object.metadata().name(), object.spec().drivers_size(), age(object.metadata(), now)};
}

constexpr size_t kMaxNodeId = 256;

void check_driver(const storage::CSINodeDriver& driver, const Check& check) {
  check_csi_driver_name(driver.name(), check.at("name"));
  if (driver.node_id().empty()) check.at("nodeID").required();
  if (driver.node_id().size() > kMaxNodeId) check.at("nodeID").invalid("", "must have at most 256 characters");
  if (driver.allocatable().has_count()) {
    check.at("allocatable").at("count").not_negative(driver.allocatable().count());
  }
  std::set<std::string_view> keys;
  for (const std::string& key : driver.topology_keys()) {
    if (key.empty()) check.required();
    if (!keys.insert(key).second) check.duplicate(key);
    check.well_formed(key, check_qualified_name);
  }
}

FieldProblems validate(const storage::CSINode& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec").at("drivers");
  std::set<std::string_view> names;
  for (int i = 0; i < object.spec().drivers_size(); ++i) {
    const storage::CSINodeDriver& driver = object.spec().drivers(i);
    check_driver(driver, check[i]);
    if (!names.insert(driver.name()).second) check[i].at("name").duplicate(driver.name());
  }
  return problems;
}

// A driver may say anew how much it can take, and nothing else: it registers again.
FieldProblems validate_update(const storage::CSINode& old, const storage::CSINode& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec").at("drivers");
  std::map<std::string_view, const storage::CSINodeDriver*> drivers;
  for (const storage::CSINodeDriver& driver : updated.spec().drivers()) drivers.emplace(driver.name(), &driver);
  for (storage::CSINodeDriver before : old.spec().drivers()) {
    const auto found = drivers.find(before.name());
    if (found == drivers.end()) continue;
    storage::CSINodeDriver after = *found->second;
    before.clear_allocatable();
    after.clear_allocatable();
    if (!equal(before, after)) check.invalid(after.name(), "field is immutable");
  }
  return problems;
}

}  // namespace

Kind csi_node_kind() {
  Kind kind = make_kind<storage::CSINode>("csinodes", "csinode");
  kind.namespaced = false;
  kind.storage = "csinodes";
  kind.updates_by_version = true;
  kind.answers_deleted = true;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.table = {{name_column(), column("Drivers", "integer", "How many drivers the node has."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
