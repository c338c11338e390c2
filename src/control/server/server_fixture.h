// SPDX-License-Identifier: Apache-2.0
// A whole API server in the test's process, over a store in memory, asked without a network.
#pragma once

#include <gtest/gtest.h>

#include "api/json.h"
#include "api/kinds/all.h"
#include "base/text.h"
#include "control/server/actions/pod_binding.h"
#include "control/server/actions/pod_eviction.h"
#include "control/server/api_server.h"
#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"

namespace gantry::control {

// Everybody may do everything.
class Administrator final : public Authenticator {
 public:
  Task<Outcome<std::optional<User>>> authenticate(Loop&, const http::Request&) override {
    co_return User{.name = "admin", .groups = {std::string(kMastersGroup)}};
  }
};

class ServerTest : public ::testing::Test {
 protected:
  struct Answer {
    int code = 0;
    api::Value body;
    http::HeaderList headers;

    // The value at a path of names and indices: at("spec/containers/0/name"); null if there is none.
    api::Value at(std::string_view path) const {
      const api::Value* value = &body;
      while (!path.empty() && value != nullptr) {
        const size_t slash = path.find('/');
        const std::string step(path.substr(0, slash));
        path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
        if (const api::Value::List* list = value->as_list()) {
          const size_t index = std::stoul(step);
          value = index < list->size() ? &(*list)[index] : nullptr;
        } else {
          value = value->find(step);
        }
      }
      return value == nullptr ? api::Value() : *value;
    }
    std::string text(std::string_view path) const {
      const api::Value value = at(path);
      return value.as_string() != nullptr ? *value.as_string() : api::write_json(value);
    }
  };

  ServerTest() {
    auto opened = SqliteStore::open(folder_ / "store.db");
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message());
    store_ = std::move(*opened);
    caches_.emplace(loop_, kinds_, *store_);
    writer_.emplace(Objects(kinds_, *store_), admission_, [this] { return now_; });
    binding_.emplace(kinds_, *writer_, [this] { return now_; });
    eviction_.emplace(Objects(kinds_, *store_), *caches_, *writer_, [this] { return now_; });
    health_.emplace(*store_, *caches_);
    server_.emplace(ApiServer::Parts{
        .kinds = kinds_,
        .store = *store_,
        .caches = *caches_,
        .admission = admission_,
        .authenticators = {&administrator_},
        .authorizers = {},
        .actions = {{"bindings", &*binding_}, {"pods/binding", &*binding_}, {"pods/eviction", &*eviction_}},
        .now = [this] { return now_; },
        .version = {.git_version = "v1.37.0-gantry.test"},
        .health = &*health_});
  }

  Answer ask(http::Request request) {
    http::Reply reply = run(loop_, server_->handle(loop_, std::move(request)));
    Answer answer{.code = reply.response.status, .body = {}, .headers = reply.response.headers};
    const std::string_view bytes = reply.response.body_bytes();
    if (bytes.starts_with('{')) {
      Result<api::Value> body = api::parse_json(bytes);
      EXPECT_TRUE(body) << bytes;
      if (body) answer.body = std::move(*body);
    }
    return answer;
  }
  Answer get(std::string target, std::string accept = "application/json") {
    return ask({.method = "GET", .target = std::move(target), .headers = {{"Accept", std::move(accept)}}});
  }
  Answer send(std::string method, std::string target, std::string body, std::string type = "application/json") {
    return ask({.method = std::move(method),
                .target = std::move(target),
                .headers = {{"Content-Type", std::move(type)}, {"User-Agent", "test/1.0"}},
                .body = std::move(body)});
  }
  Answer post(std::string target, std::string body) { return send("POST", std::move(target), std::move(body)); }
  Answer put(std::string target, std::string body) { return send("PUT", std::move(target), std::move(body)); }
  Answer merge(std::string target, std::string body) {
    return send("PATCH", std::move(target), std::move(body), "application/merge-patch+json");
  }
  Answer apply(std::string target, std::string body) {
    return send("PATCH", std::move(target), std::move(body), "application/apply-patch+yaml");
  }
  Answer remove(std::string target, std::string body = "") {
    return send("DELETE", std::move(target), std::move(body));
  }

  Loop loop_;
  TemporaryFolder folder_;
  api::Timestamp now_{1'800'000'000, 0};
  const api::Kinds kinds_{api::all_kinds()};
  const AdmissionChain admission_{{}};
  Administrator administrator_;
  std::unique_ptr<SqliteStore> store_;
  std::optional<Caches> caches_;
  std::optional<ResourceWriter> writer_;
  std::optional<PodBinding> binding_;
  std::optional<PodEviction> eviction_;
  std::optional<Health> health_;
  std::optional<ApiServer> server_;
};

}  // namespace gantry::control
