// SPDX-License-Identifier: Apache-2.0
// For tests: an API server in memory that has pods, and other objects that can be read. It lists by a watch, patches
// status by strategic merge, deletes with preconditions, and can be away. Every call gives way to the loop once.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/client/transport.h"
#include "api/codec.h"
#include "api/json.h"
#include "api/strategic_merge.h"
#include "api/time.h"
#include "api/yaml.h"
#include "base/loop.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {

class FakeApi final : public api::Transport {
 public:
  explicit FakeApi(Loop& loop) : changed_(loop), loop_(loop) {}

  // By path: "/api/v1/namespaces/default/pods/web".
  std::map<std::string, api::Value> objects;
  // "PATCH /api/v1/.../status", in their order; reads are not among them, and neither is what is done to events.
  std::vector<std::string> calls;
  std::vector<api::Value> patches;
  // What was asked for tokens, and the time of those that are made.
  std::vector<api::Value> token_requests;
  std::int64_t token_time = 0;
  // How many were begun.
  int watches = 0;
  // Nobody answers, and watches end.
  bool is_away = false;
  // Who asks for a path with this in it is not answered until the server is away. Empty: nobody.
  std::string silent;
  int waiting = 0;  // so many were not
  // After each change.
  std::function<void()> changed = [] {};

  static std::string path_of(const std::string& name) { return "/api/v1/namespaces/default/pods/" + name; }
  const api::Value* pod(const std::string& name) const {
    auto found = objects.find(path_of(name));
    return found == objects.end() ? nullptr : &found->second;
  }
  std::string phase(const std::string& name) const {
    const auto* found = pod(name);
    const auto* status = found == nullptr ? nullptr : found->find("status");
    return status == nullptr ? "" : status->text_at("phase");
  }
  int count(const std::string& call) const { return static_cast<int>(std::ranges::count(calls, call)); }
  // "Warning BackOff web{app} x3: message" of each event: of the object, and the field of a container.
  std::vector<std::string> events() const {
    std::vector<std::string> all;
    for (const auto& [path, event] : objects) {
      if (path.find("/events/") == std::string::npos) continue;
      const auto* object = event.find("involvedObject");
      const std::string field = object->text_at("fieldPath");
      const auto* count = event.find("count");
      all.push_back(event.text_at("type") + " " + event.text_at("reason") + " " + object->text_at("name") +
                    (field.empty() ? "" : field.substr(field.find('{'))) + " x" +
                    std::to_string(count->as_int64().value_or(0)) + ": " + event.text_at("message"));
    }
    return all;
  }
  // From YAML; a uid "uid-NAME" when it has none.
  void put_pod(const std::string& text) {
    auto documents = api::parse_documents(text);
    ASSERT_TRUE(documents) << documents.error().message();
    api::Value object = std::move(documents->front());
    api::Value& metadata = object["metadata"];
    const std::string name = metadata.text_at("name");
    metadata["namespace"] = "default";
    if (metadata.find("uid") == nullptr) metadata["uid"] = "uid-" + name;
    put(path_of(name), std::move(object));
  }
  void put(const std::string& path, api::Value object) {
    const bool is_new = !objects.contains(path);
    constexpr std::string_view kNamespaces = "/namespaces/";
    if (auto at = path.find(kNamespaces); at != std::string::npos) {
      const std::string rest = path.substr(at + kNamespaces.size());
      object["metadata"]["namespace"] = rest.substr(0, rest.find('/'));
    }
    object["metadata"]["resourceVersion"] = std::to_string(++version_);
    objects[path] = object;
    note(path, is_new ? "ADDED" : "MODIFIED", std::move(object));
  }
  void remove(const std::string& path) {
    auto found = objects.find(path);
    if (found == objects.end()) return;
    api::Value object = std::move(found->second);
    objects.erase(found);
    object["metadata"]["resourceVersion"] = std::to_string(++version_);
    note(path, "DELETED", std::move(object));
  }
  void set_away(bool away) {
    is_away = away;
    changed_.set();
  }

