// SPDX-License-Identifier: Apache-2.0
#include "agent/token_manager.h"

#include <algorithm>
#include <random>
#include <tuple>
#include <utility>

#include "api/codec.h"
#include "api/json.h"
#include "base/log.h"
#include "base/text.h"
#include "http/base64url.h"
#include "kubernetes/authentication/v1/authentication.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace auth = k8s::io::api::authentication::v1;

constexpr std::int64_t kLongestUse = std::int64_t{24} * 3600;
constexpr std::int64_t kLongestJitter = 10;
constexpr std::int64_t kDefaultLife = 3600;
constexpr std::int64_t kPause = 30;  // before asking again for one that is still good

struct Key {
  std::string uid, namespace_, account, audience;
  std::int64_t seconds = 0;

  friend auto operator<=>(const Key&, const Key&) = default;
};

struct Known {
  std::string text;
  std::int64_t expires = 0, refresh_at = 0;
};

Key key_of(const core::Pod& pod, const core::ServiceAccountTokenProjection& source) {
  return {.uid = pod.metadata().uid(),
          .namespace_ = pod.metadata().namespace_(),
          .account = pod.spec().service_account_name(),
          .audience = source.audience(),
          .seconds = source.has_expiration_seconds() ? source.expiration_seconds() : kDefaultLife};
}

std::string body_of(const core::Pod& pod, const Key& key) {
  auth::TokenRequest request;
  auto& spec = *request.mutable_spec();
  if (!key.audience.empty()) spec.add_audiences(key.audience);
  spec.set_expiration_seconds(key.seconds);
  auto& bound = *spec.mutable_bound_object_ref();
  bound.set_api_version("v1");
  bound.set_kind("Pod");
  bound.set_name(pod.metadata().name());
  bound.set_uid(key.uid);
  return api::write_json(api::encode(request));
}

}  // namespace

std::optional<TokenTimes> times_of_token(std::string_view token) {
  const auto first = token.find('.');
  const auto second = token.find('.', first == token.npos ? first : first + 1);
  if (token.size() > kMaxToken || second == token.npos) return std::nullopt;
  auto text = http::from_base64url(token.substr(first + 1, second - first - 1));
  if (!text) return std::nullopt;
  const auto claims = api::parse_json(*text, api::ParseLimits{.bytes = kMaxToken, .depth = 16});
  if (!claims) return std::nullopt;
  const auto number = [](const api::Value* parent, std::string_view name) -> std::optional<std::int64_t> {
    const auto* member = parent == nullptr ? nullptr : parent->find(name);
    return member == nullptr ? std::nullopt : member->as_int64();
  };
  const auto issued = number(&*claims, "iat");
  auto expires = number(&*claims, "exp");
  if (!issued || !expires || *issued < 0 || *expires <= *issued) return std::nullopt;
  if (auto warn = number(claims->find("kubernetes.io"), "warnafter"); warn && *warn > *issued) {
    expires = std::min(*expires, *warn);
  }
  return TokenTimes{*issued, *expires};
}

struct TokenManager::Impl {
  Impl(api::Client& of, std::function<std::int64_t()> clock) : client(of), now(std::move(clock)) {}

  // Not all pods of a node ask in the same second.
  void keep(const Key& key, std::string text, TokenTimes times) {
    const std::int64_t jitter = std::uniform_int_distribution<std::int64_t>(0, kLongestJitter)(random);
    const std::int64_t life = times.expires - times.issued;
    const std::int64_t use = std::min(life - life / 5, kLongestUse);
    tokens[key] = {std::move(text), times.expires, times.issued + std::max<std::int64_t>(use - jitter, 1)};
  }
  Task<Result<ServiceAccountToken>> ask(std::shared_ptr<const core::Pod> pod, Key key);

  api::Client& client;
  const std::function<std::int64_t()> now;
  std::map<Key, Known> tokens;
  std::minstd_rand random{std::random_device{}()};
};

Task<Result<ServiceAccountToken>> TokenManager::Impl::ask(std::shared_ptr<const core::Pod> pod, Key key) {
  std::string path =
      cat("/api/v1/namespaces/", key.namespace_, "/serviceaccounts/", api::escape_query(key.account), "/token");
  auto answer = co_await client.document("POST", std::move(path), "application/json", body_of(*pod, key));
  if (!answer) co_return fail(answer.error().as_error().code(), cat("failed to fetch token: ", answer.error().message));
  auth::TokenRequest made;
  if (auto read = api::Client::decode_item(*answer, &made); !read) {
    co_return fail(Code::kInternal, cat("failed to fetch token: ", read.error().message));
  }
  const std::string& text = made.status().token();
  if (text.empty() || text.size() > kMaxToken) co_return fail(Code::kInternal, "failed to fetch token: there is none");
  const std::int64_t life = made.spec().expiration_seconds() > 0 ? made.spec().expiration_seconds() : key.seconds;
  const std::int64_t expires = made.status().expiration_timestamp().seconds();
  keep(key, text, {expires - life, expires});
  // Nobody else's clock makes this node ask all the time.
  Known& known = tokens[key];
  known.refresh_at = std::max(known.refresh_at, now() + kPause);
  co_return ServiceAccountToken{text, known.refresh_at};
}

TokenManager::TokenManager(api::Client& client, std::function<std::int64_t()> now)
    : impl_(std::make_shared<Impl>(client, std::move(now))) {}
TokenManager::~TokenManager() = default;

void TokenManager::adopt(const core::Pod& pod, const core::ServiceAccountTokenProjection& source, std::string token) {
  const Key key = key_of(pod, source);
  const auto times = times_of_token(token);
  auto known = impl_->tokens.find(key);
  if (!times || (known != impl_->tokens.end() && known->second.expires >= times->expires)) return;
  impl_->keep(key, std::move(token), *times);
}

Task<Result<ServiceAccountToken>> TokenManager::get(std::shared_ptr<const core::Pod> pod,
                                                    const core::ServiceAccountTokenProjection& source) {
  const std::shared_ptr<Impl> impl = impl_;
  const Key key = key_of(*pod, source);
  if (auto known = impl->tokens.find(key); known != impl->tokens.end() && impl->now() < known->second.refresh_at) {
    co_return ServiceAccountToken{known->second.text, known->second.refresh_at};
  }
  auto asked = co_await impl->ask(pod, key);
  if (asked) co_return asked;
  auto known = impl->tokens.find(key);
  if (known == impl->tokens.end()) co_return asked;
  if (impl->now() >= known->second.expires) {
    impl->tokens.erase(known);
    co_return asked;
  }
  log::warning("renewing a service account's token, retrying",
               {{"pod", cat(key.namespace_, "/", pod->metadata().name())}, {"error", asked.error()}});
  co_return ServiceAccountToken{known->second.text, impl->now() + kPause};
}

void TokenManager::forget(const std::string& pod_uid) {
  std::erase_if(impl_->tokens, [&](const auto& pair) { return pair.first.uid == pod_uid; });
}

}  // namespace gantry::agent
