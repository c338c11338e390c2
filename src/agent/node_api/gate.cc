// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/gate.h"

#include <openssl/sha.h>

#include <array>

#include "base/log.h"
#include "base/text.h"
#include "http/text.h"

namespace gantry::agent {
namespace {

constexpr std::string_view kBearer = "bearer ";

std::string hash_of(std::string_view token) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), hash.data());
  return {hash.begin(), hash.end()};
}

http::Response unauthorized() { return http::text_response(401, "Unauthorized"); }

std::shared_ptr<const ApiUser> anonymous() {
  static const auto user = std::make_shared<const ApiUser>(
      ApiUser{.name = "system:anonymous", .uid = {}, .groups = {"system:unauthenticated"}, .extra = {}});
  return user;
}

http::Response too_many() {
  http::Response response = http::text_response(429, "too many requests wait for an answer of the API server");
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

// One more question under way, as long as it lives.
class Asking {
 public:
  explicit Asking(std::size_t& count) : count_(count) { ++count_; }
  ~Asking() { --count_; }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;

 private:
  std::size_t& count_;
};

bool is_beneath(std::string_view path, std::string_view root) {
  return path == root || (path.starts_with(root) && path[root.size()] == '/');
}

}  // namespace

// ---- who asks

Task<Gate::Named> Gate::name(const http::Request& request) {
  if (const auto& shown = request.peer.certificate; shown && !shown->common_name.empty()) {
    auto user = std::make_shared<ApiUser>();
    user->name = shown->common_name;
    user->groups = shown->organizations;
    user->groups.emplace_back("system:authenticated");
    co_return user;
  }
  std::string_view header = http::trim_spaces(request.header("Authorization"));
  // A certificate that is no good is not nothing.
  if (rules_.takes_anonymous && header.empty() && request.peer.certificate_error.empty()) co_return anonymous();
  if (header.size() <= kBearer.size() || !http::equals_ignore_case(header.substr(0, kBearer.size()), kBearer))
    co_return nullptr;
  std::string_view token = http::trim_spaces(header.substr(kBearer.size()));
  if (token.empty() || token.size() > kMaxToken || !rules_.takes_tokens) co_return nullptr;
  co_return co_await name_by_token(std::string(token));
}

Task<Gate::Named> Gate::name_by_token(std::string token) {
  std::string hash = hash_of(token);
  if (const auto* known = known_tokens_.find(hash, now_())) co_return *known;
  if (no_tokens_.find(hash, now_()) != nullptr) co_return nullptr;
  if (asking_who_ >= kMaxAsking) co_return std::unexpected(too_many());
  Asking asking(asking_who_);
  auto reviewed = co_await tokens_->review(std::move(token));
  if (!reviewed) {
    log::warning("a client's token could not be checked", {{"error", reviewed.error()}});
    co_return std::unexpected(unauthorized());
  }
  if (!*reviewed) {
    no_tokens_.put(std::move(hash), true, now_() + rules_.tokens);
    co_return nullptr;
  }
  auto user = std::make_shared<const ApiUser>(std::move(**reviewed));
  known_tokens_.put(std::move(hash), user, now_() + rules_.tokens);
  co_return user;
}

// ---- what he may

Task<std::expected<bool, http::Response>> Gate::may(std::shared_ptr<const ApiUser> user, NodeAction action) {
  std::pair<ApiUser, NodeAction> question(*user, action);
  if (const bool* known = known_rights_.find(question, now_())) co_return *known;
  if (asking_rights_ >= kMaxAsking) co_return std::unexpected(too_many());
  Asking asking(asking_rights_);
  auto answer = co_await access_->may(*user, action);
  if (!answer) {
    log::warning("a client's rights could not be checked", {{"user", user->name}, {"error", answer.error()}});
    std::string why = cat("Authorization error (user=", user->name, ", verb=", action.verb,
                          ", resource=nodes, subresource=", action.subresource, ")");
    co_return std::unexpected(http::text_response(500, why));
  }
  known_rights_.put(std::move(question), *answer, now_() + (*answer ? rules_.authorized : rules_.unauthorized));
  co_return *answer;
}

Task<std::optional<http::Response>> Gate::refuse(const http::Request& request, std::vector<NodeAction> actions) {
  Named named = co_await name(request);
  if (!named) co_return std::move(named.error());
  std::shared_ptr<const ApiUser> user = std::move(*named);
  if (!user || actions.empty()) co_return unauthorized();
  if (!rules_.asks_for_rights) co_return std::nullopt;
  std::string tried;
  for (const NodeAction& action : actions) {
    auto allowed = co_await may(user, action);
    if (!allowed) co_return std::move(allowed.error());
    if (*allowed) co_return std::nullopt;
    tried += cat(tried.empty() ? "" : " ", action.subresource);
  }
  co_return http::text_response(403, cat("Forbidden (user=", user->name, ", verb=", actions.front().verb,
                                         ", resource=nodes, subresource(s)=[", tried, "])"));
}

std::vector<NodeAction> actions_of(std::string_view method, std::string_view path, bool changes) {
  std::string verb = changes || method == "POST"           ? "create"
                     : method == "GET" || method == "HEAD" ? "get"
                     : method == "PUT"                     ? "update"
                     : method == "PATCH"                   ? "patch"
                     : method == "DELETE"                  ? "delete"
                                                           : "";
  if (verb.empty()) return {};
  // These stand alone, those below beside proxy.
  for (std::string_view name : {"stats", "metrics", "logs", "checkpoint"}) {
    if (is_beneath(path, cat("/", name))) return {{verb, name == "logs" ? "log" : std::string(name)}};
  }
  struct Finer {
    std::string_view path, subresource;
  };
  static constexpr Finer kFiner[] = {
      {"/healthz", "healthz"}, {"/configz", "configz"}, {"/pods", "pods"}, {"/runningpods", "pods"}};
  for (const auto& finer : kFiner) {
    if (is_beneath(path, finer.path)) return {{verb, std::string(finer.subresource)}, {verb, "proxy"}};
  }
  return {{verb, "proxy"}};
}

}  // namespace gantry::agent
