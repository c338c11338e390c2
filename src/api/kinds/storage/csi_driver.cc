// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "api/check.h"
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

void set_defaults(storage::CSIDriver* object) {
  storage::CSIDriverSpec* spec = object->mutable_spec();
  if (!spec->has_attach_required()) spec->set_attach_required(true);
  if (!spec->has_pod_info_on_mount()) spec->set_pod_info_on_mount(false);
  if (!spec->has_storage_capacity()) spec->set_storage_capacity(false);
  if (!spec->has_fs_group_policy()) spec->set_fs_group_policy("ReadWriteOnceWithFSType");
  if (spec->volume_lifecycle_modes().empty()) spec->add_volume_lifecycle_modes("Persistent");
  if (!spec->has_requires_republish()) spec->set_requires_republish(false);
  if (!spec->has_se_linux_mount()) spec->set_se_linux_mount(false);
  if (!spec->has_prevent_pod_scheduling_if_missing()) spec->set_prevent_pod_scheduling_if_missing(false);
}

constexpr int64_t kLeastUpdatePeriod = 10;
constexpr int64_t kLeastTokenLife = 600;
constexpr int64_t kMostTokenLife = int64_t{1} << 32;

void check_token_requests(const storage::CSIDriverSpec& spec, const Check& check) {
  std::set<std::string_view> audiences;
  for (int i = 0; i < spec.token_requests_size(); ++i) {
    const storage::TokenRequest& request = spec.token_requests(i);
    if (!audiences.insert(request.audience()).second) {
      check[i].at("audience").duplicate(request.audience());
    } else if (request.has_expiration_seconds()) {
      check[i].at("expirationSeconds").in_range(request.expiration_seconds(), kLeastTokenLife, kMostTokenLife);
    }
  }
}

FieldProblems validate(const storage::CSIDriver& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const storage::CSIDriverSpec& spec = object.spec();
  if (spec.has_fs_group_policy()) {
    check.at("fsGroupPolicy").one_of(spec.fs_group_policy(), {"File", "None", "ReadWriteOnceWithFSType"});
  }
  check_token_requests(spec, check.at("tokenRequests"));
  for (const std::string& mode : spec.volume_lifecycle_modes()) {
    check.at("volumeLifecycleModes").one_of(mode, {"Persistent", "Ephemeral"});
  }
  if (spec.has_node_allocatable_update_period_seconds() &&
      spec.node_allocatable_update_period_seconds() < kLeastUpdatePeriod) {
    check.at("nodeAllocatableUpdatePeriodSeconds")
        .invalid(spec.node_allocatable_update_period_seconds(), "must be at least 10 seconds");
  }
  if (spec.has_service_account_token_in_secrets() && spec.token_requests().empty()) {
    check.at("serviceAccountTokenInSecrets").invalid("", "needs tokenRequests");
  }
  return problems;
}

FieldProblems validate_update(const storage::CSIDriver& old, const storage::CSIDriver& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  if (old.spec().attach_required() != updated.spec().attach_required()) {
    check.at("attachedRequired").invalid("", "field is immutable");  // upstream's name of it
  }
  if (!std::ranges::equal(old.spec().volume_lifecycle_modes(), updated.spec().volume_lifecycle_modes())) {
    check.at("volumeLifecycleModes").invalid("", "field is immutable");
  }
  return problems;
}

}  // namespace

Kind csi_driver_kind() {
  Kind kind = make_kind<storage::CSIDriver>("csidrivers", "csidriver");
  kind.namespaced = false;
  kind.storage = "csidrivers";
  kind.updates_by_version = true;
  kind.answers_deleted = true;
  kind.set_defaults = over(&set_defaults);
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.has_generation = true;
  kind.table = table();
  return kind;
}

}  // namespace gantry::api
