// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/core/same_map.h"
#include "api/kinds/storage/kinds.h"
#include "api/kinds/storage/rules.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::api {

namespace {

namespace storage = k8s::io::api::storage::v1;

std::vector<Value> row(const storage::VolumeAttributesClass& object, int64_t now) {
  return {object.metadata().name(), object.driver_name(), age(object.metadata(), now)};
}

FieldProblems validate(const storage::VolumeAttributesClass& object) {
  FieldProblems problems;
  const Check check(&problems);
  check_provisioner(object.driver_name(), check.at("driverName"));
  check_parameters(object.parameters(), check.at("parameters"));
  if (object.parameters().empty()) check.at("parameters").required("must have at least one entry");
  return problems;
}

FieldProblems validate_update(const storage::VolumeAttributesClass& old,
                              const storage::VolumeAttributesClass& updated) {
  FieldProblems problems;
  const Check check(&problems);
  if (old.driver_name() != updated.driver_name()) check.at("driverName").forbidden("can not be changed");
  if (!same_map(old.parameters(), updated.parameters())) check.at("parameters").forbidden("can not be changed");
  return problems;
}

}  // namespace

Kind volume_attributes_class_kind() {
  Kind kind = make_kind<storage::VolumeAttributesClass>("volumeattributesclasses", "volumeattributesclass", {"vac"});
  kind.namespaced = false;
  kind.storage = "volumeattributesclasses";
  kind.answers_deleted = true;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.table = {{name_column(), column("DriverName", "string", "The driver that it is for."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
