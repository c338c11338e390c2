// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/core/pod_rules.h"
#include "api/kinds/storage/kinds.h"
#include "api/names.h"
#include "kubernetes/storage/v1/volume_attachment.pb.h"

namespace gantry::api {

namespace {

namespace storage = k8s::io::api::storage::v1;

std::vector<Value> row(const storage::VolumeAttachment& object, int64_t now) {
  return {object.metadata().name(),  object.spec().attacher(),   object.spec().source().persistent_volume_name(),
          object.spec().node_name(), object.status().attached(), age(object.metadata(), now)};
}

TableRules table() {
  Column attacher = column("Attacher", "string", "The driver that attaches it.");
  attacher.format = "name";
  return {{name_column(), attacher, column("PV", "string", "The volume."), column("Node", "string", "The node."),
           column("Attached", "boolean", "Whether it is attached."), age_column()},
          over(&row)};
}

constexpr size_t kMaxMetadataBytes = size_t{256} << 10;
constexpr size_t kMaxErrorMessage = 1024;

void check_source(const storage::VolumeAttachmentSource& source, const Check& check) {
  constexpr std::string_view kOne = "must have one of inlineVolumeSpec and persistentVolumeName";
  if (!source.has_inline_volume_spec() && !source.has_persistent_volume_name()) return check.required(kOne);
  if (source.has_inline_volume_spec() && source.has_persistent_volume_name()) return check.forbidden(kOne);
  if (source.has_persistent_volume_name() && source.persistent_volume_name().empty()) {
    check.at("persistentVolumeName").required();
  }
}

void check_error(const storage::VolumeError& error, const Check& check) {
  if (error.message().size() > kMaxErrorMessage) {
    check.at("message").too_long(error.message().size(), kMaxErrorMessage, "characters");
  }
  if (error.has_error_code()) check.at("errorCode").not_negative(error.error_code());
}

FieldProblems validate(const storage::VolumeAttachment& object) {
  FieldProblems problems;
  const Check root(&problems);
  const Check spec = root.at("spec");
  check_csi_driver_name(object.spec().attacher(), spec.at("attacher"));
  check_source(object.spec().source(), spec.at("source"));
  spec.at("nodeName").well_formed(object.spec().node_name(), check_dns1123_subdomain);
  const Check status = root.at("status");
  size_t bytes = 0;
  for (const auto& [key, value] : object.status().attachment_metadata()) bytes += key.size() + value.size();
  if (bytes > kMaxMetadataBytes) status.at("attachmentMetadata").too_long(bytes, kMaxMetadataBytes, "bytes");
  check_error(object.status().attach_error(), status.at("attachError"));
  check_error(object.status().detach_error(), status.at("detachError"));
  if (object.spec().source().has_persistent_volume_name()) {
    spec.at("source")
        .at("persistentVolumeName")
        .well_formed(object.spec().source().persistent_volume_name(), check_dns1123_subdomain);
  }
  return problems;
}

FieldProblems validate_update(const storage::VolumeAttachment& old, const storage::VolumeAttachment& updated) {
  FieldProblems problems;
  if (!equal(old.spec(), updated.spec())) Check(&problems).at("spec").invalid("", "field is immutable");
  return problems;
}

}  // namespace

Kind volume_attachment_kind() {
  Kind kind = make_kind<storage::VolumeAttachment>("volumeattachments", "volumeattachment");
  kind.namespaced = false;
  kind.storage = "volumeattachments";
  kind.updates_by_version = true;
  kind.answers_deleted = true;
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.table = table();
  add_status(&kind, {.validate = over(&validate_update)});
  return kind;
}

}  // namespace gantry::api
