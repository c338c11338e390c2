// SPDX-License-Identifier: Apache-2.0
// Schema: the shape of a kind, apart from where it came from. Everything generic (codec, strict validation, later
// patches, apply and OpenAPI) reads this and nothing else. Two sources fill it: the descriptors of proto/kubernetes
// with their options (here), and later the structural schema of a custom resource.
//
// A Schema is an immutable node of a graph (types may refer to themselves); whoever made the graph owns its nodes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
}  // namespace google::protobuf

namespace gantry::api {

struct Schema {
  enum class Type : uint8_t {
    kStruct,
    kMap,   // string keys, values of `element`
    kList,  // of `element`
    kString,
    kBool,
    kInt32,
    kInt64,
    kDouble,
    kBytes,        // base64 in JSON
    kQuantity,     // quantity.h
    kTime,         // RFC 3339 to the second, UTC
    kMicroTime,    // RFC 3339 to the microsecond, UTC
    kIntOrString,  // a port: 80 or "http"
    kRaw,          // any JSON, kept as it is
  };
  // How server-side apply merges: a list as one, as a set, or by keys; a map or struct by key, or as one.
  enum class Merge : uint8_t { kDefault, kAtomic, kGranular, kSet, kByKey };
  // When a field counts as set: when it is not zero, when it is present, when it is not empty. null and absent are the
  // same for all of them.
  enum class Presence : uint8_t { kValue, kPointer, kList, kMap };
  // When an unset field is written to JSON all the same: never, as its zero or null, or only if its type is a struct.
  enum class Emit : uint8_t { kOmitEmpty, kAlways, kOmitZero };

  struct Field {
    std::string name;  // as in JSON
    const Schema* type = nullptr;
    Presence presence = Presence::kValue;
    Emit emit = Emit::kOmitEmpty;
    bool optional = false;
    bool required = false;
    bool union_discriminator = false;
    Merge merge = Merge::kDefault;              // overrides what `type` says
    std::vector<std::string> list_keys;         // of a list that is merged by key
    std::string patch_merge_key;                // strategic merge patch
    std::vector<std::string> patch_strategies;  // "merge", "replace", "retainKeys"
    std::string default_json;                   // constant default, as JSON; empty: none
    // Where a message keeps it: several steps when structs are inlined, empty when the source is no descriptor. The
    // last is a repeated field for a list, or a message around one, where protobuf needs it (element of a map, absent
    // list).
    std::vector<const google::protobuf::FieldDescriptor*> path;
  };

  Type type = Type::kStruct;
  std::string name;                 // "k8s.io.api.core.v1.PodSpec" for a struct, else empty
  std::vector<Field> fields;        // of a struct, in the order in which JSON writes them
  const Schema* element = nullptr;  // of a list or map
  Merge merge = Merge::kDefault;
  // A kind of the API: "v1" and "Pod"; empty for other structs.
  std::string api_version;
  std::string kind;
  // Of a kind that every group has (DeleteOptions): clients may write the version of any.
  bool any_version = false;

  // The struct's field of that JSON name, or null.
  const Field* find(std::string_view field_name) const;

  // Made with `fields`; keys point into them.
  std::unordered_map<std::string_view, uint32_t> index;
};

// The schema of a message of proto/kubernetes. Built once for each message and kept for the life of the process, as the
// descriptor itself is; any thread.
const Schema& schema_of(const google::protobuf::Descriptor& descriptor);

// How a message names what it expects: "an integer", "a string", "a list".
std::string_view expectation(Schema::Type type);

}  // namespace gantry::api
