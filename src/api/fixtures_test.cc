// SPDX-License-Identifier: Apache-2.0
// The codec against what upstream wrote: every kind with every field set, in its three encodings, and the same
// documents with fields left out, empty, zero and null (testdata/presence.tsv, made by
// tests/conformance/tools/apidata).
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "api/codec.h"
#include "api/json.h"
#include "api/text.h"
#include "api/yaml.h"
#include "kubernetes/runtime/runtime.pb.h"
#include "proto/interface_table.h"
#include "proto/kubernetes/all_files.h"

namespace gantry::api {
namespace {

namespace pb = google::protobuf;
namespace fs = std::filesystem;

std::string file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path;
  return text.str();
}

Value document(std::string_view text) {
  Result<std::vector<Value>> documents = parse_documents(text);
  EXPECT_TRUE(documents) << (documents ? "" : documents.error().message());
  return documents && documents->size() == 1 ? std::move(documents->front()) : Value();
}

// The messages that are kinds, by apiVersion and kind.
const std::map<std::string, const pb::Descriptor*>& kinds() {
  static const auto& all = *[] {
    auto* found = new std::map<std::string, const pb::Descriptor*>;
    for (const pb::Descriptor* message : kubernetes::all_messages()) {
      const Schema& schema = schema_of(*message);
      if (schema.kind.empty()) continue;
      const auto [entry, added] = found->try_emplace(schema.api_version + " " + schema.kind, message);
      // core/v1 has a List of its own, the same as meta's.
      EXPECT_TRUE(added || schema.kind == "List") << message->full_name() << " and " << entry->second->full_name();
    }
    return found;
  }();
  return all;
}

std::unique_ptr<pb::Message> make(const Value& document) {
  const Value* version = document.find("apiVersion");
  const Value* kind = document.find("kind");
  if (version == nullptr || kind == nullptr) return nullptr;
  const auto found = kinds().find(*version->as_string() + " " + *kind->as_string());
  if (found == kinds().end()) return nullptr;
  return std::unique_ptr<pb::Message>(pb::MessageFactory::generated_factory()->GetPrototype(found->second)->New());
}

// Decodes into a new message of the document's kind; null, and a failure, if that does not work.
std::unique_ptr<pb::Message> decoded(const Value& document) {
  std::unique_ptr<pb::Message> message = make(document);
  EXPECT_NE(message, nullptr) << "no such kind";
  if (message == nullptr) return nullptr;
  const Status status = decode(document, message.get());
  EXPECT_TRUE(status) << (status ? "" : status.error().message());
  return status ? std::move(message) : nullptr;
}

// Templates of claims say what they are in all that the API server answers; upstream's types alone do not say it.
Value as_served(Value json) {
  Value* spec = json.find("spec");
  Value* claims = spec == nullptr ? nullptr : spec->find("volumeClaimTemplates");
  if (claims == nullptr || claims->as_list() == nullptr) return json;
  for (Value& claim : *claims->as_list()) {
    Value typed = Value::object({{"kind", "PersistentVolumeClaim"}, {"apiVersion", "v1"}});
    for (Value::Member& member : *claim.as_object()) typed[member.key] = std::move(member.value);
    claim = std::move(typed);
  }
  return json;
}

void round_trip(const fs::path& stem) {
  const Value json = as_served(document(file(stem.string() + ".json")));
  const std::string protobuf = file(stem.string() + ".pb");
  const auto from_json = decoded(json);
  const auto from_yaml = decoded(document(file(stem.string() + ".yaml")));
  if (from_json == nullptr || from_yaml == nullptr) return;
  EXPECT_EQ(write_json(encode(*from_json), {.indent = 2}), write_json(json, {.indent = 2})) << "order counts as well";

  const std::unique_ptr<pb::Message> from_protobuf(from_json->New());
  const Status status = decode_protobuf(protobuf, from_protobuf.get());
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(encode(*from_protobuf), json);
  std::string text;
  encode_json(*from_protobuf, &text);
  EXPECT_EQ(text, write_json(encode(*from_protobuf))) << "without a tree in between";
  ASSERT_TRUE(decode_stored(protobuf, from_protobuf.get()));
  EXPECT_EQ(encode(*from_protobuf), json) << "what is stored is in the one form";

  for (pb::Message* message : {from_json.get(), from_yaml.get(), from_protobuf.get()}) {
    const Result<std::string> bytes = encode_protobuf(message);
    ASSERT_TRUE(bytes) << bytes.error().message();
    EXPECT_TRUE(*bytes == protobuf) << message->DebugString();
  }
}

TEST(Fixtures, RoundTripInAllThreeForms) {
  size_t count = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(GANTRY_TESTDATA)) {
    if (entry.path().extension() != ".pb" || entry.path().stem() == "core.v1.WatchEvent") continue;
    SCOPED_TRACE(entry.path().stem().string());
    round_trip(entry.path().parent_path() / entry.path().stem());
    ++count;
  }
  EXPECT_GE(count, 78u);
}

