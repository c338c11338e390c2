// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/local_volumes.h"

#include <algorithm>
#include <utility>

#include "api/local_volumes.h"
#include "base/text.h"
#include "control/controllers/volume_binder_names.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;
namespace storage = k8s::io::api::storage::v1;
using api::Value;

namespace {

constexpr char kHostname[] = "kubernetes.io/hostname";
constexpr char kByNode[] = "local volumes of";  // an index of volumes
constexpr std::size_t kMostLabel = 63;

template <typename M>
std::string label_of(const M& object, const char* key) {
  const auto found = object.metadata().labels().find(key);
  return found == object.metadata().labels().end() ? std::string() : found->second;
}
template <typename M>
std::string annotation_of(const M& object, const char* key) {
  const auto found = object.metadata().annotations().find(key);
  return found == object.metadata().annotations().end() ? std::string() : found->second;
}
template <typename M>
bool has_finalizer(const M& object, std::string_view finalizer) {
  return std::ranges::find(object.metadata().finalizers(), finalizer) != object.metadata().finalizers().end();
}

bool is_ours(const Volume& volume) { return annotation_of(volume, kProvisionedBy) == api::kLocalProvisioner; }

// What a node lacks to have volumes of this kind; empty: nothing.
std::string lack_of(const core::Node* node, const std::string& name) {
  if (node == nullptr) return cat("node ", quoted(name, 256), " not found");
  if (!annotation_of(*node, api::kLocalVolumesFolder).starts_with('/')) {
    return cat("node ", quoted(name, 256), " makes no volumes: it has no annotation ", api::kLocalVolumesFolder);
  }
  if (label_of(*node, kHostname).empty()) return cat("node ", quoted(name, 256), " has no label ", kHostname);
  if (name.size() > kMostLabel) return cat("the name of node ", quoted(name, 256), " is too long for a label");
  return {};
}

Value precondition(const k8s::io::apimachinery::pkg::apis::meta::v1::ObjectMeta& metadata) {
  return Value::object({{"uid", metadata.uid()}, {"resourceVersion", metadata.resource_version()}});
}

}  // namespace

std::string why_not_local(const Claim& claim) {
  const core::PersistentVolumeClaimSpec& spec = claim.spec();
  if (spec.has_volume_mode() && spec.volume_mode() == "Block") return "there are no block devices of this class";
  if (spec.has_selector()) return "claim.spec.selector is not supported";
  if (spec.has_data_source() || spec.has_data_source_ref()) return "claim.spec.dataSource is not supported";
  const bool is_of_one_node = std::ranges::all_of(spec.access_modes(), [](const std::string& mode) {
    return mode == "ReadWriteOnce" || mode == "ReadWriteOncePod";
  });
  return is_of_one_node ? "" : "a volume of one node has the access modes ReadWriteOnce and ReadWriteOncePod alone";
}

Volume local_volume(const Claim& claim, const storage::StorageClass& of_class, const core::Node& node) {
  Volume volume;
  auto& metadata = *volume.mutable_metadata();
  metadata.set_name(cat("pvc-", claim.metadata().uid()));
  (*metadata.mutable_annotations())[kProvisionedBy] = api::kLocalProvisioner;
  (*metadata.mutable_labels())[api::kLocalVolumeNode] = node.metadata().name();
  metadata.add_finalizers(api::kLocalVolumeFinalizer);
  auto& spec = *volume.mutable_spec();
  const auto size = claim.spec().resources().requests().find("storage");
  if (size != claim.spec().resources().requests().end()) (*spec.mutable_capacity())["storage"] = size->second;
  *spec.mutable_access_modes() = claim.spec().access_modes();
  spec.set_persistent_volume_reclaim_policy(
      of_class.reclaim_policy().empty() ? "Delete" : of_class.reclaim_policy());
  spec.set_storage_class_name(of_class.metadata().name());
  spec.set_volume_mode("Filesystem");
  spec.mutable_persistent_volume_source()->mutable_local()->set_path(
      cat(annotation_of(node, api::kLocalVolumesFolder), "/", metadata.name()));
  auto& requirement =
      *spec.mutable_node_affinity()->mutable_required()->add_node_selector_terms()->add_match_expressions();
  requirement.set_key(kHostname);
  requirement.set_operator_("In");
  requirement.add_values(label_of(node, kHostname));
  auto& reference = *spec.mutable_claim_ref();
  reference.set_kind("PersistentVolumeClaim");
  reference.set_api_version("v1");
  reference.set_namespace_(claim.metadata().namespace_());
  reference.set_name(claim.metadata().name());
  reference.set_uid(claim.metadata().uid());
  reference.set_resource_version(claim.metadata().resource_version());
  return volume;
}

