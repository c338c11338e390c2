// SPDX-License-Identifier: Apache-2.0
// Bodies of requests, of any kind: an envelope that says which it is, or a document of JSON or YAML.
#include <google/protobuf/message.h>

#include <map>
#include <memory>
#include <string>

#include "api/codec.h"
#include "api/json.h"
#include "api/yaml.h"
#include "kubernetes/runtime/runtime.pb.h"
#include "proto/kubernetes/all_files.h"
#include "tests/fuzz/fuzz.h"

namespace api = gantry::api;
namespace pb = google::protobuf;
using gantry::fuzz::expect;

namespace {

const std::map<std::string, const pb::Descriptor*>& kinds() {
  static const auto& all = *[] {
    auto* found = new std::map<std::string, const pb::Descriptor*>;
    for (const pb::Descriptor* message : gantry::kubernetes::all_messages()) {
      const api::Schema& schema = api::schema_of(*message);
      if (!schema.kind.empty()) found->emplace(schema.api_version + " " + schema.kind, message);
    }
    return found;
  }();
  return all;
}

std::unique_ptr<pb::Message> make(const std::string& version, const std::string& kind) {
  const auto found = kinds().find(version + " " + kind);
  if (found == kinds().end()) return nullptr;
  return std::unique_ptr<pb::Message>(pb::MessageFactory::generated_factory()->GetPrototype(found->second)->New());
}

// null says the same as nothing: a pointer to no time is written as null, and read as absent, by upstream too.
void drop_nulls(api::Value* value) {
  if (api::Value::Object* object = value->as_object()) {
    std::erase_if(*object, [](const api::Value::Member& member) { return member.value.is_null(); });
    for (api::Value::Member& member : *object) drop_nulls(&member.value);
  }
  if (api::Value::List* list = value->as_list()) {
    for (api::Value& element : *list) drop_nulls(&element);
  }
}

// Whatever was read can be written, and read again as the same.
void check(pb::Message* message) {
  const auto once = api::encode_protobuf(message);
  expect(once.has_value(), "what was read can be written");
  const std::unique_ptr<pb::Message> again(message->New());
  expect(api::decode_protobuf(*once, again.get()).has_value(), "and read");
  const auto twice = api::encode_protobuf(again.get());
  expect(twice && *twice == *once, "as the same bytes");
  api::Value json = api::encode(*message);
  std::string text;
  api::encode_json(*message, &text);
  const auto parsed = api::parse_json(text);
  expect(parsed && *parsed == json, "its JSON text is that form's");
  const std::unique_ptr<pb::Message> from_json(message->New());
  if (auto s = api::decode(json, from_json.get()); !s) expect(false, s.error().message());
  api::Value same = api::encode(*from_json);
  drop_nulls(&json);
  drop_nulls(&same);
  expect(same == json, "its JSON form means the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const auto text = gantry::fuzz::text_of(bytes, size);
  k8s::io::apimachinery::pkg::runtime::Unknown envelope;
  if (text.starts_with(std::string_view("k8s\0", 4))) {
    if (!envelope.ParseFromArray(text.data() + 4, static_cast<int>(text.size() - 4))) return 0;
    const auto message = make(envelope.type_meta().api_version(), envelope.type_meta().kind());
    if (message == nullptr) return 0;
    if (auto s = api::decode_protobuf(text, message.get()); !s) {
      gantry::fuzz::expect_sentence(s.error());
      return 0;
    }
    check(message.get());
    return 0;
  }
  const auto documents = api::parse_documents(text);
  if (!documents) return 0;
  for (const api::Value& document : *documents) {
    const api::Value* version = document.find("apiVersion");
    const api::Value* kind = document.find("kind");
    if (version == nullptr || kind == nullptr || !version->is_string() || !kind->is_string()) continue;
    const auto message = make(*version->as_string(), *kind->as_string());
    if (message == nullptr) continue;
    if (auto s = api::decode(document, message.get(), {.strict = false}); !s) {
      gantry::fuzz::expect_sentence(s.error());
      continue;
    }
    check(message.get());
  }
  return 0;
}
