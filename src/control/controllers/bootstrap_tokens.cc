// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/bootstrap_tokens.h"

#include <algorithm>

#include "base/text.h"
#include "control/authentication/bootstrap_token.h"
#include "http/detached_signature.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kPublic[] = "kube-public";
constexpr char kInfo[] = "cluster-info";
constexpr char kConfig[] = "kubeconfig";
constexpr std::string_view kSignature = "jws-kubeconfig-";

api::Informer::Options token_options(const api::Client& client) {
  return {.target = client.target<core::Secret>(),
          .query = {.ns = "kube-system", .label_selector = {}, .field_selector = cat("type=", kBootstrapSecretType)},
          .make = [] { return std::make_unique<core::Secret>(); }};
}

}  // namespace

BootstrapSigner::BootstrapSigner(ControllerParts parts)
    : parts_(std::move(parts)),
      tokens_(parts_.client, token_options(parts_.client)),
      queue_(parts_.queues(), "bootstrapsigner", [this](const std::string&) { return work(); }) {
  parts_.informers.of<core::ConfigMap>().on_change([this](const api::Informer::Change& change) {
    const auto& metadata = static_cast<const core::ConfigMap&>(change.object()).metadata();
    if (metadata.namespace_() == kPublic && metadata.name() == kInfo) queue_.add(kInfo);
  });
  tokens_.on_change([this](const api::Informer::Change&) { queue_.add(kInfo); });
}

void BootstrapSigner::start() {
  tokens_.start();
  parts_.here.spawn(start_when_known(tokens_, queue_));
}

Task<Status> BootstrapSigner::work() {
  const auto present = parts_.informers.of<core::ConfigMap>().find(kPublic, kInfo);
  if (present == nullptr) co_return Status();
  const auto config = present->data().find(kConfig);
  if (config == present->data().end()) co_return Status();
  std::map<std::string, std::string> data;
  for (const auto& [key, value] : present->data()) {
    if (!key.starts_with(kSignature)) data.emplace(key, value);
  }
  for (const auto& secret : tokens_.objects()) {
    const std::optional<std::string> token = token_for_signing(*secret, parts_.now());
    if (!token) continue;
    const size_t dot = token->find('.');
    const std::string id = token->substr(0, dot);
    data[cat(kSignature, id)] = http::detached_signature(config->second, id, token->substr(dot + 1));
  }
  if (data == std::map<std::string, std::string>(present->data().begin(), present->data().end())) co_return Status();
  core::ConfigMap updated = *present;
  updated.mutable_data()->clear();
  updated.mutable_data()->insert(data.begin(), data.end());
  co_return done_or_late(co_await parts_.client.update(updated));
}

TokenCleaner::TokenCleaner(ControllerParts parts)
    : parts_(std::move(parts)),
      tokens_(parts_.client, token_options(parts_.client)),
      queue_(parts_.queues(), "tokencleaner", [this](std::string key) { return work(key); }) {
  tokens_.on_change([this](const api::Informer::Change& change) {
    if (change.now == nullptr) return;
    const auto& metadata = static_cast<const core::Secret&>(*change.now).metadata();
    queue_.add(api::object_key(metadata.namespace_(), metadata.name()));
  });
}

void TokenCleaner::start() {
  tokens_.start();
  parts_.here.spawn(start_when_known(tokens_, queue_));
}

Task<Status> TokenCleaner::work(std::string key) {
  const auto secret = tokens_.find_key(key);
  if (secret == nullptr) co_return Status();
  const std::optional<int64_t> end = token_end(*secret);
  if (!end) co_return Status();
  const int64_t left = *end - parts_.now().seconds;
  if (left > 0) {
    // The wall clock may be set meanwhile.
    queue_.add_after(key, std::chrono::seconds(std::min<int64_t>(left, 3600)));
    co_return Status();
  }
  const auto& metadata = secret->metadata();
  co_return done_or_late(co_await parts_.client.remove<core::Secret>(
      metadata.namespace_(), metadata.name(),
      {.uid = metadata.uid(), .resource_version = metadata.resource_version()}));
}

}  // namespace gantry::control
