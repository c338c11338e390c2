// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/storage/kinds.h"
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

}  // namespace

Kind volume_attachment_kind() {
  Kind kind = make_kind<storage::VolumeAttachment>("volumeattachments", "volumeattachment");
  kind.namespaced = false;
  kind.storage = "volumeattachments";
  kind.table = table();
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