  Task<Result<http::Response>> call(Loop&, http::Request request) override {
    co_await loop_.sleep_for(Duration::zero());
    co_await keep_silent(request);
    if (is_away) co_return fail(Code::kUnavailable, "connection refused");
    std::string path = std::string(request.path());
    const bool is_event = path.find("/events") != std::string::npos;
    if (request.method != "GET" && !is_event) calls.push_back(request.method + " " + path);
    if (request.method == "POST") {
      auto body = api::parse_json(request.body);
      if (path.ends_with("/token")) co_return token(*body);
      path += "/" + body->find("metadata")->text_at("name");
      if (objects.contains(path)) co_return status(409, "AlreadyExists");
      (*body)["metadata"]["uid"] = "uid-made-" + std::to_string(version_);
      put(path, std::move(*body));
      co_return answer(objects.at(path));
    }
    const bool is_status = path.ends_with("/status");
    if (is_status) path.resize(path.size() - std::string_view("/status").size());
    auto found = objects.find(path);
    if (found == objects.end()) co_return status(404, "NotFound");
    if (request.method == "GET") co_return answer(found->second);
    auto body = api::parse_json(request.body);
    if (!body) co_return status(400, "BadRequest");
    const std::string uid = found->second.find("metadata")->text_at("uid");
    if (request.method == "DELETE") {
      const auto* conditions = body->find("preconditions");
      if (conditions != nullptr && conditions->text_at("uid") != uid) co_return status(409, "Conflict");
      if (found->second.find("metadata")->list_at("finalizers").empty()) {
        remove(path);
      } else {
        api::Value held = found->second;
        held["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
        held["metadata"]["deletionGracePeriodSeconds"] = 0;
        put(path, std::move(held));
      }
      co_return status(200, "");
    }
    if (!is_event && body->find("metadata")->text_at("uid") != uid) co_return status(409, "Conflict");
    if (!is_event) patches.push_back(*body);
    const auto& schema = api::schema_of(is_event ? *k8s::io::api::core::v1::Event::descriptor()
                                                 : *k8s::io::api::core::v1::Pod::descriptor());
    auto patched = api::apply_strategic_merge_patch(schema, found->second, *body);
    if (!patched) co_return status(422, "Invalid");
    put(path, std::move(*patched));
    co_return answer(objects.at(path));
  }

  Task<Result<http::Response>> follow(Loop&, http::Request request, api::TakeLine take) override {
    co_await loop_.sleep_for(Duration::zero());
    co_await keep_silent(request);
    if (is_away) co_return fail(Code::kUnavailable, "connection refused");
    ++watches;
    std::string kind = std::string(request.path().substr(request.path().rfind('/'))) + "/";
    constexpr std::string_view kByName = "fieldSelector=metadata.name%3D";
    if (auto at = request.query().find(kByName); at != std::string_view::npos) {
      const std::string_view name = request.query().substr(at + kByName.size());
      kind = std::string(request.path()) + "/" + std::string(name.substr(0, name.find('&')));
    }
    if (request.query().find("sendInitialEvents=true") != std::string_view::npos) {
      for (const auto& [path, object] : objects) {
        if (is_of(path, kind)) (void)take(event("ADDED", object));
      }
    }
    std::size_t next = history_.size();
    // One that goes on where it was.
    constexpr std::string_view kFrom = "&resourceVersion=";
    if (auto at = request.query().find(kFrom); at != std::string_view::npos) {
      const int from = std::atoi(std::string(request.query().substr(at + kFrom.size())).c_str());
      while (next > 0 && history_[next - 1].version > from) --next;
    }
    (void)take(event(
        "BOOKMARK",
        api::Value::object(
            {{"metadata",
              api::Value::object({{"resourceVersion", std::to_string(version_)},
                                  {"annotations", api::Value::object({{"k8s.io/initial-events-end", "true"}})}})}})));
    loop_.post([this] { changed(); });
    while (!is_away) {
      for (; next < history_.size(); ++next) {
        if (!is_of(history_[next].path, kind)) continue;
        if (!take(history_[next].line)) co_return http::Response{};
      }
      changed_.reset();
      co_await changed_.wait();
    }
    co_return fail(Code::kUnavailable, "connection reset");
  }

 private:
  Task<> keep_silent(const http::Request& request) {
    if (silent.empty() || request.path().find(silent) == std::string_view::npos) co_return;
    ++waiting;
    loop_.post([this] { changed(); });
    while (!is_away) {
      changed_.reset();
      co_await changed_.wait();
    }
  }
  // `kind` is "/pods/", or the path of one object.
  static bool is_of(const std::string& path, const std::string& kind) {
    return kind.ends_with('/') ? path.find(kind) != std::string::npos : path == kind;
  }
  // "TOKEN-1 for AUDIENCE", for an hour from `token_time` on.
  http::Response token(const api::Value& body) {
    const auto& spec = *body.find("spec");
    const auto& audiences = spec.list_at("audiences");
    token_requests.push_back(body);
    api::Value made = body;
    made["status"] =
        api::Value::object({{"token", "TOKEN-" + std::to_string(token_requests.size()) + " for " +
                                          (audiences.empty() ? "" : *audiences[0].as_string())},
                            {"expirationTimestamp",
                             api::format_rfc3339(token_time + spec.find("expirationSeconds")->as_int64().value())}});
    return answer(made);
  }
  static std::string event(const char* type, const api::Value& object) {
    return api::write_json(api::Value::object({{"type", type}, {"object", object}}));
  }
  static http::Response answer(const api::Value& object) { return {.status = 200, .body = api::write_json(object)}; }
  static http::Response status(int code, const char* reason) {
    return {.status = code,
            .body = api::write_json(api::Value::object(
                {{"kind", "Status"}, {"apiVersion", "v1"}, {"reason", reason}, {"message", reason}, {"code", code}}))};
  }
  void note(const std::string& path, const char* type, const api::Value& object) {
    history_.push_back({version_, path, event(type, object)});
    changed_.set();
    loop_.post([this] { changed(); });
  }

  Event changed_;
  Loop& loop_;
  int version_ = 0;
  struct Entry {
    int version;
    std::string path, line;
  };
  std::vector<Entry> history_;
};

}  // namespace gantry::agent
