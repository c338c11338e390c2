// SPDX-License-Identifier: Apache-2.0
#include "api/documents/openapi.h"

#include <openssl/sha.h>

#include <algorithm>

#include "api/documents/discovery.h"
#include "api/documents/openapi_paths.h"
#include "api/documents/openapi_schemas.h"
#include "base/text.h"

namespace gantry::api {

namespace {

Value info(std::string_view version) { return Value::object({{"title", "Kubernetes"}, {"version", version}}); }

// Kinds of one group's version, or of all. Definitions of kinds without a path of their own are there, too.
Value paths_of(const Kinds& kinds, const GroupVersionKind* only, OpenApiSchemas* schemas) {
  Value::Object paths;
  for (const Kind& kind : kinds.all()) {
    if (only != nullptr && (kind.gvk.group != only->group || kind.gvk.version != only->version)) continue;
    schemas->reference(kind.schema());
    add_paths(kind, schemas, &paths);
  }
  std::ranges::sort(paths, {}, &Value::Member::key);
  return paths;
}

}  // namespace

std::string group_version_path(std::string_view group, std::string_view version) {
  return group.empty() ? cat("api/", version) : cat("apis/", group, "/", version);
}

std::vector<std::string> group_version_paths(const Kinds& kinds) {
  std::vector<std::string> paths;
  for (const ServedGroup& group : served_groups(kinds)) {
    for (const std::string& version : group.versions) paths.push_back(group_version_path(group.name, version));
  }
  return paths;
}

std::optional<Value> openapi_v3(const Kinds& kinds, std::string_view path, const Describe& describe) {
  for (const ServedGroup& group : served_groups(kinds)) {
    for (const std::string& version : group.versions) {
      if (group_version_path(group.name, version) != path) continue;
      const GroupVersionKind only{group.name, version, ""};
      OpenApiSchemas schemas(OpenApiDialect::kV3, describe);
      Value paths = paths_of(kinds, &only, &schemas);
      Value components = Value::object({{"schemas", schemas.take_definitions()}});
      return Value::object({{"openapi", "3.0.0"},
                            {"info", info(version)},
                            {"paths", std::move(paths)},
                            {"components", std::move(components)}});
    }
  }
  return std::nullopt;
}

Value openapi_v3_index(const std::vector<OpenApiEntry>& entries) {
  Value paths = Value::object({});
  for (const OpenApiEntry& entry : entries) {
    paths[entry.path] = Value::object({{"serverRelativeURL", cat("/openapi/v3/", entry.path, "?hash=", entry.hash)}});
  }
  return Value::object({{"paths", std::move(paths)}});
}

std::string openapi_hash(std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (const unsigned char byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Value openapi_v2(const Kinds& kinds, std::string_view version, const Describe& describe) {
  OpenApiSchemas schemas(OpenApiDialect::kV2, describe);
  Value paths = paths_of(kinds, nullptr, &schemas);
  return Value::object({{"swagger", "2.0"},
                        {"info", info(version)},
                        {"paths", std::move(paths)},
                        {"definitions", schemas.take_definitions()}});
}

}  // namespace gantry::api
