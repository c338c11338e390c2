// SPDX-License-Identifier: Apache-2.0
#include "images/registry/access.h"

#include <algorithm>
#include <mutex>
#include <optional>

#include "images/registry/challenge.h"
#include "images/registry/token.h"
#include "images/text.h"

namespace gantry::images {
namespace {

constexpr std::size_t kMaxChallenges = 16;

}  // namespace

struct HostAccess::State {
  // Held while a token is fetched: who else wants one waits for it.
  std::mutex mutex;
  Right right;
};

HostAccess::HostAccess(RegistryHost host, const Reference& repository, const RegistryOptions& options)
    : host_(std::move(host)),
      path_(repository.path),
      url_(cat(host_.origin.url(), host_.path, "/", repository.path)),
      query_(host_.is_mirror ? cat("?ns=", url_encoded(repository.domain)) : ""),
      folder_(options.folder),
      proxies_(ProxyRules::from_environment()),
      credentials_(host_.is_mirror ? Credentials() : options.credentials),
      state_(std::make_unique<State>()) {}
HostAccess::~HostAccess() = default;

Result<RegistryAccess> RegistryAccess::open(const Reference& repository, RegistryOptions options) {
  auto hosts = registry_hosts(options.folder, repository.domain);
  if (!hosts) return std::unexpected(std::move(hosts.error()));
  RegistryAccess out;
  for (RegistryHost& host : *hosts)
    out.hosts_.push_back(std::make_unique<HostAccess>(std::move(host), repository, options));
  out.options_ = std::move(options);
  return out;
}

bool RegistryAccess::was_refused() const {
  return std::ranges::any_of(hosts_, [](const auto& host) { return host->has_refused() && !host->host().is_mirror; });
}

Result<HttpRequest> HostAccess::request_for(const std::string& url) const {
  auto origin = origin_of(url);
  if (!origin) return std::unexpected(std::move(origin.error()));
  HttpRequest request;
  request.url = url;
  request.proxy = proxies_.proxy_for(*origin);
  request.connect_limit = host_.dial_timeout;
  if (*origin == host_.origin) {
    request.tls = host_.tls;
    request.headers = host_.headers;
    if (!host_.proxy.empty()) request.proxy = host_.proxy;
    return request;
  }
  auto tls = tls_settings_of(folder_, *origin);
  if (!tls) return std::unexpected(std::move(tls.error()));
  // Where nothing is said of it, who vouches for the host may vouch for what belongs to it. Our certificate is not
  // shown: it was not we who chose to come here.
  const TlsSettings& said = *tls ? **tls : host_.tls;
  request.tls = {said.authorities, "", "", said.verify};
  return request;
}

HostAccess::Right HostAccess::right() const {
  std::lock_guard guard(state_->mutex);
  return state_->right;
}

Status HostAccess::obtain(HttpConnection& http, const std::vector<std::string>& challenges, int used,
                          std::optional<std::chrono::seconds>& retry_after) {
  std::lock_guard guard(state_->mutex);
  if (state_->right.number != used) return {};
  auto authorization = answer_to(http, challenges, retry_after);
  if (authorization && *authorization == state_->right.authorization)
    authorization = fail(Code::kUnauthenticated, "it refuses the credentials that it was shown");
  if (!authorization && authorization.error().code() == Code::kUnauthenticated) has_refused_ = true;
  if (!authorization) return std::unexpected(std::move(authorization.error()));
  state_->right = {std::move(*authorization), used + 1};
  return {};
}

// A bearer's token before a password, when the registry takes both.
Result<std::string> HostAccess::answer_to(HttpConnection& http, const std::vector<std::string>& challenges,
                                          std::optional<std::chrono::seconds>& retry_after) {
  std::optional<Challenge> bearer;
  bool takes_basic = false;
  for (std::size_t i = 0; i < std::min(challenges.size(), kMaxChallenges); ++i) {
    auto parsed = parse_challenges(challenges[i]);
    if (!parsed) return std::unexpected(std::move(parsed.error()));
    for (Challenge& challenge : *parsed) {
      takes_basic |= challenge.scheme == "basic";
      if (challenge.scheme == "bearer" && !bearer) bearer = std::move(challenge);
    }
  }
  if (bearer && !credentials_.registry_token.empty()) return bearer_authorization(credentials_.registry_token);
  if (bearer) {
    std::string scope = bearer->parameter("scope");
    if (scope.empty()) scope = cat("repository:", path_, ":pull");
    auto token = fetch_token(http, bearer->parameter("realm"), bearer->parameter("service"), scope, retry_after);
    if (!token) return token;
    return bearer_authorization(*token);
  }
  if (!takes_basic)
    return fail(Code::kUnauthenticated, "it wants credentials, and of a kind other than \"Basic\" or \"Bearer\"");
  if (!credentials_.has_password())
    return fail(Code::kUnauthenticated, "it wants a name and password, and none were given for it");
  return basic_authorization(credentials_);
}

Result<std::string> HostAccess::fetch_token(HttpConnection& http, const std::string& realm, const std::string& service,
                                            const std::string& scope,
                                            std::optional<std::chrono::seconds>& retry_after) {
  auto origin = origin_of(realm);
  if (!origin) return fail_with(std::move(origin.error()), "its token server");
  const std::string who = cat("its token server ", origin->name());
  if (origin->scheme != "https" && host_.origin.scheme == "https")
    return invalid_argument(cat(who, ": ", in_quotes(realm), " is not https"));

  const std::string query = cat("service=", url_encoded(service), "&scope=", url_encoded(scope));
  auto request = request_for(realm);
  if (!request) return fail_with(std::move(request.error()), who);
  request->headers.emplace_back("Accept: application/json");
  if (!credentials_.identity_token.empty()) {
    request->form = cat("grant_type=refresh_token&client_id=gantry&", query,
                        "&refresh_token=", url_encoded(credentials_.identity_token));
  } else {
    request->url += cat(realm.find('?') == std::string::npos ? '?' : '&', query);
    if (credentials_.has_password())
      request->headers.push_back(cat("Authorization: ", basic_authorization(credentials_)));
  }
  std::string text;
  auto answer = http.perform(*request, [&](const HttpHead&, std::string_view bytes) -> Status {
    if (text.size() + bytes.size() > kMaxTokenAnswer)
      return invalid_argument(cat("more than the ", kMaxTokenAnswer, " bytes that are allowed"));
    text += bytes;
    return {};
  });
  if (!answer) return fail_with(std::move(answer.error()), who);
  const int status = answer->head.status;
  if (status == 401 || status == 403) {
    return fail(Code::kUnauthenticated,
                cat(who,
                    credentials_ == Credentials() ? " gives no token without credentials (answer "
                                                  : " refuses the credentials (answer ",
                    status, ")"));
  }
  if (status != 200) {
    retry_after = parse_retry_after(answer->head.retry_after, std::chrono::system_clock::now());
    bool may_pass = status == 408 || status == 429 || status >= 500;
    return fail(may_pass ? Code::kUnavailable : Code::kInvalidArgument,
                cat(who, " answered ", status, ", expected 200 and a token"));
  }
  auto token = token_in(text);
  if (!token) return fail_with(std::move(token.error()), who);
  return token;
}

}  // namespace gantry::images
