// SPDX-License-Identifier: Apache-2.0
#include "api/json_patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/json.h"
#include "api/merge_patch.h"
#include "api/strict.h"
#include "base/text.h"

namespace gantry::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Value parsed(std::string_view text) {
  Result<Value> value = parse_json(text);
  EXPECT_TRUE(value) << text;
  return value ? std::move(*value) : Value();
}

// The result as JSON, or the error's message.
std::string patched(std::string_view document, std::string_view patch, const JsonPatchLimits& limits = {}) {
  Result<Value> result = apply_json_patch(parsed(document), parsed(patch), limits);
  return result ? write_json(*result) : result.error().message();
}

std::string merged(std::string_view document, std::string_view patch) {
  Result<Value> result = apply_merge_patch(parsed(document), parsed(patch));
  return result ? write_json(*result) : result.error().message();
}

TEST(JsonPatch, KnowsTheSixOperations) {
  EXPECT_EQ(patched(R"({"a":{"b":[1,3]}})", R"([{"op":"add","path":"/a/b/1","value":2}])"), R"({"a":{"b":[1,2,3]}})");
  EXPECT_EQ(patched(R"({"b":[1]})", R"([{"op":"add","path":"/b/-","value":2}])"), R"({"b":[1,2]})");
  EXPECT_EQ(patched(R"({"a":1,"b":2})", R"([{"op":"remove","path":"/a"}])"), R"({"b":2})");
  EXPECT_EQ(patched(R"({"a":1})", R"([{"op":"replace","path":"/a","value":{"x":1}}])"), R"({"a":{"x":1}})");
  EXPECT_EQ(patched(R"({"a":{"b":1},"c":{}})", R"([{"op":"move","from":"/a/b","path":"/c/d"}])"),
            R"({"a":{},"c":{"d":1}})");
  EXPECT_EQ(patched(R"({"a":[1,2]})", R"([{"op":"copy","from":"/a/0","path":"/a/2"}])"), R"({"a":[1,2,1]})");
  EXPECT_EQ(patched(R"({"a":{"x":1.0}})", R"([{"op":"test","path":"/a","value":{"x":1}}])"), R"({"a":{"x":1.0}})");
  EXPECT_EQ(patched(R"({"a/b":{"~c":1}})", R"([{"op":"replace","path":"/a~1b/~0c","value":2}])"),
            R"({"a/b":{"~c":2}})");
  EXPECT_EQ(patched("{}", R"([{"op":"replace","path":"","value":{"a":1}}])"), R"({"a":1})");
}

TEST(JsonPatch, GoesBeyondTheRfcAsUpstreamDoes) {
  EXPECT_EQ(patched(R"({"a":[1,2]})", R"([{"op":"remove","path":"/a/-1"}])"), R"({"a":[1]})");
  EXPECT_EQ(patched("{}", R"([{"op":"replace","path":"/a","value":1}])"), R"({"a":1})");
  EXPECT_EQ(patched("{}", R"([{"op":"test","path":"/a","value":null}])"), "{}");
  EXPECT_EQ(patched("{}", R"([{"op":"add","path":"/a"}])"), R"({"a":null})");
}