// A watch event has no apiVersion and kind of its own in JSON, and has them in the envelope of protobuf.
TEST(Fixtures, WatchEventIsNoKind) {
  namespace meta = k8s::io::apimachinery::pkg::apis::meta::v1;
  const Value json = document(file(GANTRY_TESTDATA "/core.v1.WatchEvent.json"));
  meta::WatchEvent event;
  ASSERT_TRUE(decode(json, &event));
  EXPECT_EQ(encode(event), json);
  k8s::io::apimachinery::pkg::runtime::Unknown envelope;
  ASSERT_TRUE(envelope.ParseFromString(file(GANTRY_TESTDATA "/core.v1.WatchEvent.pb").substr(4)));
  EXPECT_EQ(event.SerializeAsString(), envelope.raw());
}

// Every group has DeleteOptions, and clients write the version of the one that they speak to.
TEST(Fixtures, SomeKindsAreOfEveryGroup) {
  namespace meta = k8s::io::apimachinery::pkg::apis::meta::v1;
  meta::DeleteOptions options;
  ASSERT_TRUE(
      decode(document(R"({"kind":"DeleteOptions","apiVersion":"apps/v1","orphanDependents":false})"), &options));
  EXPECT_TRUE(options.has_orphan_dependents());
  EXPECT_FALSE(decode(document(R"({"kind":"Status","apiVersion":"apps/v1"})"), &options));
}

// A list that protobuf has a message for.
TEST(Fixtures, VerbsAreAList) {
  namespace meta = k8s::io::apimachinery::pkg::apis::meta::v1;
  const Value json = document(
      R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod",)"
      R"("namespaced":true,"kind":"Pod","verbs":["get","list"]},{"name":"x","singularName":"","namespaced":false,"kind":"X",)"
      R"("verbs":null}]})");
  meta::APIResourceList list;
  ASSERT_TRUE(decode(json, &list));
  EXPECT_EQ(list.resources(0).verbs().items_size(), 2);
  EXPECT_FALSE(list.resources(1).has_verbs());
  EXPECT_EQ(write_json(encode(list)), write_json(json));
}

// Columns: kind and variant, the document that was sent, upstream's protobuf in base64, upstream's JSON.
TEST(Fixtures, PresenceIsUpstreams) {
  size_t count = 0;
  for (const std::string& line : read_lines(GANTRY_TESTDATA "/presence.tsv")) {
    const std::vector<std::string> columns = split(line, '\t');
    ASSERT_EQ(columns.size(), 4u) << line;
    SCOPED_TRACE(columns[0]);
    const auto message = decoded(document(columns[1]));
    if (message == nullptr) continue;
    EXPECT_EQ(write_json(encode(*message)), write_json(as_served(document(columns[3]))));
    const Result<std::string> bytes = encode_protobuf(message.get());
    ASSERT_TRUE(bytes) << bytes.error().message();
    EXPECT_EQ(encode_base64(*bytes), columns[2]) << message->DebugString();

    const std::unique_ptr<pb::Message> again(message->New());
    ASSERT_TRUE(decode_protobuf(*decode_base64(columns[2]), again.get()));
    EXPECT_EQ(*encode_protobuf(again.get()), *bytes);
    ++count;
  }
  EXPECT_GE(count, 300u);
}

// What Debian 13's kubectl sent for create, run, expose, autoscale, delete, apply, replace and auth. Columns: method
// and path, content type, body (protobuf in base64). Its protobuf has every field that upstream holds by value, zero or
// not, so that it is in the one form already.
TEST(Kubectl, BodiesAreReadAndKeptToTheByte) {
  size_t protobufs = 0;
  for (const std::string& line : read_lines(GANTRY_TESTDATA "/kubectl-1.32.3.tsv")) {
    const std::vector<std::string> columns = split(line, '\t');
    ASSERT_EQ(columns.size(), 3u) << line;
    SCOPED_TRACE(columns[0]);
    if (columns[0].starts_with("DELETE")) {
      // Options of a deletion come without apiVersion and kind.
      k8s::io::apimachinery::pkg::apis::meta::v1::DeleteOptions options;
      ASSERT_TRUE(decode(document(columns[2]), &options, {.require_type = false}));
      EXPECT_TRUE(options.has_propagation_policy());
      continue;
    }
    if (columns[1] != "application/vnd.kubernetes.protobuf") {
      EXPECT_NE(decoded(document(columns[2])), nullptr);
      continue;
    }
    ++protobufs;
    const std::string body = *decode_base64(columns[2]);
    k8s::io::apimachinery::pkg::runtime::Unknown envelope;
    ASSERT_TRUE(envelope.ParseFromString(body.substr(4)));
    const auto message = make(
        Value::object({{"apiVersion", envelope.type_meta().api_version()}, {"kind", envelope.type_meta().kind()}}));
    ASSERT_NE(message, nullptr);
    const Status status = decode_protobuf(body, message.get());
    ASSERT_TRUE(status) << status.error().message();
    EXPECT_EQ(encode_base64(*encode_protobuf(message.get())), columns[2]) << message->DebugString();
    // And the same object by way of JSON.
    const auto again = decoded(encode(*message));
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(encode_base64(*encode_protobuf(again.get())), columns[2]);
  }
  EXPECT_GE(protobufs, 20u);
}

}  // namespace
}  // namespace gantry::api
