// SPDX-License-Identifier: Apache-2.0
#include "api/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::api {
namespace {

using testing::HasSubstr;

Value parsed(std::string_view text) {
  Result<Value> value = parse_json(text);
  EXPECT_TRUE(value) << (value ? "" : value.error().message());
  return value ? std::move(*value) : Value();
}

std::string error_of(std::string_view text, const ParseLimits& limits = {}) {
  const Result<Value> value = parse_json(text, limits);
  return value ? "no error" : value.error().message();
}

TEST(Json, KeepsOrderDuplicatesAndNull) {
  EXPECT_EQ(write_json(parsed(R"({"b":1,"a":null,"b":[true,false,{}]})")), R"({"b":1,"a":null,"b":[true,false,{}]})");
}

TEST(Json, KnowsWhatIsJsonWithoutMakingIt) {
  for (const char* text : {"{}", " [1, {\"a\": \"b\"}] ", "null", "\"x\""}) EXPECT_TRUE(is_json(text)) << text;
  for (const char* text : {"", "{", "{}x", "[1,]", "{'a':1}", "\"\xff\""}) EXPECT_FALSE(is_json(text)) << text;
  EXPECT_TRUE(is_json(std::string(200, '[') + std::string(200, ']')));
  EXPECT_FALSE(is_json(std::string(201, '[') + std::string(201, ']')));
  std::string out = "=";
  append_compact(" { \"a b\" :\t[ 1 , \"\\\" \\\\\" ] }\n", &out);
  EXPECT_EQ(out, R"(={"a b":[1,"\" \\"]})");
}

TEST(Json, KeepsIntegersExact) {
  const std::string text = "[0,-1,9223372036854775807,-9223372036854775808,18446744073709551615]";
  EXPECT_EQ(write_json(parsed(text)), text);
  EXPECT_EQ(parsed("18446744073709551615").as_uint64(), UINT64_MAX);
  EXPECT_FALSE(parsed("18446744073709551615").as_int64());
  EXPECT_FALSE(parsed("-1").as_uint64());
}

TEST(Json, KeepsTheTextOfOtherNumbers) {
  const std::string text = "[0.1,1e400,1.0,-2.50e-3,100000000000000000000]";
  EXPECT_EQ(write_json(parsed(text)), text);
  EXPECT_EQ(parsed("0.1").as_double(), 0.1);
  EXPECT_EQ(parsed("1e400").as_double(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(parsed("-1e400").as_double(), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(parsed("1e-400").as_double(), 0);
}

TEST(Json, EscapesAndUnescapes) {
  EXPECT_EQ(*parsed(R"("a\u00e9\n\t\"\\\/\ud83d\ude00")").as_string(), "a\u00e9\n\t\"\\/\U0001f600");
  EXPECT_EQ(write_json(Value("a\"\\\n\r\t\x01\u00e9")), "\"a\\\"\\\\\\n\\r\\t\\u0001\u00e9\"");
  EXPECT_EQ(parsed("\"a\\u0000b\"").as_string()->size(), 3u);
}

TEST(Json, KnowsWhereEverythingStood) {
  const Value value = parsed("{\n  \"na\\u006de\": \"we\\\"b\",\n  \"ports\": [ 80,\n    {\"x\": null} ]}");
  EXPECT_EQ(value.position().line, 1u);
  const Value::Object& object = *value.as_object();
  EXPECT_EQ(object[0].position.line, 2u);
  EXPECT_EQ(object[0].position.column, 3u);
  EXPECT_EQ(object[0].value.position().column, 16u);
  EXPECT_EQ(object[1].position.line, 3u);
  const Value::List& ports = *object[1].value.as_list();
  EXPECT_EQ(ports[0].position().column, 14u);
  EXPECT_EQ(ports[1].position().line, 4u);
  EXPECT_EQ(ports[1].find("x")->position().column, 11u);
}

TEST(Json, RefusesWhatIsNotJson) {
  EXPECT_THAT(error_of("{\"a\": 1,\n \"b\": nope}"), HasSubstr("line 2"));
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\" 1}", "[1] 2", "01", "+1", "'a'", "\"a", "\"\t\"", "nul",
                           "// x", "[1 2]", "\"\\x\"", "\"\\ud800\"", "NaN", "{a: 1}"}) {
    EXPECT_THAT(error_of(text), HasSubstr("this is not JSON")) << text;
  }
  EXPECT_THAT(error_of("\"\xff\xfe\""), HasSubstr("this is not JSON"));
  EXPECT_THAT(error_of("\"\xc0\xaf\""), HasSubstr("this is not JSON"));
}

TEST(Json, BoundsDepthNodesAndBytes) {
  EXPECT_TRUE(parse_json(std::string(200, '[') + std::string(200, ']')));
  EXPECT_THAT(error_of(std::string(201, '[')), HasSubstr("line 1 column 201: more than 200 lists and objects"));
  EXPECT_THAT(error_of(std::string(1'000'000, '[')), HasSubstr("more than 200"));
  EXPECT_THAT(error_of("[1,2,3]", {.nodes = 3}), HasSubstr("more than 3 values"));
  EXPECT_THAT(error_of("[1,2,3]", {.bytes = 6}), HasSubstr("JSON of 7 bytes; at most 6"));
  EXPECT_EQ(parse_json("[1,2,3]", {.bytes = 6}).error().code(), Code::kResourceExhausted);
}

TEST(Json, WritesWithIndent) {
  EXPECT_EQ(write_json(parsed(R"({"a":[1,{}],"b":[]})"), {.indent = 2}),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
}

TEST(Value, EqualityIsThatOfJson) {
  EXPECT_EQ(parsed(R"({"a":1,"b":[null]})"), parsed(R"({"b":[null],"a":1})"));
  EXPECT_EQ(parsed(R"({"a":1,"a":2})"), parsed(R"({"a":2})"));
  EXPECT_EQ(parsed("1.50"), parsed("1.5"));
  EXPECT_EQ(parsed("1e2"), parsed("100"));
  EXPECT_FALSE(parsed("1") == parsed("2"));
  EXPECT_FALSE(parsed("9223372036854775806") == parsed("9223372036854775807"));
  EXPECT_FALSE(parsed("1") == parsed("\"1\""));
  EXPECT_FALSE(parsed(R"({"a":1})") == parsed(R"({"b":1})"));
  EXPECT_FALSE(parsed("[1,2]") == parsed("[2,1]"));
}

TEST(Value, FindsAndMakesMembers) {
  Value value = Value::object({{"a", 1}, {"a", 2}});
  EXPECT_EQ(value.find("a")->as_int64(), 2);
  EXPECT_EQ(value.find("b"), nullptr);
  value["b"] = "x";
  EXPECT_EQ(write_json(value), R"({"a":1,"a":2,"b":"x"})");
  EXPECT_EQ(Value().find("a"), nullptr);
}

}  // namespace
}  // namespace gantry::api