LocalVolumeProvisioner::LocalVolumeProvisioner(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, api::kLocalProvisioner),
      claims_(parts_.queues(), "local-volume-claims", [this](std::string key) { return work_claim(key); }),
      volumes_(parts_.queues(), "local-volumes", [this](std::string name) { return work_volume(name); }),
      nodes_(parts_.queues(), "local-volume-nodes", [this](std::string name) { return work_node(name); }) {
  parts_.informers.of<Claim>().on_change([this](const api::Informer::Change& change) {
    if (change.now == nullptr) return;
    claims_.add(key_of(static_cast<const Claim&>(*change.now)));
  });
  auto& volumes = parts_.informers.of<Volume>();
  volumes.add_index(kByNode, [](const api::Message& message) -> std::vector<std::string> {
    const auto& volume = static_cast<const Volume&>(message);
    if (!is_ours(volume)) return {};
    return {label_of(volume, api::kLocalVolumeNode)};
  });
  volumes.on_change([this](const api::Informer::Change& change) {
    const auto* volume = static_cast<const Volume*>(change.now.get());
    if (volume == nullptr || !is_ours(*volume)) return;
    volumes_.add(volume->metadata().name());
    if (change.before == nullptr) nodes_.add(label_of(*volume, api::kLocalVolumeNode));
  });
  parts_.informers.of<core::Node>().on_change([this](const api::Informer::Change& change) {
    const auto& node = static_cast<const core::Node&>(change.object());
    const std::string& name = node.metadata().name();
    if (change.now != nullptr && !has_annotation(node, api::kHasLocalVolumes)) nodes_.add(name);
    if (change.now != nullptr) return;
    for (const VolumePtr& volume : parts_.informers.of<Volume>().by(kByNode, name)) {
      volumes_.add(volume->metadata().name());
    }
  });
  parts_.informers.of<storage::StorageClass>();
}

void LocalVolumeProvisioner::start() {
  claims_.start();
  volumes_.start();
  nodes_.start();
}

Task<Status> LocalVolumeProvisioner::work_claim(std::string key) {
  const auto claim = parts_.informers.of<Claim>().find_key(key);
  if (claim == nullptr || claim->metadata().has_deletion_timestamp() || !claim->spec().volume_name().empty()) {
    co_return Status();
  }
  // Whoever binds claims says that one is to be made.
  if (annotation_of(*claim, kProvisioner) != api::kLocalProvisioner) co_return Status();
  const auto of_class = parts_.informers.of<storage::StorageClass>().find("", class_of(*claim));
  if (of_class == nullptr || of_class->provisioner() != api::kLocalProvisioner) co_return Status();
  if (const std::string why = why_not_local(*claim); !why.empty()) {
    events_.warning(events_.about(*claim), "ProvisioningFailed", why);
    co_return Status();
  }
  const std::string node = annotation_of(*claim, kSelectedNode);
  if (node.empty()) {
    if (of_class->volume_binding_mode() == "WaitForFirstConsumer") co_return Status();
    events_.warning(events_.about(*claim), "ProvisioningFailed",
                    cat("StorageClass ", quoted(of_class->metadata().name(), 256),
                        " needs volumeBindingMode: WaitForFirstConsumer, as a volume is on the node of its pod"));
    co_return Status();
  }
  // What a watch has not told yet: the volume may be there, and may have gone again with its claim.
  api::Answer<Claim> live = co_await parts_.client.get<Claim>(claim->metadata().namespace_(), claim->metadata().name());
  if (!live) co_return done_or_gone(live);
  const bool is_as_known = live->metadata().uid() == claim->metadata().uid() && live->spec().volume_name().empty() &&
                           !live->metadata().has_deletion_timestamp() && annotation_of(*live, kSelectedNode) == node;
  if (is_as_known) co_return co_await make(std::move(*live), of_class, node);
  co_return Status();
}

