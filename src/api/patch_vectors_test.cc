// SPDX-License-Identifier: Apache-2.0
// What upstream's packages make of random objects and patches (tests/conformance/tools/api-vectors), and what we make
// of them.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "api/apply.h"
#include "api/codec.h"
#include "api/json.h"
#include "api/json_patch.h"
#include "api/merge_patch.h"
#include "api/strategic_merge.h"
#include "base/text.h"
#include "kubernetes/apps/v1/deployment.pb.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"

namespace gantry::api {
namespace {

namespace core = k8s::io::api::core::v1;
namespace apps = k8s::io::api::apps::v1;

constexpr int64_t kNow = 1795000000;

std::vector<Value> vectors(const std::string& name) {
  std::ifstream in(std::string(GANTRY_TESTDATA "/") + name);
  EXPECT_TRUE(in) << name;
  std::vector<Value> out;
  for (std::string line; std::getline(in, line);) {
    Result<Value> value = parse_json(line);
    EXPECT_TRUE(value) << (value ? "" : value.error().message());
    if (value) out.push_back(std::move(*value));
  }
  return out;
}

const google::protobuf::Descriptor& descriptor_of(const Value& vector) {
  const std::string& kind = *vector.find("kind")->as_string();
  if (kind == "Pod") return *core::Pod::descriptor();
  if (kind == "Service") return *core::Service::descriptor();
  if (kind == "ConfigMap") return *core::ConfigMap::descriptor();
  return *apps::Deployment::descriptor();
}

std::string text_in(const Value& value, std::string_view member) {
  const Value* found = value.find(member);
  return found == nullptr || !found->is_string() ? std::string() : *found->as_string();
}

TEST(PatchVectors, AgreeWithUpstream) {
  size_t number = 0;
  for (const Value& vector : vectors("patch_vectors.jsonl")) {
    ++number;
    const std::string type = text_in(vector, "type");
    const Value& object = *vector.find("object");
    const Value& patch = *vector.find("patch");
    Result<Value> got = type == "json" ? apply_json_patch(object, patch)
                        : type == "merge"
                            ? apply_merge_patch(object, patch)
                            : apply_strategic_merge_patch(schema_of(descriptor_of(vector)), object, patch);
    const Value* want = vector.find("want");
    const std::string where =
        cat("line ", number, ", ", type, "\nobject: ", write_json(object), "\npatch:  ", write_json(patch));
    if (want == nullptr) {
      EXPECT_FALSE(got) << where << "\nupstream: " << text_in(vector, "error") << "\nwe: " << write_json(*got);
      continue;
    }
    ASSERT_TRUE(got) << where << "\nupstream: " << write_json(*want) << "\nwe: " << got.error().message();
    ASSERT_TRUE(*got == *want) << where << "\nupstream: " << write_json(*want) << "\nwe:       " << write_json(*got);
  }
}

// As it is after it was stored, without times in managedFields.
Value stored(const google::protobuf::Descriptor& descriptor, Value object) {
  const google::protobuf::Message* prototype =
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(&descriptor);
  const std::unique_ptr<google::protobuf::Message> message(prototype->New());
  object["metadata"]["uid"] = "u";
  const Status status = decode(object, message.get(), {.strict = false});
  EXPECT_TRUE(status) << (status ? "" : status.error().message()) << write_json(object);
  Value out = encode(*message);
  std::string text;
  encode_json(*message, &text);
  EXPECT_EQ(text, write_json(out));
  if (Value* managed = out["metadata"].find("managedFields")) {
    for (Value& entry : *managed->as_list()) {
      if (Value* time = entry.find("time")) *time = "2026-01-01T00:00:00Z";
    }
  }
  return out;
}

// Entries are told apart by manager; with equal times upstream's order is that of managers, too.
void run_step(const Value& story, const Value& step, Value* live, const std::string& where) {
  const google::protobuf::Descriptor& descriptor = descriptor_of(story);
  const Schema& schema = schema_of(descriptor);
  FieldManager manager{text_in(step, "manager"), text_in(step, "subresource"), kNow, {}, {}};
  if (text_in(story, "kind") != "ConfigMap") {
    manager.reset_fields = manager.subresource == "status" ? FieldSet::of({{"spec"}}) : FieldSet::of({{"status"}});
  }
  const Value* before = live->is_null() ? nullptr : live;
  const Value& input = *step.find("input");
  std::vector<ApplyConflict> conflicts;
  const bool applies = text_in(step, "op") == "apply";
  Result<Value> got = applies ? apply_patch(schema, before, input, manager, *step.find("force")->as_bool(), &conflicts)
                              : track_update(schema, before, input, manager);
  const Value* want = step.find("want");
  if (want == nullptr) {
    ASSERT_FALSE(got) << where << "upstream: " << text_in(step, "error");
    const Value* causes = step.find("causes");
    ASSERT_EQ(conflicts.empty(), causes == nullptr) << where << text_in(step, "error");
    EXPECT_EQ(got.error().message(), text_in(step, "error")) << where;
    if (causes == nullptr) return;
    std::multiset<std::string> ours;
    std::multiset<std::string> theirs;
    for (const ApplyConflict& conflict : conflicts) ours.insert(conflict.message + conflict.field);
    for (const Value& cause : *causes->as_list()) theirs.insert(text_in(cause, "message") + text_in(cause, "field"));
    EXPECT_EQ(ours, theirs) << where;
    return;
  }
  ASSERT_TRUE(got) << where << got.error().message();
  *live = stored(descriptor, std::move(*got));
  ASSERT_TRUE(*live == stored(descriptor, *want))
      << where << "upstream: " << write_json(*want) << "\nwe:       " << write_json(*live);
}

TEST(ApplyVectors, AgreeWithUpstream) {
  size_t number = 0;
  for (const Value& story : vectors("apply_vectors.jsonl")) {
    ++number;
    Value live;
    size_t step_number = 0;
    for (const Value& step : *story.find("steps")->as_list()) {
      ++step_number;
      run_step(story, step, &live,
               cat("line ", number, " step ", step_number, "\nlive:     ", write_json(live),
                   "\nstep:     ", write_json(step), "\n"));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace gantry::api
