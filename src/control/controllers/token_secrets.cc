// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/token_secrets.h"

#include <utility>

#include "api/json.h"
#include "base/text.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;
using api::Value;

namespace {

constexpr char kType[] = "kubernetes.io/service-account-token";
constexpr char kAccountName[] = "kubernetes.io/service-account.name";
constexpr char kAccountUid[] = "kubernetes.io/service-account.uid";
constexpr char kCa[] = "ca.crt", kNamespace[] = "namespace", kToken[] = "token";
constexpr char kByAccount[] = "account";  // an index of secrets
constexpr std::int64_t kLongest = std::int64_t{1} << 32;  // seconds: the longest that may be asked for

std::string annotation_of(const core::Secret& secret, const char* key) {
  const auto found = secret.metadata().annotations().find(key);
  return found == secret.metadata().annotations().end() ? std::string() : found->second;
}

api::Informer::Options secret_options(const api::Client& client) {
  return {.target = client.target<core::Secret>(),
          .query = {.ns = {}, .label_selector = {}, .field_selector = cat("type=", kType)},
          .make = [] { return std::make_unique<core::Secret>(); }};
}

}  // namespace

TokenSecrets::TokenSecrets(ControllerParts parts, std::string certificate)
    : parts_(std::move(parts)),
      certificate_(std::move(certificate)),
      secrets_(parts_.client, secret_options(parts_.client)),
      queue_(parts_.queues(), "serviceaccount-token", [this](std::string key) { return work(key); }) {
  secrets_.add_index(kByAccount, [](const api::Message& message) -> std::vector<std::string> {
    const auto& secret = static_cast<const core::Secret&>(message);
    return {api::object_key(secret.metadata().namespace_(), annotation_of(secret, kAccountName))};
  });
  secrets_.on_change([this](const api::Informer::Change& change) {
    if (change.now != nullptr) queue_.add(key_of(static_cast<const core::Secret&>(*change.now)));
  });
  parts_.informers.of<core::ServiceAccount>().on_change([this](const api::Informer::Change& change) {
    if (change.before != nullptr && change.now != nullptr) return;
    const auto& metadata = static_cast<const core::ServiceAccount&>(change.object()).metadata();
    const std::string account = api::object_key(metadata.namespace_(), metadata.name());
    for (const auto& secret : secrets_.by(kByAccount, account)) queue_.add(key_of(*secret));
  });
}

void TokenSecrets::start() {
  secrets_.start();
  parts_.here.spawn(start_when_known(secrets_, queue_));
}

void TokenSecrets::publish(std::string certificate) {
  certificate_ = std::move(certificate);
  for (const auto& secret : secrets_.objects()) queue_.add(key_of(*secret));
}

Task<Status> TokenSecrets::work(std::string key) {
  const auto secret = secrets_.find_key(key);
  if (secret == nullptr || secret->metadata().has_deletion_timestamp()) co_return Status();
  const std::string ns = secret->metadata().namespace_();
  const std::string name = annotation_of(*secret, kAccountName);
  const std::string wanted_uid = annotation_of(*secret, kAccountUid);
  const auto is_its = [&wanted_uid](const core::ServiceAccount& account) {
    return wanted_uid.empty() || wanted_uid == account.metadata().uid();
  };
  auto account = parts_.informers.of<core::ServiceAccount>().find(ns, name);
  if (account == nullptr || !is_its(*account)) {
    // Secrets and accounts come by two watches.
    const api::Answer<core::ServiceAccount> live = co_await parts_.client.get<core::ServiceAccount>(ns, name);
    if (!live && !live.error().is_not_found()) co_return std::unexpected(live.error().as_error());
    if (!live || !is_its(*live)) {
      co_return done_or_late(co_await parts_.client.remove<core::Secret>(
          ns, secret->metadata().name(),
          {.uid = secret->metadata().uid(), .resource_version = secret->metadata().resource_version()}));
    }
    account = std::make_shared<const core::ServiceAccount>(*live);
  }
  co_return co_await fill(*secret, account->metadata().uid());
}

Task<Status> TokenSecrets::fill(core::Secret secret, std::string account_uid) {
  auto& data = *secret.mutable_data();
  const bool has_token = data.contains(kToken) && !data.at(kToken).empty();
  const bool has_namespace = data.contains(kNamespace) && !data.at(kNamespace).empty();
  const bool has_ca = certificate_.empty() || (data.contains(kCa) && data.at(kCa) == certificate_);
  if (has_token && has_namespace && has_ca && annotation_of(secret, kAccountUid) == account_uid) co_return Status();
  if (!has_token) {
    Result<std::string> token = co_await token_for(secret, annotation_of(secret, kAccountName));
    if (!token) co_return std::unexpected(std::move(token.error()));
    if (token->empty()) co_return Status();
    data[kToken] = std::move(*token);
  }
  if (!has_namespace) data[kNamespace] = secret.metadata().namespace_();
  if (!certificate_.empty()) data[kCa] = certificate_;
  (*secret.mutable_metadata()->mutable_annotations())[kAccountUid] = account_uid;
  co_return done_or_late(co_await parts_.client.update(secret));
}

// Empty: the account or the secret is gone, and what becomes of that is told.
Task<Result<std::string>> TokenSecrets::token_for(const core::Secret& secret, std::string account) {
  const std::string path =
      parts_.client.target<core::ServiceAccount>().path(secret.metadata().namespace_(), account, "token");
  Value bound = Value::object({{"apiVersion", "v1"},
                               {"kind", "Secret"},
                               {"name", secret.metadata().name()},
                               {"uid", secret.metadata().uid()}});
  Value request = Value::object(
      {{"apiVersion", "authentication.k8s.io/v1"},
       {"kind", "TokenRequest"},
       {"spec", Value::object({{"boundObjectRef", std::move(bound)}, {"expirationSeconds", kLongest}})}});
  const api::Answer<Value> answer =
      co_await parts_.client.document("POST", path, "application/json", api::write_json(request));
  if (!answer && (answer.error().is_not_found() || answer.error().is_conflict())) co_return std::string();
  if (!answer) co_return std::unexpected(answer.error().as_error());
  const Value* status = answer->find("status");
  std::string token = status == nullptr ? std::string() : status->text_at("token");
  if (token.empty()) co_return fail(Code::kInternal, "the API server has answered without a token");
  co_return token;
}

}  // namespace gantry::control
