// SPDX-License-Identifier: Apache-2.0
// meta/v1 Duration, of which few kinds have one: nanoseconds in protobuf, Go's text ("1m30s") in JSON. To a Schema it
// is a struct without fields, known by its name. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "api/schema.h"
#include "base/duration.h"

namespace google::protobuf {
class Message;
}

namespace gantry::api {

inline constexpr std::string_view kDurationName = "k8s.io.apimachinery.pkg.apis.meta.v1.Duration";

inline bool is_duration(const Schema& schema) {
  return schema.type == Schema::Type::kStruct && schema.fields.empty() && schema.name == kDurationName;
}

// Of a Duration as JSON has it, in whole milliseconds.
std::string duration_json_text(const google::protobuf::Message& duration);
// Reads such a text into a Duration. kInvalidArgument says what was expected.
Status read_duration(std::string_view text, google::protobuf::Message* duration);

}  // namespace gantry::api
