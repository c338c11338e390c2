// SPDX-License-Identifier: Apache-2.0
// OpenAPI: the documents from which clients learn the shape of what a server has. kubectl explains fields from them,
// computes patches by their merge keys, and asks them whether the server validates fields.
//
// Version 3 is one document for each version of a group, and an index of them with hashes, so that clients keep what
// has not changed. Version 2 is one document of everything, for clients that know nothing else.
//
// Pure; nothing is kept. To make all takes a fraction of a second, and they change only with the list of kinds: whoever
// serves them makes them when they are first asked for and keeps the bytes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"
#include "api/value.h"

namespace gantry::api {

// What a message or field is for, by its full name in protobuf ("k8s.io.api.core.v1.PodSpec.host_pid"); "" if nobody
// has written it down. kubernetes::comment (proto/kubernetes/comments.h) is one.
using Describe = std::function<std::string_view(std::string_view name)>;

// "api/v1", "apis/apps/v1": the path of a group's version, and of its document beneath /openapi/v3/.
std::string group_version_path(std::string_view group, std::string_view version);
// All that there are, in the order of discovery.
std::vector<std::string> group_version_paths(const Kinds& kinds);

// The document of one group's version; absent if there is none at that path.
std::optional<Value> openapi_v3(const Kinds& kinds, std::string_view group_version_path, const Describe& describe);

// The index, /openapi/v3. A document's hash is what it should be fetched with, and what its ETag is.
struct OpenApiEntry {
  std::string path;  // "apis/apps/v1"
  std::string hash;
};
Value openapi_v3_index(const std::vector<OpenApiEntry>& entries);
// In hexadecimal; of the document's bytes.
std::string openapi_hash(std::string_view bytes);

// Swagger 2.0. `version` is the server's, "v1.37.0".
Value openapi_v2(const Kinds& kinds, std::string_view version, const Describe& describe);

// The same as the message that kubectl reads. Its clients ask for kOpenApiV2Accept, and want the answer to have
// kOpenApiV2Type: the two differ in one letter.
std::string openapi_v2_protobuf(const Value& swagger);
inline constexpr std::string_view kOpenApiV2Accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
inline constexpr std::string_view kOpenApiV2Type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

}  // namespace gantry::api
