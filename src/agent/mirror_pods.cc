// SPDX-License-Identifier: Apache-2.0
#include "agent/mirror_pods.h"

#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "agent/api_source.h"
#include "agent/cluster.h"
#include "agent/names.h"
#include "base/log.h"
#include "base/map_text.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

std::string name_of(const core::Pod& pod) { return pod.metadata().namespace_() + "/" + pod.metadata().name(); }

// Only its finalizers hold it: another DELETE changes nothing.
bool is_held(const core::Pod& mirror) {
  const auto& metadata = mirror.metadata();
  return metadata.has_deletion_timestamp() && metadata.deletion_grace_period_seconds() == 0;
}

core::Pod make_mirror(const core::Pod& pod, const core::Node& node) {
  core::Pod mirror = pod;
  mirror.clear_status();
  auto& metadata = *mirror.mutable_metadata();
  metadata.clear_uid();
  (*metadata.mutable_annotations())[kConfigMirrorAnnotation] =
      text_at(pod.metadata().annotations(), kConfigHashAnnotation);
  metadata.clear_owner_references();
  auto& owner = *metadata.add_owner_references();
  owner.set_api_version("v1");
  owner.set_kind("Node");
  owner.set_name(node.metadata().name());
  owner.set_uid(node.metadata().uid());
  owner.set_controller(true);
  return mirror;
}

}  // namespace

struct MirrorPods::Impl : std::enable_shared_from_this<Impl> {
  Impl(Cluster& of, const ApiSource& from, BackoffLimits pauses, std::function<void()> when)
      : cluster(of), source(from), backoff(pauses), again(std::move(when)) {}

  static Task<> create(std::shared_ptr<Impl> self, core::Pod mirror);
  static Task<> remove(std::shared_ptr<Impl> self, PodPtr mirror);
  // The end of a call about the pod of that name.
  Task<> settle(std::string name, api::Answer<void> done);
  // The pod of that name is shown as it is, or is none any more.
  void is_good(const std::string& name) {
    if (tried.erase(name) > 0) backoff.succeeded(name);
  }

  Cluster& cluster;
  const ApiSource& source;
  Backoff backoff;
  std::function<void()> again;
  std::set<std::string> tried;  // those that the back-off knows
  std::set<std::string> busy;   // names of pods with a call under way, or a pause after it
  bool stopped = false;
};

Task<> MirrorPods::Impl::settle(std::string name, api::Answer<void> done) {
  if (!done && !done.error().is_already_exists() && !done.error().is_conflict()) {
    log::warning("a static pod can't be shown in the API, retrying", {{"pod", name}, {"error", done.error().message}});
  }
  // Also after what went well: the watch is given time to show it, and what is not seen to help is done ever less
  // often.
  const auto now = std::chrono::steady_clock::now();
  tried.insert(name);
  co_await cluster.loop().sleep_for(backoff.failed(name, now) - now);
  busy.erase(name);
  if (!stopped) again();
}

Task<> MirrorPods::Impl::create(std::shared_ptr<Impl> self, core::Pod mirror) {
  auto made = co_await self->cluster.client().create(mirror);
  api::Answer<void> done;
  if (!made) done = api::fail(std::move(made.error()));
  co_await self->settle(name_of(mirror), std::move(done));
}

Task<> MirrorPods::Impl::remove(std::shared_ptr<Impl> self, PodPtr mirror) {
  const auto& metadata = mirror->metadata();
  auto done = co_await self->cluster.client().remove<core::Pod>(metadata.namespace_(), metadata.name(),
                                                                {.uid = metadata.uid(), .grace_period = 0});
  if (!done && done.error().is_not_found()) done = {};
  co_await self->settle(name_of(*mirror), std::move(done));
}

MirrorPods::MirrorPods(Cluster& cluster, const ApiSource& source, BackoffLimits limits, std::function<void()> again)
    : impl_(std::make_shared<Impl>(cluster, source, limits, std::move(again))) {}

MirrorPods::~MirrorPods() { stop(); }

void MirrorPods::keep(const std::vector<PodPtr>& pods,
                      const std::function<bool(const std::string& full_name)>& is_taken) {
  const auto node = impl_->cluster.node_object();
  if (impl_->stopped || !node || !impl_->source.is_synced()) return;
  auto& loop = impl_->cluster.loop();
  std::set<std::string> wanted;
  for (const auto& pod : pods) {
    const std::string name = name_of(*pod);
    wanted.insert(name);
    const auto mirror = impl_->source.mirror(pod->metadata().namespace_(), pod->metadata().name());
    if (mirror && is_mirror_of(*mirror, *pod) && !mirror->metadata().has_deletion_timestamp()) {
      impl_->is_good(name);
      continue;
    }
    if (mirror && is_held(*mirror)) continue;
    if (!impl_->busy.insert(name).second) continue;
    if (mirror) {
      loop.spawn(Impl::remove(impl_, mirror));
    } else {
      loop.spawn(Impl::create(impl_, make_mirror(*pod, *node)));
    }
  }
  std::set<std::string> shown;
  for (const auto& mirror : impl_->source.mirrors()) {
    const std::string name = name_of(*mirror);
    shown.insert(name);
    if (is_held(*mirror)) continue;
    const bool is_deleted = mirror->metadata().has_deletion_timestamp();
    if (wanted.contains(name) || (is_taken(name) && !is_deleted) || !impl_->busy.insert(name).second) continue;
    loop.spawn(Impl::remove(impl_, mirror));
  }
  const auto tried = impl_->tried;
  for (const auto& name : tried) {
    if (!wanted.contains(name) && !shown.contains(name)) impl_->is_good(name);
  }
}

void MirrorPods::stop() { impl_->stopped = true; }

bool is_mirror_of(const core::Pod& mirror, const core::Pod& pod) {
  return text_at(mirror.metadata().annotations(), kConfigMirrorAnnotation) ==
         text_at(pod.metadata().annotations(), kConfigHashAnnotation);
}

}  // namespace gantry::agent