Task<Status> LocalVolumeProvisioner::make(Claim claim, std::shared_ptr<const storage::StorageClass> of_class,
                                          std::string node_name) {
  const std::string name = cat("pvc-", claim.metadata().uid());
  if (parts_.informers.of<Volume>().find("", name) != nullptr) co_return Status();
  api::Answer<core::Node> node = co_await parts_.client.get<core::Node>("", node_name);
  if (!node && !node.error().is_not_found()) co_return std::unexpected(node.error().as_error());
  if (const std::string lack = lack_of(node ? &*node : nullptr, node_name); !lack.empty()) {
    co_return co_await decline(std::move(claim), lack);
  }
  const api::Answer<Volume> made = co_await parts_.client.create(local_volume(claim, *of_class, *node));
  if (!made && made.error().is_already_exists()) co_return Status();
  if (!made) {
    events_.warning(events_.about(claim), "ProvisioningFailed", made.error().message);
    co_return std::unexpected(made.error().as_error());
  }
  events_.normal(events_.about(claim), "ProvisioningSucceeded",
                 cat("Successfully provisioned volume ", name, " on node ", node_name));
  co_return Status();
}

Task<Status> LocalVolumeProvisioner::decline(Claim claim, std::string why) {
  events_.warning(events_.about(claim), "ProvisioningFailed", std::move(why));
  Value metadata = precondition(claim.metadata());
  metadata["annotations"] = Value::object({{kSelectedNode, nullptr}});
  co_return done_or_late(co_await parts_.client.patch<Claim>(claim.metadata().namespace_(), claim.metadata().name(),
                                                             api::PatchForm::kMerge,
                                                             Value::object({{"metadata", std::move(metadata)}})));
}

Task<Status> LocalVolumeProvisioner::work_volume(std::string name) {
  const VolumePtr volume = parts_.informers.of<Volume>().find("", name);
  if (volume == nullptr || !is_ours(*volume)) co_return Status();
  if (volume->metadata().has_deletion_timestamp()) co_return co_await let_go(*volume);
  const bool is_to_go =
      volume->status().phase() == "Released" && volume->spec().persistent_volume_reclaim_policy() == "Delete";
  if (!is_to_go) co_return Status();
  co_return done_or_late(co_await parts_.client.remove<Volume>(
      "", name, {.uid = volume->metadata().uid(), .resource_version = volume->metadata().resource_version()}));
}

Task<Status> LocalVolumeProvisioner::let_go(Volume volume) {
  if (!has_finalizer(volume, api::kLocalVolumeFinalizer) || has_finalizer(volume, api::kVolumeProtection)) {
    co_return Status();
  }
  const std::string node = label_of(volume, api::kLocalVolumeNode);
  if (parts_.informers.of<core::Node>().find("", node) != nullptr) co_return Status();
  if (!node.empty()) {
    const api::Answer<core::Node> live = co_await parts_.client.get<core::Node>("", node);
    if (live) co_return Status();
    if (!live.error().is_not_found()) co_return std::unexpected(live.error().as_error());
  }
  auto& finalizers = *volume.mutable_metadata()->mutable_finalizers();
  finalizers.erase(std::ranges::find(finalizers, api::kLocalVolumeFinalizer));
  co_return done_or_late(co_await parts_.client.update(volume));
}

// A node begins to watch its volumes when it has any.
Task<Status> LocalVolumeProvisioner::work_node(std::string name) {
  const auto node = parts_.informers.of<core::Node>().find("", name);
  if (node == nullptr || has_annotation(*node, api::kHasLocalVolumes)) co_return Status();
  if (parts_.informers.of<Volume>().by(kByNode, name).empty()) co_return Status();
  Value metadata = Value::object({{"uid", node->metadata().uid()},
                                  {"annotations", Value::object({{api::kHasLocalVolumes, "true"}})}});
  co_return done_or_late(co_await parts_.client.patch<core::Node>(
      "", name, api::PatchForm::kMerge, Value::object({{"metadata", std::move(metadata)}})));
}

}  // namespace gantry::control
