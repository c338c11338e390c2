// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/storage/kinds.h"
#include "kubernetes/storage/v1/csi.pb.h"

namespace gantry::api {

namespace {

namespace storage = k8s::io::api::storage::v1;

std::string audiences(const storage::CSIDriverSpec& spec) {
  std::vector<std::string> texts;
  for (const storage::TokenRequest& request : spec.token_requests()) texts.push_back(request.audience());
  return joined(texts);
}

std::vector<Value> row(const storage::CSIDriver& object, int64_t now) {
  const storage::CSIDriverSpec& spec = object.spec();
  return {object.metadata().name(),
          !spec.has_attach_required() || spec.attach_required(),
          spec.pod_info_on_mount(),
          spec.storage_capacity(),
          spec.token_requests().empty() ? Value(kUnset) : Value(audiences(spec)),
          spec.requires_republish(),
          or_none(joined({spec.volume_lifecycle_modes().begin(), spec.volume_lifecycle_modes().end()})),
          age(object.metadata(), now)};
}

TableRules table() {
  return {{name_column(), column("AttachRequired", "boolean", "Whether its volumes are attached to nodes first."),
           column("PodInfoOnMount", "boolean", "Whether it is told of the pod when it mounts."),
           column("StorageCapacity", "boolean", "Whether pods are placed by what it has left."),
           column("TokenRequests", "string", "Audiences of the tokens that it gets."),
           column("RequiresRepublish", "boolean", "Whether it is asked to mount again and again."),
           column("Modes", "string", "Kinds of volumes that it serves."), age_column()},
          over(&row)};
}

}  // namespace

Kind csi_driver_kind() {
  Kind kind = make_kind<storage::CSIDriver>("csidrivers", "csidriver");
  kind.namespaced = false;
  kind.storage = "csidrivers";
  kind.has_generation = true;
  kind.table = table();
  return kind;
}

}  // namespace gantry::api
