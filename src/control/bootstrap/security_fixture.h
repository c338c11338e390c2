// SPDX-License-Identifier: Apache-2.0
// A whole API server with its security, asked as one user or another.
#pragma once

#include <gtest/gtest.h>

#include "api/json.h"
#include "api/kinds/all.h"
#include "api/text.h"
#include "base/text.h"
#include "control/bootstrap/security.h"
#include "control/bootstrap/system_objects.h"
#include "control/pki/certificate.h"
#include "control/server/api_server.h"
#include "control/server/health.h"
#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"

namespace gantry::control {

inline constexpr char kAccounts[] = "/api/v1/namespaces/default/serviceaccounts";
inline constexpr char kPods[] = "/api/v1/namespaces/default/pods";
inline constexpr char kRbac[] = "/apis/rbac.authorization.k8s.io/v1";
inline constexpr char kPod[] =
    R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"c","image":"i"}]}})";

// What a server with that security is made of; the rest is the caller's to add.
inline ApiServer::Parts parts_of(Security& security, const api::Kinds& kinds, Store& store, const Caches& caches,
                                 std::function<api::Timestamp()> now) {
  return {.kinds = kinds,
          .store = store,
          .caches = caches,
          .admission = security.admission(),
          .authenticators = security.authenticators(),
          .authorizers = security.authorizers(),
          .actions = security.actions(),
          .now = std::move(now),
          .version = {.git_version = "v1.37.0-gantry.test"}};
}

class SecurityTest : public ::testing::Test {
 protected:
  struct Answer {
    int code = 0;
    std::string body;
    std::string warnings;  // one a line
    std::string text(std::string_view key) const {
      const Result<api::Value> value = api::parse_json(body);
      const api::Value* found = value ? value->find(key) : nullptr;
      return found != nullptr && found->as_string() != nullptr ? *found->as_string() : "";
    }
    std::string in_status(std::string_view key) const {
      const Result<api::Value> value = api::parse_json(body);
      const api::Value* status = value ? value->find("status") : nullptr;
      const api::Value* found = status != nullptr ? status->find(key) : nullptr;
      if (found == nullptr) return "";
      return found->as_string() != nullptr ? *found->as_string() : api::write_json(*found);
    }
  };

  SecurityTest() : key_(*PrivateKey::generate()) {
    store_ = std::move(*SqliteStore::open(folder_ / "store.db"));
    const auto now = [this] { return now_; };
    EXPECT_TRUE(run(loop_, make_system_objects(loop_, Objects(kinds_, *store_), now)).has_value());
    caches_.emplace(loop_, kinds_, *store_);
    security_ = std::move(*Security::make({loop_, kinds_, *store_, *caches_, key_, now}));
    health_.emplace(*store_, *caches_);
    ApiServer::Parts parts = parts_of(*security_, kinds_, *store_, *caches_, now);
    parts.pages = security_->pages("https://192.0.2.1:6443");
    parts.health = &*health_;
    server_.emplace(std::move(parts));
    EXPECT_TRUE(run(loop_, caches_->wait_ready(loop_, std::chrono::minutes(1))).has_value());
    run(loop_, settle());
    as("admin", {"system:masters"});
  }
  void as(std::string name, std::vector<std::string> groups = {}) {
    auto certificate = std::make_shared<http::ClientCertificate>();
    certificate->common_name = std::move(name);
    certificate->organizations = std::move(groups);
    certificate_ = std::move(certificate);
    token_.clear();
  }
  void with_token(std::string token) {
    certificate_ = nullptr;
    token_ = std::move(token);
  }
  Answer ask(std::string method, std::string target, std::string body = "", std::string type = "application/json") {
    http::Request request{.method = std::move(method),
                          .target = std::move(target),
                          .headers = {{"Content-Type", type}, {"User-Agent", "test/1.0"}},
                          .body = std::move(body)};
    if (!token_.empty()) request.headers.emplace_back("Authorization", "Bearer " + token_);
    request.peer.certificate = certificate_;
    http::Reply reply = run(loop_, server_->handle(loop_, std::move(request)));
    run(loop_, settle());
    Answer answer{reply.response.status, std::string(reply.response.body_bytes()), {}};
    for (const auto& [name, value] : reply.response.headers) {
      if (name == "Warning") answer.warnings += value + "\n";
    }
    return answer;
  }
  // Until what was written has come to those who follow the store.
  Task<bool> settle() {
    co_await security_->ready();
    for (const char* resource : {"namespaces", "serviceaccounts", "pods", "secrets", "limitranges", "resourcequotas"}) {
      auto& cache = caches_->of(*kinds_.find_resource("", "v1", resource));
      EXPECT_TRUE((co_await cache.fresh(loop_, std::chrono::minutes(1))).has_value());
    }
    co_return true;
  }
  Answer get(std::string target) { return ask("GET", std::move(target)); }
  Answer post(std::string target, std::string body) { return ask("POST", std::move(target), std::move(body)); }

  Answer put(std::string target, std::string body) { return ask("PUT", std::move(target), std::move(body)); }
  Answer merge(std::string target, std::string body) {
    return ask("PATCH", std::move(target), std::move(body), "application/merge-patch+json");
  }
  Answer strategic(std::string target, std::string body) {
    return ask("PATCH", std::move(target), std::move(body), "application/strategic-merge-patch+json");
  }

  void make_account(const std::string& name) {
    EXPECT_EQ(
        post(kAccounts, cat(R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":")", name, "\"}}")).code,
        201);
  }
  std::string make_token(const std::string& account, const std::string& spec = "{}") {
    const Answer answer =
        post(cat(kAccounts, "/", account, "/token"),
             cat(R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":)", spec, "}"));
    EXPECT_EQ(answer.code, 201) << answer.body;
    return answer.in_status("token");
  }
  static std::string role(const std::string& name, const std::string& verbs, const std::string& resources) {
    return cat(R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":")", name,
               R"("},"rules":[{"apiGroups":[""],"resources":[)", resources, R"(],"verbs":[)", verbs, "]}]}");
  }
  static std::string binding(const std::string& name, const std::string& role, const std::string& user) {
    return cat(R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":")", name,
               R"("},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":")", role,
               R"("},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":")", user, "\"}]}");
  }

  Loop loop_;
  TemporaryFolder folder_;
  api::Timestamp now_{1'800'000'000, 0};
  const api::Kinds kinds_{api::all_kinds()};
  PrivateKey key_;
  std::unique_ptr<SqliteStore> store_;
  std::optional<Caches> caches_;
  std::unique_ptr<Security> security_;
  std::optional<Health> health_;
  std::optional<ApiServer> server_;
  std::shared_ptr<const http::ClientCertificate> certificate_;
  std::string token_;
};

}  // namespace gantry::control
