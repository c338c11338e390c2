// SPDX-License-Identifier: Apache-2.0
// Objects in the forms that clients ask for: JSON, rows of a Table, metadata alone, the protobuf envelope; lists of
// them. Texts are whole JSON documents without line ends. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "control/server/media.h"
#include "control/server/objects.h"

namespace gantry::control {

// ?includeObject=: what of the object stands beside its row.
enum class IncludeObject { kNone, kMetadata, kObject };
Outcome<IncludeObject> parse_include_object(std::string_view text);

struct ListMetadata {
  std::int64_t revision = 0;
  std::string continue_token;             // empty: this is the end
  std::optional<std::int64_t> remaining;  // how many come after these, when that is known
  bool is_versioned = true;               // false: of what is not stored
};

// The object as JSON, with its resourceVersion.
std::string object_json(const api::Message& message);

// One object as `form` says; `now` in seconds is for ages.
Result<std::string> show_object(const api::Kind& kind, const api::Message& message, const AnswerForm& form,
                                IncludeObject include, int64_t now);

// A list in pieces, so that none is held twice: begin, one call for each object, end.
class ListWriter {
 public:
  ListWriter(const api::Kind& kind, const AnswerForm& form, IncludeObject include, int64_t now, std::string* out);

  void begin(const ListMetadata& metadata);
  void add(const api::Message& message);
  // The same from JSON that was made before; for lists of whole objects.
  void add_json(std::string_view object);
  void end();

 private:
  const api::Kind& kind_;
  AnswerForm form_;
  IncludeObject include_;
  int64_t now_;
  std::string* out_;
  bool first_ = true;
};

// The content type of an answer in that form: with as, v and g, as clients asked.
std::string content_type(const AnswerForm& form);

}  // namespace gantry::control
