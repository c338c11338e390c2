// SPDX-License-Identifier: Apache-2.0
// What all connections of one pull share: the hosts that serve the repository, and for each of them what it wants to be
// shown.
//
// Rules: a registry's credentials go to the host that the reference names, and to the token server that this host
// itself names, over https unless the host is asked by plain HTTP; never to a mirror.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "images/reference.h"
#include "images/registry/credentials.h"
#include "images/registry/hosts.h"
#include "images/registry/http.h"
#include "images/registry/proxy.h"

namespace gantry::images {

class Keyring;

struct RegistryOptions {
  std::string folder;  // of registries (hosts.h); "" for none
  Credentials credentials;
  Keyring* keyring = nullptr;  // asked when there are none; outlives this
  std::chrono::milliseconds patience = std::chrono::seconds(60);
};

// One host. Any thread.
class HostAccess {
 public:
  HostAccess(RegistryHost host, const Reference& repository, const RegistryOptions& options);
  ~HostAccess();

  const RegistryHost& host() const { return host_; }
  // ".../v2/a/b" and what a mirror must be told of whose repository that is: "?ns=registry.example", or "".
  const std::string& repository_url() const { return url_; }
  const std::string& query() const { return query_; }

  // With TLS, proxy and limits as they are for this URL; the host's own headers only for the host.
  Result<HttpRequest> request_for(const std::string& url) const;

  // The value of Authorization for now, "" for none, and its number: the answer 401 is told with it.
  struct Right {
    std::string authorization;
    int number = 0;
  };
  Right right() const;
  // What the host's challenges ask for is got, unless somebody else has since `used`. kUnauthenticated when we have
  // nothing that it takes. A token server that fails may say when to ask again.
  Status obtain(HttpConnection& http, const std::vector<std::string>& challenges, int used,
                std::optional<std::chrono::seconds>& retry_after);

  // It will not have us. Registries hide in different ways what one may not see: 401, 403 or 404.
  bool has_refused() const { return has_refused_; }
  void note_answer(int status) {
    if (status == 401 || status == 403 || status == 404) has_refused_ = true;
  }

  // It did not answer: where there is another, that is asked in its place.
  bool is_given_up() const { return given_up_; }
  void give_up() { given_up_ = true; }

 private:
  Result<std::string> answer_to(HttpConnection& http, const std::vector<std::string>& challenges,
                                std::optional<std::chrono::seconds>& retry_after);
  Result<std::string> fetch_token(HttpConnection& http, const std::string& realm, const std::string& service,
                                  const std::string& scope, std::optional<std::chrono::seconds>& retry_after);

  RegistryHost host_;
  std::string path_;
  std::string url_;
  std::string query_;
  std::string folder_;
  ProxyRules proxies_;
  Credentials credentials_;
  std::atomic<bool> given_up_ = false;
  std::atomic<bool> has_refused_ = false;
  struct State;
  std::unique_ptr<State> state_;
};

class RegistryAccess {
 public:
  static Result<RegistryAccess> open(const Reference& repository, RegistryOptions options);

  const RegistryOptions& options() const { return options_; }
  // In the order in which they are to be asked.
  const std::vector<std::unique_ptr<HostAccess>>& hosts() const { return hosts_; }
  // One that would have been shown credentials has refused us: with others it may not.
  bool was_refused() const;

 private:
  RegistryAccess() = default;
  RegistryOptions options_;
  std::vector<std::unique_ptr<HostAccess>> hosts_;
};

}  // namespace gantry::images