TEST(JsonPatch, SaysWhatDoesNotApply) {
  EXPECT_EQ(patched(R"({"a":1})", R"([{"op":"test","path":"/a","value":2}])"), "testing value /a failed: test failed");
  EXPECT_EQ(patched("{}", R"([{"op":"remove","path":"/a"}])"),
            "error in remove for path: '/a': Unable to remove nonexistent key: a: missing value");
  EXPECT_EQ(patched("{}", R"([{"op":"add","path":"/a/b","value":1}])"),
            R"(add operation does not apply: doc is missing path: "/a/b": missing value)");
  EXPECT_THAT(patched(R"({"a":[]})", R"([{"op":"add","path":"/a/1","value":1}])"),
              HasSubstr("Unable to access invalid index: 1"));
  EXPECT_THAT(patched(R"({"a":[0]})", R"([{"op":"remove","path":"/a/x"}])"), HasSubstr("proper array index: 'x'"));
  EXPECT_EQ(patched("{}", R"([{"op":"jump","path":"/a"}])"), "Unexpected kind: jump");
  EXPECT_EQ(patched(R"({"a":1})", R"([{"op":"move","from":"/a","path":"/a/b"}])"),
            R"(move operation does not apply: doc is missing destination path: "/a/b": missing value)");
  EXPECT_EQ(apply_json_patch(parsed("{}"), parsed("{}")).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(apply_json_patch(parsed("{}"), parsed("[1]")).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(apply_json_patch(parsed("1"), parsed("[]")).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(apply_json_patch(parsed("{}"), parsed(R"([{"op":"add","path":""}])")).error().code(),
            Code::kFailedPrecondition);
}

TEST(JsonPatch, IsBounded) {
  Value::List many(10'001, Value::object({{"op", "test"}, {"path", "/a"}, {"value", Value()}}));
  const Result<Value> refused = apply_json_patch(parsed("{}"), Value(many));
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is_resource());
  EXPECT_EQ(refused.error().message(), "The allowed maximum operations in a JSON patch is 10000, got 10001");
  many.pop_back();
  EXPECT_TRUE(apply_json_patch(parsed("{}"), Value(many)));

  EXPECT_THAT(patched(R"({"a":{"b":1}})", R"([{"op":"copy","from":"/a","path":"/a/b"},
      {"op":"copy","from":"/a","path":"/a/b/b"}])",
                      {.depth = 3}),
              HasSubstr("more than 3 lists and objects"));
  EXPECT_THAT(patched(R"({"a":"0123456789"})", R"([{"op":"copy","from":"/a","path":"/b"}])", {.copied_bytes = 5}),
              HasSubstr("the accumulated size increase of copy is 12, exceeding the limit 5"));
  EXPECT_THAT(patched(R"({"a":[1,2,3]})", R"([{"op":"test","path":"/a","value":[1,2,3]}])", {.work = 4}),
              HasSubstr("too many steps"));
}

TEST(MergePatch, MergesAsTheRfcSays) {
  EXPECT_EQ(merged(R"({"a":"b","c":{"d":"e","f":"g"}})", R"({"a":"z","c":{"f":null}})"), R"({"a":"z","c":{"d":"e"}})");
  EXPECT_EQ(merged(R"({"a":[{"b":"c"}]})", R"({"a":[1]})"), R"({"a":[1]})");
  EXPECT_EQ(merged("{}", R"({"a":{"bb":{"ccc":null}}})"), R"({"a":{"bb":{}}})");
  EXPECT_EQ(merged(R"({"a":"c"})", R"({"a":null,"x":null})"), "{}");
  EXPECT_EQ(merged(R"({"a":1})", R"({"a":{"b":1,"b":2}})"), R"({"a":{"b":2}})");
  EXPECT_EQ(merged(R"({"a":1})", "[]"), "Invalid JSON Patch");
}

TEST(MergePatch, TakesManyMembers) {
  Value document{Value::Object()};
  Value patch{Value::Object()};
  for (int i = 0; i < 100'000; ++i) {
    document.as_object()->emplace_back(cat("k", i), Value(i));
    patch.as_object()->emplace_back(cat("k", i * 2), i % 2 == 0 ? Value() : Value("x"));
  }
  const Result<Value> result = apply_merge_patch(document, patch);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->as_object()->size(), 100'000u);
  EXPECT_EQ((*result->as_object())[0].key, "k1");
}

TEST(Strict, FindsDuplicatesAndUnknownMembers) {
  FieldProblems problems;
  find_duplicates(parsed("{\"a\":{\"b\":1,\n\"b\":2},\"c\":[{\"d\":1,\"d\":1}]}"), &problems);
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].path, "a.b");
  EXPECT_EQ(problems[0].position.line, 2u);
  EXPECT_EQ(problems[1].path, "c[0].d");
  problems.clear();
  find_unknown_in_json_patch(parsed(R"([{"op":"test","path":""},{"op":"add","Path":"/a"}])"), &problems);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].path, "[1].Path");
  EXPECT_EQ(write_json(without_duplicates(parsed(R"({"a":1,"b":[{"c":1,"c":{"x":1,"x":2}}],"a":3})"))),
            R"({"a":3,"b":[{"c":{"x":2}}]})");
}

}  // namespace
}  // namespace gantry::api
