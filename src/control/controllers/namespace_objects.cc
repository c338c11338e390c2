// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/namespace_objects.h"

#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kAccount[] = "default";
constexpr char kRootCa[] = "kube-root-ca.crt";
constexpr char kRootCaKey[] = "ca.crt";
constexpr char kDescription[] = "kubernetes.io/description";

// Namespaces as they come, and objects of that name when they go or change.
template <typename M>
void watch_name(api::Informers& informers, const char* name, api::WorkQueue& queue) {
  informers.of<core::Namespace>().on_change([&queue](const api::Informer::Change& change) {
    if (change.now != nullptr) queue.add(static_cast<const core::Namespace&>(*change.now).metadata().name());
  });
  informers.of<M>().on_change([&queue, name](const api::Informer::Change& change) {
    const auto& metadata = static_cast<const M&>(change.object()).metadata();
    if (metadata.name() == name && change.before != nullptr) queue.add(metadata.namespace_());
  });
}

bool is_open(api::Informers& informers, const std::string& ns) {
  const std::shared_ptr<const core::Namespace> object = informers.of<core::Namespace>().find("", ns);
  return object != nullptr && !object->metadata().has_deletion_timestamp();
}

// Somebody made it meanwhile, or the namespace is on its way out: both are well.
template <typename M>
Status settled(const api::Answer<M>& answer) {
  if (answer || answer.error().is_already_exists() || answer.error().is_not_found()) return {};
  if (answer.error().is_end_of_namespace()) return {};
  return std::unexpected(answer.error().as_error());
}

}  // namespace

ServiceAccountController::ServiceAccountController(ControllerParts parts)
    : parts_(std::move(parts)),
      queue_(parts_.queues(), "serviceaccount", [this](std::string ns) { return work(ns); }, 4) {
  watch_name<core::ServiceAccount>(parts_.informers, kAccount, queue_);
}

Task<Status> ServiceAccountController::work(std::string ns) {
  if (!is_open(parts_.informers, ns)) co_return Status();
  if (parts_.informers.of<core::ServiceAccount>().find(ns, kAccount) != nullptr) co_return Status();
  core::ServiceAccount account;
  account.mutable_metadata()->set_namespace_(ns);
  account.mutable_metadata()->set_name(kAccount);
  co_return settled(co_await parts_.client.create(account));
}

RootCaController::RootCaController(ControllerParts parts, std::string certificate)
    : parts_(std::move(parts)),
      certificate_(std::move(certificate)),
      queue_(parts_.queues(), "root-ca", [this](std::string ns) { return work(ns); }, 4) {
  watch_name<core::ConfigMap>(parts_.informers, kRootCa, queue_);
}

void RootCaController::publish(std::string certificate) {
  certificate_ = std::move(certificate);
  for (const auto& each : parts_.informers.of<core::Namespace>().objects()) queue_.add(each->metadata().name());
}

Task<Status> RootCaController::work(std::string ns) {
  if (!is_open(parts_.informers, ns)) co_return Status();
  core::ConfigMap map;
  const std::shared_ptr<const core::ConfigMap> present = parts_.informers.of<core::ConfigMap>().find(ns, kRootCa);
  if (present != nullptr) {
    const auto& data = present->data();
    const auto found = data.find(kRootCaKey);
    if (data.size() == 1 && found != data.end() && found->second == certificate_) co_return Status();
    map = *present;
  }
  map.mutable_metadata()->set_namespace_(ns);
  map.mutable_metadata()->set_name(kRootCa);
  (*map.mutable_metadata()->mutable_annotations())[kDescription] =
      "The certificates by which pods know the API server when they reach it by its Service.";
  map.mutable_data()->clear();
  (*map.mutable_data())[kRootCaKey] = certificate_;
  if (present == nullptr) co_return settled(co_await parts_.client.create(map));
  co_return settled(co_await parts_.client.update(map));
}

}  // namespace gantry::control
