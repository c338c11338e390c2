// SPDX-License-Identifier: Apache-2.0
// JSON text to Value and back. The grammar is RFC 8259's, strictly: no comments, no trailing commas, UTF-8 only.
#pragma once

#include <string>
#include <string_view>

#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

// One JSON value and nothing after it but white space. Equal keys are kept, in order. Errors are kInvalidArgument with
// the place, "line 3 column 7: ...", or kResourceExhausted when a limit is passed, naming the limit.
Result<Value> parse_json(std::string_view text, const ParseLimits& limits = {});

// Whether it is one JSON value, of at most 200 lists and objects inside one another. Makes nothing.
bool is_json(std::string_view text);
// What write_json would make of that value, but for escapes and numbers, which stay as they are; added to `out`.
// Precondition: is_json(text).
void append_compact(std::string_view text, std::string* out);
// A string with its quotes; added to `out`.
void append_json_string(std::string_view text, std::string* out);

struct JsonStyle {
  int indent = 0;  // spaces a level; 0: one line, no spaces
};

// Members in their order. Only what JSON requires is escaped.
std::string write_json(const Value& value, JsonStyle style = {});

}  // namespace gantry::api
