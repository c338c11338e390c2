// SPDX-License-Identifier: Apache-2.0
#include "control/server/documents.h"

#include <algorithm>

#include "api/documents/discovery.h"
#include "api/documents/openapi.h"
#include "api/json.h"
#include "base/text.h"
#include "proto/kubernetes/comments.h"

namespace gantry::control {

namespace {

constexpr std::string_view kJson = "application/json";

bool accepts_aggregated(const http::Request& request) {
  for (const std::string_view clause : request.values("Accept")) {
    const std::string text = lowered(clause);
    if (text.find("g=apidiscovery.k8s.io") != text.npos && text.find("v=v2;") != text.npos &&
        text.find("as=apigroupdiscoverylist") != text.npos) {
      return true;
    }
  }
  return false;
}

// kubectl, where it reads version 2, takes it as a message alone.
bool wants_openapi_message(const http::Request& request, std::string_view path) {
  if (path != "/openapi/v2") return false;
  for (const std::string_view clause : request.values("Accept")) {
    if (clause.find(api::kOpenApiV2Accept) != clause.npos) return true;
  }
  return false;
}

// What one path has several documents for, by what the request accepts.
std::string_view form_of(const http::Request& request, std::string_view path) {
  if (path == "/api" || path == "/apis") return accepts_aggregated(request) ? " aggregated" : "";
  return wants_openapi_message(request, path) ? " message" : "";
}

// "/apis/apps/v1" without slashes at its ends, in its parts.
std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (slash != 0) parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
  }
  return parts;
}

// FNV-1a: tells one content from another, no more.
std::string etag_of(std::string_view bytes) {
  uint64_t hash = 14695981039346656037ull;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return cat("\"", hash, "\"");
}

api::Value version_document(const ServerVersion& version) {
  return api::Value::object({{"major", version.major},
                             {"minor", version.minor},
                             {"gitVersion", version.git_version},
                             {"gitCommit", ""},
                             {"gitTreeState", "clean"},
                             {"buildDate", ""},
                             {"goVersion", ""},
                             {"compiler", "clang"},
                             {"platform", "linux/amd64"}});
}

}  // namespace

std::optional<Documents::Kept> Documents::make(const http::Request& request, const std::string& path) const {
  const std::vector<std::string> parts = parts_of(path);
  const bool aggregated = accepts_aggregated(request);
  std::optional<api::Value> document;
  std::string type(kJson);
  if (parts.size() == 1 && parts[0] == "version") document = version_document(version_);
  if (parts.size() == 1 && (parts[0] == "api" || parts[0] == "apis")) {
    const bool core = parts[0] == "api";
    if (aggregated) {
      type = api::kAggregatedDiscoveryType;
      document = core ? api::aggregated_core(kinds_) : api::aggregated_groups(kinds_);
    } else {
      document = core ? api::api_versions(kinds_, request.header("Host")) : api::api_group_list(kinds_);
    }
  }
  if (parts.size() == 2 && parts[0] == "api") document = api::api_resource_list(kinds_, "", parts[1]);
  if (parts.size() == 2 && parts[0] == "apis") document = api::api_group(kinds_, parts[1]);
  if (parts.size() == 3 && parts[0] == "apis") document = api::api_resource_list(kinds_, parts[1], parts[2]);
  if (!document && path.starts_with("/openapi/")) document = openapi(path);
  if (!document) return std::nullopt;
  const bool message = wants_openapi_message(request, path);
  if (message) type = api::kOpenApiV2Type;
  auto bytes =
      std::make_shared<const std::string>(message ? api::openapi_v2_protobuf(*document) : api::write_json(*document));
  std::string etag = etag_of(*bytes);
  return Kept{std::move(type), std::move(bytes), std::move(etag)};
}

std::optional<api::Value> Documents::openapi(std::string_view path) const {
  if (path == "/openapi/v2") return api::openapi_v2(kinds_, version_.git_version, kubernetes::comment);
  if (path == "/openapi/v3") {
    std::vector<api::OpenApiEntry> entries;
    for (const std::string& name : api::group_version_paths(kinds_)) {
      const std::optional<api::Value> document = api::openapi_v3(kinds_, name, kubernetes::comment);
      if (document) entries.push_back({name, api::openapi_hash(api::write_json(*document))});
    }
    return api::openapi_v3_index(entries);
  }
  constexpr std::string_view kV3 = "/openapi/v3/";
  if (!path.starts_with(kV3)) return std::nullopt;
  return api::openapi_v3(kinds_, path.substr(kV3.size()), kubernetes::comment);
}

std::optional<Documents::Kept> Documents::page(const std::string& path) const {
  const auto found = std::ranges::find(pages_, path, &Page::path);
  if (found == pages_.end()) return std::nullopt;
  auto bytes = std::make_shared<const std::string>(found->body());
  std::string etag = etag_of(*bytes);
  return Kept{found->content_type, std::move(bytes), std::move(etag)};
}

std::optional<Documents::Kept> Documents::get(const http::Request& request, const std::string& path) {
  if (std::optional<Kept> made = page(path)) return made;
  const std::string key = cat(path, form_of(request, path));
  // It has the address by which the client came.
  if (key == "/api") return make(request, path);
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = kept_.find(key); found != kept_.end()) return found->second;
  }
  std::optional<Kept> made = make(request, path);
  const std::lock_guard lock(mutex_);
  if (made) kept_.emplace(key, *made);
  return made;
}

Documents::Documents(const api::Kinds& kinds, ServerVersion version, std::vector<Page> pages)
    : kinds_(kinds), version_(std::move(version)), pages_(std::move(pages)) {}

std::optional<http::Reply> Documents::find(const http::Request& request, const RequestInfo& info) {
  // One name for each document, however many slashes it is asked with: what is kept is bounded by what there is.
  std::string path;
  for (const std::string& part : parts_of(info.path)) path += cat("/", part);
  const std::optional<Kept> kept = get(request, path);
  if (!kept) return std::nullopt;
  http::Reply reply;
  reply.response.headers.emplace_back("ETag", kept->etag);
  reply.response.headers.emplace_back("Vary", "Accept");
  if (request.header("If-None-Match") == kept->etag) {
    reply.response.status = 304;
    return reply;
  }
  reply.response.headers.emplace_back("Content-Type", kept->content_type);
  reply.response.shared_body = kept->bytes;
  return reply;
}

}  // namespace gantry::control
