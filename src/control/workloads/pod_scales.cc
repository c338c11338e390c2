// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/pod_scales.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "base/text.h"
#include "control/controllers/dependency_graph.h"
#include "kubernetes/apps/v1/deployment.pb.h"
#include "kubernetes/apps/v1/replica_set.pb.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/replication_controller.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;
namespace autoscaling = k8s::io::api::autoscaling::v1;
namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kNameCharacters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:";
constexpr char kVersionCharacters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-./";

bool is_kind(const OwnerReference& owner, std::string_view group, std::string_view kind) {
  return owner.kind() == kind && group_of(owner.api_version()) == group;
}

template <typename M>
std::optional<PodScales::Scale> scale_of(const std::shared_ptr<const M>& object, const OwnerReference& owner) {
  if (object == nullptr || object->metadata().uid() != owner.uid()) return std::nullopt;
  return PodScales::Scale{owner.uid(), object->spec().replicas()};
}

// Of an APIResourceList: the resource of the kind, and whether it has a scale.
std::pair<std::string, bool> resource_of(const api::Value& list, const std::string& kind) {
  std::string plural;
  std::set<std::string> names;
  for (const api::Value& each : list.list_at("resources")) {
    const std::string name = each.text_at("name");
    names.insert(name);
    if (each.text_at("kind") == kind && !name.contains('/')) plural = name;
  }
  return {plural, names.contains(plural + "/scale")};
}

}  // namespace

PodScales::PodScales(const ControllerParts& parts, std::function<void(const std::string& ns)> changed)
    : client_(parts.client), informers_(parts.informers) {
  follow<core::ReplicationController>(changed);
  follow<apps::ReplicaSet>(changed);
  follow<apps::Deployment>(changed);
  follow<apps::StatefulSet>(changed);
}

template <typename M>
void PodScales::follow(const std::function<void(const std::string& ns)>& changed) {
  informers_.of<M>().on_change([changed](const api::Informer::Change& change) {
    const auto* before = static_cast<const M*>(change.before.get());
    const auto* now = static_cast<const M*>(change.now.get());
    if (before != nullptr && now != nullptr && before->spec().replicas() == now->spec().replicas()) return;
    changed(static_cast<const M&>(change.object()).metadata().namespace_());
  });
}

std::optional<PodScales::Scale> PodScales::known(const OwnerReference& owner, const std::string& ns) const {
  if (is_kind(owner, "", "ReplicationController")) {
    return scale_of(informers_.of<core::ReplicationController>().find(ns, owner.name()), owner);
  }
  if (is_kind(owner, "apps", "StatefulSet")) {
    return scale_of(informers_.of<apps::StatefulSet>().find(ns, owner.name()), owner);
  }
  if (!is_kind(owner, "apps", "ReplicaSet")) return std::nullopt;
  const auto set = informers_.of<apps::ReplicaSet>().find(ns, owner.name());
  if (set == nullptr || set->metadata().uid() != owner.uid()) return std::nullopt;
  const OwnerReference* above = controller_of(set->metadata());
  if (above == nullptr || above->kind() != "Deployment") return scale_of(set, owner);
  if (group_of(above->api_version()) != "apps") return std::nullopt;
  return scale_of(informers_.of<apps::Deployment>().find(ns, above->name()), *above);
}

Task<Result<std::optional<PodScales::Scale>>> PodScales::ask(OwnerReference owner, std::string ns) {
  // Any text that is not empty may stand in a reference.
  for (const std::string* part : {&owner.api_version(), &owner.name()}) {
    const bool is_plain = part->find_first_not_of(part == &owner.name() ? kNameCharacters : kVersionCharacters) ==
                          std::string::npos;
    if (!is_plain || part->contains("..")) co_return not_found(cat("no object can be called ", quoted(*part)));
  }
  const std::string root = cat(group_of(owner.api_version()).empty() ? "/api/" : "/apis/", owner.api_version());
  const api::Answer<api::Value> resources = co_await client_.document("GET", root);
  if (!resources && !resources.error().is_not_found()) co_return std::unexpected(resources.error().as_error());
  const auto [plural, has_scale] =
      resources ? resource_of(*resources, owner.kind()) : std::pair<std::string, bool>();
  if (plural.empty()) {
    co_return not_found(cat("no matches for kind ", quoted(owner.kind()), " in version ", quoted(owner.api_version())));
  }
  if (!has_scale) {
    const std::string_view group = group_of(owner.api_version());
    co_return not_found(
        cat(plural, group.empty() ? "" : ".", group, " does not implement the scale subresource"));
  }
  const api::Answer<api::Value> answer =
      co_await client_.document("GET", cat(root, "/namespaces/", ns, "/", plural, "/", owner.name(), "/scale"));
  if (!answer && answer.error().is_not_found()) co_return std::optional<Scale>();
  if (!answer) co_return std::unexpected(answer.error().as_error());
  autoscaling::Scale scale;
  if (api::Answer<void> read = api::Client::decode_item(*answer, &scale); !read) {
    co_return std::unexpected(read.error().as_error());
  }
  if (scale.metadata().uid() != owner.uid()) co_return std::optional<Scale>();
  co_return std::optional<Scale>(Scale{owner.uid(), scale.spec().replicas()});
}

Task<Result<PodScales::Total>> PodScales::total(PodList pods) {
  Total out;
  std::map<std::string, int> scales;
  std::set<std::string> asked;
  for (const auto& pod : pods) {
    const OwnerReference* owner = controller_of(pod->metadata());
    if (owner == nullptr) {
      out.has_unmanaged = true;
      continue;
    }
    if (!asked.insert(owner->uid()).second) continue;
    const std::string ns = pod->metadata().namespace_();
    std::optional<Scale> scale = known(*owner, ns);
    if (!scale) {
      Result<std::optional<Scale>> answer = co_await ask(*owner, ns);
      if (!answer) co_return std::unexpected(std::move(answer.error()));
      scale = std::move(*answer);
    }
    if (!scale) co_return not_found(cat("found no controllers for pod ", quoted(pod->metadata().name(), 253)));
    scales[scale->uid] = scale->replicas;
  }
  std::int64_t sum = 0;
  for (const auto& [uid, replicas] : scales) sum += replicas;
  out.replicas = static_cast<int>(std::min<std::int64_t>(sum, std::numeric_limits<std::int32_t>::max()));
  co_return out;
}

}  // namespace gantry::control::workloads
