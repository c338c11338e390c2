// SPDX-License-Identifier: Apache-2.0
// From Value to message and back, and between messages and the bytes that Kubernetes stores and sends. One codec for
// every kind: it knows only the Schema and protobuf's reflection.
//
// Presence follows upstream (schema.h). Every message that leaves decode() is in one form, the one that upstream would
// write: each field held by value is set, to its zero if need be (has_restart_policy() is true; ask whether it is
// empty), quantities are canonical, times have no part that JSON could not carry. So equal objects have equal bytes. A
// message that code has made is brought to this form by normalize().
//
// All functions are pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/problem.h"
#include "api/schema.h"
#include "api/value.h"
#include "base/result.h"

namespace google::protobuf {
class Message;
}

namespace gantry::api {

struct DecodeOptions {
  // Unknown and duplicate fields fail the decode. They are reported either way; without strict they are dropped, and of
  // duplicates the last one counts.
  bool strict = true;
  // A kind must say its apiVersion and kind. (They must be right in any case.)
  bool require_type = true;
};

// Fills `message`, which is cleared first, from a document. Everything that is wrong with it is added to `problems`
// (which may be null), at most 100 of them, with path and line. The error is their summary; `message` is then unusable.
// Precondition: `schema` is schema_of(*message->GetDescriptor()).
Status decode(const Schema& schema, const Value& value, google::protobuf::Message* message,
              const DecodeOptions& options = {}, FieldProblems* problems = nullptr);
Status decode(const Value& value, google::protobuf::Message* message, const DecodeOptions& options = {},
              FieldProblems* problems = nullptr);

// The JSON form, with kind and apiVersion first if the message is a kind. Fields in upstream's order, maps by key.
Value encode(const google::protobuf::Message& message);
// The text of that, write_json(encode(message)), without the tree; added to `out`.
void encode_json(const google::protobuf::Message& message, std::string* out);

// Brings a message to the form described above. kInvalidArgument with the path for what no object may hold: a string
// that is not UTF-8, a quantity that does not parse. Unknown protobuf fields are dropped.
Status normalize(google::protobuf::Message* message);

// The form in which upstream stores and sends an object: "k8s\0" and a runtime.Unknown that holds the type and the
// message's bytes. encode_protobuf normalizes first.
Result<std::string> encode_protobuf(google::protobuf::Message* message);
// kInvalidArgument when it is no envelope, holds another kind than the message's, or bytes that do not parse.
Status decode_protobuf(std::string_view bytes, google::protobuf::Message* message);
// The same for bytes of a store: they are in the one form already, for that is how encode_protobuf and upstream write
// them, so what normalize() would look at is not looked at again.
Status decode_stored(std::string_view bytes, google::protobuf::Message* message);

}  // namespace gantry::api
