// SPDX-License-Identifier: Apache-2.0
#include "agent/api_source.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "agent/cluster.h"
#include "agent/names.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

bool has_same_entries(const google::protobuf::Map<std::string, std::string>& a,
                      const google::protobuf::Map<std::string, std::string>& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a) {
    auto other = b.find(key);
    if (other == b.end() || other->second != value) return false;
  }
  return true;
}

std::string gate_status(const core::Pod& pod, const std::string& type) {
  for (const auto& condition : pod.status().conditions()) {
    if (condition.type() == type) return condition.status();
  }
  return "";
}

}  // namespace

struct ApiSource::Impl : std::enable_shared_from_this<Impl> {
  Impl(Cluster& of, std::function<void()> on_change) : cluster(of), changed(std::move(on_change)) {}

  void tell();
  // Of an API server without pods for this node nothing else is heard.
  static Task<> tell_synced(std::weak_ptr<Impl> weak, api::InformerOf<core::Pod>& informer) {
    co_await informer.wait_synced();
    if (auto impl = weak.lock()) impl->tell();
  }

  Cluster& cluster;
  std::function<void()> changed;
  bool is_told = false;  // a post is under way
  bool stopped = false;
};

void ApiSource::Impl::tell() {
  if (stopped || std::exchange(is_told, true)) return;
  cluster.loop().post([weak = weak_from_this()] {
    auto impl = weak.lock();
    if (!impl) return;
    impl->is_told = false;
    if (!impl->stopped) impl->changed();
  });
}

// The informer keeps its handlers for good, so this one holds nothing.
ApiSource::ApiSource(Cluster& cluster, std::function<void()> changed)
    : impl_(std::make_shared<Impl>(cluster, std::move(changed))) {
  cluster.pods().on_change([weak = std::weak_ptr<Impl>(impl_)](const api::Informer::Change&) {
    if (auto impl = weak.lock()) impl->tell();
  });
  cluster.loop().spawn(Impl::tell_synced(impl_, cluster.pods()));
}

ApiSource::~ApiSource() { stop(); }

void ApiSource::stop() { impl_->stopped = true; }

bool ApiSource::is_synced() const { return impl_->cluster.pods().is_synced(); }

std::vector<ApiSource::PodPtr> ApiSource::pods() const {
  std::vector<PodPtr> pods;
  for (auto& pod : impl_->cluster.pods().objects()) {
    if (!is_mirror(*pod)) pods.push_back(std::move(pod));
  }
  return pods;
}

ApiSource::PodPtr ApiSource::mirror(const std::string& namespace_, const std::string& name) const {
  auto pod = impl_->cluster.pods().find(namespace_, name);
  return pod && is_mirror(*pod) ? pod : nullptr;
}

std::vector<ApiSource::PodPtr> ApiSource::mirrors() const {
  std::vector<PodPtr> pods;
  for (auto& pod : impl_->cluster.pods().objects()) {
    if (is_mirror(*pod)) pods.push_back(std::move(pod));
  }
  return pods;
}

ApiSource::PodPtr ApiSource::find(const std::string& namespace_, const std::string& name,
                                  const std::string& uid) const {
  auto pod = impl_->cluster.pods().find(namespace_, name);
  return pod && pod->metadata().uid() == uid ? pod : nullptr;
}

bool is_mirror(const core::Pod& pod) { return pod.metadata().annotations().contains(kConfigMirrorAnnotation); }

bool has_running(const core::PodStatus& status) {
  const auto runs = [](const core::ContainerStatus& container) { return container.state().has_running(); };
  return std::ranges::any_of(status.container_statuses(), runs) ||
         std::ranges::any_of(status.init_container_statuses(), runs) ||
         std::ranges::any_of(status.ephemeral_container_statuses(), runs);
}

bool has_ended(const core::PodStatus& status) { return status.phase() == "Succeeded" || status.phase() == "Failed"; }

bool matters(const core::Pod& before, const core::Pod& now) {
  const auto& old_metadata = before.metadata();
  const auto& new_metadata = now.metadata();
  if (old_metadata.generation() != new_metadata.generation() ||
      !has_same_entries(old_metadata.labels(), new_metadata.labels()) ||
      !has_same_entries(old_metadata.annotations(), new_metadata.annotations())) {
    return true;
  }
  if (now.status().phase() != before.status().phase() && has_ended(now.status())) return true;
  if (has_ended(now.status()) && has_running(before.status()) && !has_running(now.status())) return true;
  for (const auto& gate : now.spec().readiness_gates()) {
    if (gate_status(before, gate.condition_type()) != gate_status(now, gate.condition_type())) return true;
  }
  // An API server without generations of pods.
  return !google::protobuf::util::MessageDifferencer::Equals(before.spec(), now.spec());
}

}  // namespace gantry::agent
