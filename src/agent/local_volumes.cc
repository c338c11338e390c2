// SPDX-License-Identifier: Apache-2.0
#include "agent/local_volumes.h"

#include <algorithm>
#include <utility>

#include "api/local_volumes.h"
#include "base/log.h"
#include "base/text.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "volumes/local_folder.h"

namespace gantry::agent {

namespace core = k8s::io::api::core::v1;

namespace {

bool has_finalizer(const core::PersistentVolume& volume, std::string_view finalizer) {
  return std::ranges::find(volume.metadata().finalizers(), finalizer) != volume.metadata().finalizers().end();
}

// Deleted, and no claim has it any more.
bool is_to_go(const core::PersistentVolume& volume) {
  return volume.metadata().has_deletion_timestamp() && has_finalizer(volume, api::kLocalVolumeFinalizer) &&
         !has_finalizer(volume, api::kVolumeProtection);
}

// Of this version alone: who has put something into it meanwhile is seen first.
api::Value without_finalizer(const core::PersistentVolume& volume) {
  api::Value left{api::Value::List()};
  for (const std::string& finalizer : volume.metadata().finalizers()) {
    if (finalizer != api::kLocalVolumeFinalizer) left.as_list()->push_back(finalizer);
  }
  return api::Value::object({{"metadata", api::Value::object({{"uid", volume.metadata().uid()},
                                                              {"resourceVersion", volume.metadata().resource_version()},
                                                              {"finalizers", std::move(left)}})}});
}

}  // namespace

LocalVolumes::LocalVolumes(Cluster& cluster, std::string folder, std::string pods_folder)
    : cluster_(cluster),
      folder_(std::move(folder)),
      pods_folder_(std::move(pods_folder)),
      queue_({cluster.loop()}, "local-volumes", [this](std::string name) { return work(std::move(name)); }) {
  api::Informer::Options options{.target = cluster_.client().target<core::PersistentVolume>(),
                                 .query = {.ns = {},
                                           .label_selector = cat(api::kLocalVolumeNode, "=", cluster_.node_name()),
                                           .field_selector = {}},
                                 .make = [] { return std::make_unique<core::PersistentVolume>(); },
                                 .trim = [](api::Message* object) {
                                   static_cast<core::PersistentVolume*>(object)
                                       ->mutable_metadata()
                                       ->clear_managed_fields();
                                 }};
  volumes_ = std::make_unique<api::InformerOf<core::PersistentVolume>>(cluster_.client(), std::move(options));
  volumes_->on_change([this](const api::Informer::Change& change) {
    if (change.now == nullptr) return;
    const auto& volume = static_cast<const core::PersistentVolume&>(*change.now);
    if (is_to_go(volume)) queue_.add(volume.metadata().name());
  });
  cluster_.node().on_change([this](const api::Informer::Change&) { look(); });
  queue_.start();
}

void LocalVolumes::look() {
  const auto node = cluster_.node_object();
  if (watches_ || stopped_ || node == nullptr) return;
  if (!node->metadata().annotations().contains(api::kHasLocalVolumes)) return;
  watches_ = true;
  disk_.emplace(cluster_.loop(), 1);
  volumes_->start();
}

void LocalVolumes::stop() {
  stopped_ = true;
  if (watches_) volumes_->stop();
}

Task<Status> LocalVolumes::work(std::string name) {
  if (stopped_) co_return Status();
  const auto volume = volumes_->find("", name);
  if (volume == nullptr || !is_to_go(*volume)) co_return Status();
  if (volume->spec().persistent_volume_reclaim_policy() == "Delete") {
    const std::string& path = volume->spec().persistent_volume_source().local().path();
    if (!volumes::is_made_here(*volume, cluster_.node_name(), folder_)) {
      log::warning("a deleted volume is in no folder of this node's, and stays",
                   {{"volume", name}, {"path", path}, {"folder", folder_}});
      co_return Status();
    }
    Status removed = co_await disk_->run([path, pods = pods_folder_] {
      return volumes::remove_local_folder(path, pods);
    });
    if (!removed) co_return fail_with(std::move(removed.error()), cat("the volume ", name));
    log::info("the folder of a deleted volume was removed", {{"volume", name}, {"path", path}});
  }
  if (stopped_) co_return Status();
  const api::Answer<core::PersistentVolume> said = co_await cluster_.client().patch<core::PersistentVolume>(
      "", name, api::PatchForm::kMerge, without_finalizer(*volume));
  // Another version comes by the watch.
  if (said || said.error().is_not_found() || said.error().is_conflict()) co_return Status();
  co_return fail_with(said.error().as_error(), cat("tell that the volume ", name, " is gone"));
}

}  // namespace gantry::agent
