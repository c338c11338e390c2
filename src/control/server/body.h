// SPDX-License-Identifier: Apache-2.0
// A request's body as an object of a kind. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/server/failure.h"
#include "control/server/media.h"

namespace gantry::control {

// ?fieldValidation=: what becomes of fields that the schema has not, and of keys that stand twice.
enum class FieldValidation { kIgnore, kWarn, kStrict };
Outcome<FieldValidation> parse_field_validation(std::string_view text);

struct Decoded {
  std::unique_ptr<api::Message> message;
  std::vector<std::string> warnings;  // for the header Warning
};

// Of JSON, YAML or the protobuf envelope, as `content_type` says. 400 with upstream's words for what can't be an object
// of that kind: another kind or version, wrong types, bytes that are no document.
Outcome<Decoded> decode_body(const api::Kind& kind, std::string_view content_type, std::string_view body,
                             FieldValidation validation);
// The same for a message that is no resource of its own: DeleteOptions, Eviction, Scale.
Outcome<Decoded> decode_body(const google::protobuf::Descriptor& descriptor, std::unique_ptr<api::Message> empty,
                             std::string_view content_type, std::string_view body, FieldValidation validation);
// The same for a document that a patch made.
Outcome<Decoded> decode_document(const google::protobuf::Descriptor& descriptor, std::unique_ptr<api::Message> empty,
                                 const api::Value& document, FieldValidation validation);
Outcome<Decoded> decode_document(const api::Kind& kind, const api::Value& document, FieldValidation validation);

// What only the text of a patch shows: fields that stand twice, and members that no operation of a JSON patch has. The
// warnings; 422, and 400 of an apply, when they are refused.
enum class PatchText { kOperations, kDocument, kApply };
Outcome<std::vector<std::string>> check_patch_text(PatchText kind, const api::Value& patch, FieldValidation validation);

// The one document of a JSON or YAML text. 400 when it is none.
Outcome<api::Value> parse_document(Encoding encoding, std::string_view body);

}  // namespace gantry::control
