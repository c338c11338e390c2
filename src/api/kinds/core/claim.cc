// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/claim.h"

#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/names.h"
#include "api/quantity.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

// What the new volume is a copy of: of the core group only another claim.
template <typename Source>
void check_source(const Source& source, const Check& check) {
  if (source.kind().empty()) check.at("kind").required();
  if (source.name().empty()) check.at("name").required();
  if (source.api_group().empty() && source.kind() != "PersistentVolumeClaim") {
    check.invalid(source.kind(), "must be PersistentVolumeClaim when apiGroup is not set");
  }
}

}  // namespace

void check_access_modes(const google::protobuf::RepeatedPtrField<std::string>& modes, const Check& check) {
  if (modes.empty()) check.required("at least one access mode is required");
  bool alone = false;
  bool other = false;
  for (const std::string& mode : modes) {
    check.one_of(mode, {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"});
    (mode == "ReadWriteOncePod" ? alone : other) = true;
  }
  if (alone && other) check.forbidden("ReadWriteOncePod stands alone");
}

void check_claim_spec(const core::PersistentVolumeClaimSpec& spec, const Check& check) {
  check_access_modes(spec.access_modes(), check.at("accessModes"));
  if (spec.has_selector()) check_label_selector(spec.selector(), check.at("selector"));
  const Check size = check.at("resources").key("storage");
  const auto amount = spec.resources().requests().find("storage");
  if (amount == spec.resources().requests().end()) {
    size.required();
  } else if (const Result<Quantity> quantity = Quantity::parse(amount->second.string());
             quantity && (quantity->is_zero() || quantity->is_negative())) {
    size.invalid(amount->second.string(), "must be greater than zero");
  }
  if (spec.has_storage_class_name()) {
    check.at("storageClassName").optional_name(spec.storage_class_name(), check_dns1123_subdomain);
  }
  if (spec.has_volume_mode()) check.at("volumeMode").one_of(spec.volume_mode(), {"Block", "Filesystem"});
  if (spec.has_data_source()) check_source(spec.data_source(), check.at("dataSource"));
  if (spec.has_data_source_ref()) check_source(spec.data_source_ref(), check.at("dataSourceRef"));
  if (spec.has_volume_attributes_class_name()) {
    check.at("volumeAttributesClassName").optional_name(spec.volume_attributes_class_name(), check_dns1123_subdomain);
  }
}

void default_claim_spec(core::PersistentVolumeClaimSpec* spec) {
  if (!spec->has_volume_mode()) spec->set_volume_mode("Filesystem");
  round_amounts(spec->mutable_resources()->mutable_requests());
  round_amounts(spec->mutable_resources()->mutable_limits());
}

}  // namespace gantry::api
