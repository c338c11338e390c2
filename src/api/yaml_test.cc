// SPDX-License-Identifier: Apache-2.0
#include "api/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/json.h"

namespace gantry::api {
namespace {

using testing::HasSubstr;

// All documents as JSON, one after the other.
std::string as_json(std::string_view text) {
  const Result<std::vector<Value>> documents = parse_yaml(text);
  if (!documents) return "error: " + documents.error().message();
  std::string json;
  for (const Value& document : *documents) json += (json.empty() ? "" : " ") + write_json(document);
  return json;
}

std::string error_of(std::string_view text, const ParseLimits& limits = {}) {
  const Result<std::vector<Value>> documents = parse_yaml(text, limits);
  return documents ? "no error" : documents.error().message();
}

// What sigs.k8s.io/yaml makes of plain scalars.
TEST(Yaml, ResolvesPlainScalarsAsKubernetesDoes) {
  const std::pair<const char*, const char*> table[] = {
      {"yes", "true"},
      {"Yes", "true"},
      {"y", "true"},
      {"on", "true"},
      {"True", "true"},
      {"no", "false"},
      {"N", "false"},
      {"off", "false"},
      {"FALSE", "false"},
      {"yEs", "\"yEs\""},
      {"~", "null"},
      {"null", "null"},
      {"Null", "null"},
      {"", "null"},
      {"nULL", "\"nULL\""},
      {"0", "0"},
      {"-0", "0"},
      {"17", "17"},
      {"+17", "17"},
      {"-17", "-17"},
      {"0644", "420"},
      {"0o17", "15"},
      {"0x1F", "31"},
      {"-0x1F", "-31"},
      {"0b101", "5"},
      {"-0b101", "-5"},
      {"08", "8"},
      {"0o8", "\"0o8\""},
      {"1_000", "1000"},
      {"_1", "\"_1\""},
      {"1e3", "1000"},
      {"1.5", "1.5"},
      {".5", "0.5"},
      {"1.", "1"},
      {"1.0", "1"},
      {"-1.25", "-1.25"},
      {"+.5", "0.5"},
      {"1e", "\"1e\""},
      {"1.2.3", "\"1.2.3\""},
      {"+", "\"+\""},
      {".", "\".\""},
      {"...x", "\"...x\""},
      {"2001-01-01", "\"2001-01-01\""},
      {"2001-01-01T00:00:00Z", "\"2001-01-01T00:00:00Z\""},
      {"12:30:45", "\"12:30:45\""},
      {"9223372036854775807", "9223372036854775807"},
      {"9223372036854775808", "9223372036854775808"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"18446744073709551615", "18446744073709551615"},
      {"100m", "\"100m\""},
      {"1Gi", "\"1Gi\""},
      {"my-app:1.0", "\"my-app:1.0\""},
      {"'yes'", "\"yes\""},
      {"\"017\"", "\"017\""},
      {"!!str 017", "\"017\""},
      {"!!int 017", "15"},
      {"!!float 1", "1"},
      {"!!bool yes", "true"},
      {"<<", "\"<<\""},
  };
  for (const auto& [text, json] : table) {
    EXPECT_EQ(as_json(std::string("a: ") + text), std::string("{\"a\":") + json + "}") << text;
  }
}

TEST(Yaml, ReadsNothingWhereverThatIs) {
  auto none = parse_yaml(std::string_view());
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST(Yaml, ReadsLargeNumbersAsNumbers) {
  EXPECT_EQ(as_json("a: 1e21"), "{\"a\":1e+21}");
  EXPECT_EQ(as_json("a: 100000000000000000000"), "{\"a\":1e+20}");
  EXPECT_EQ(as_json("a: 1e400"), "{\"a\":\"1e400\"}");
}

TEST(Yaml, RefusesWhatJsonCanNotHold) {
  for (const char* text : {"a: .nan", "a: .inf", "- -.Inf", "a: !!binary aGk=", "a: !custom x", "a: !!int x",
                           "? [1]\n: 2", "~: 1", "1.10: x", "a: !!set {x}"}) {
    EXPECT_THAT(error_of(text), HasSubstr("line 1")) << text;
  }
  EXPECT_THAT(error_of("a: 1\n1.10: x"), HasSubstr("line 2 column 1: a key can not be number 1.1; put it in quotes"));
}

TEST(Yaml, MakesStringsOfKeys) { EXPECT_EQ(as_json("1: a\nyes: b\n'2': c"), R"({"1":"a","true":"b","2":"c"})"); }

TEST(Yaml, ReadsSeveralDocuments) {
  EXPECT_EQ(as_json("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n"), R"({"a":1} {"b":2})");
  EXPECT_EQ(as_json(""), "");
  EXPECT_EQ(as_json("# only a comment\n"), "");
}

TEST(Yaml, KeepsDuplicatesAndPositions) {
  const auto documents = parse_yaml("a: 1\nb:\n  - x\n  - y: z\na: 2\n");
  ASSERT_TRUE(documents);
  const Value::Object& object = *documents->front().as_object();
  ASSERT_EQ(object.size(), 3u);
  EXPECT_EQ(object[2].key, "a");
  EXPECT_EQ(object[2].position.line, 5u);
  const Value::List& list = *object[1].value.as_list();
  EXPECT_EQ(list[1].position().line, 4u);
  EXPECT_EQ(list[1].as_object()->front().position.column, 5u);
}

TEST(Yaml, ExpandsAnchorsAndMerges) {
  EXPECT_EQ(as_json("a: &x {p: 1, q: 2}\nb: *x\nc:\n  q: 3\n  <<: *x\nd:\n  <<: [{p: 9}, *x]\n  r: 4\n"),
            R"({"a":{"p":1,"q":2},"b":{"p":1,"q":2},"c":{"q":3,"p":1},"d":{"r":4,"p":9,"q":2}})");
  EXPECT_THAT(error_of("a: *nowhere"), HasSubstr("line 1 column 4: there is no anchor \"nowhere\""));
  EXPECT_THAT(error_of("a: &x [*x]"), HasSubstr("contains itself"));
  EXPECT_THAT(error_of("a:\n  <<: 3"), HasSubstr("<< expects an object"));
  EXPECT_THAT(error_of("a: &x 1\n---\nb: *x"), HasSubstr("no anchor"));
}

TEST(Yaml, BoundsWhatAliasesMultiply) {
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string one = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) laughs += (j > 0 ? ", " : "") + one;
    laughs += "]\n";
  }
  EXPECT_THAT(error_of(laughs), HasSubstr("values, aliases expanded"));
  std::string strings = "a: &a \"" + std::string(100'000, 'x') + "\"\nb: [";
  for (int i = 0; i < 1000; ++i) strings += "*a, ";
  EXPECT_THAT(error_of(strings + "]"), HasSubstr("bytes of text, aliases expanded"));
  std::string deep = "a0: &a0 [[[[[[[[[[]]]]]]]]]]\n";
  for (int i = 1; i < 30; ++i) {
    deep +=
        "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [[[[[[[[[[*a" + std::to_string(i - 1) + "]]]]]]]]]]\n";
  }
  EXPECT_THAT(error_of(deep), HasSubstr("more than 200 lists and objects"));
}

TEST(Yaml, BoundsDepthNodesAndBytes) {
  EXPECT_THAT(error_of(std::string(100'000, '[')), HasSubstr("more than 200 lists and objects"));
  std::string indented;
  for (int i = 0; i < 300; ++i) indented += std::string(i, ' ') + "a:\n";
  EXPECT_THAT(error_of(indented), HasSubstr("more than 200 lists and objects"));
  EXPECT_THAT(error_of("[1, 2, 3]", {.nodes = 3}), HasSubstr("more than 3 values"));
  EXPECT_THAT(error_of("[1, 2, 3]", {.bytes = 3}), HasSubstr("YAML of 9 bytes; at most 3"));
}

TEST(Yaml, SaysWhereItIsBroken) {
  EXPECT_THAT(error_of("a:\n\tb: 1"), HasSubstr("line 2 column 1"));
  EXPECT_THAT(error_of("a:\n\tb: 1"), HasSubstr("a tab can not indent YAML"));
  EXPECT_THAT(error_of("a: [1, 2"), HasSubstr("this is not YAML"));
  EXPECT_THAT(error_of("a: 1\n b: 2"), HasSubstr("line 2"));
  EXPECT_THAT(error_of("a: 1\nb: \xff\xfe"), HasSubstr("line 2 column 4: this is not YAML"));
  EXPECT_THAT(error_of(std::string_view("a: \0b", 5)), HasSubstr("this is not YAML"));
  EXPECT_THAT(error_of("\xff\xfe"
                       "a\0"),
              HasSubstr("UTF-8"));
}

TEST(Yaml, TellsJsonFromYaml) {
  auto documents = parse_documents(" \n{\"a\":\t017}");
  EXPECT_FALSE(documents);  // JSON has no octal
  documents = parse_documents("{\"a\":\t17}");
  ASSERT_TRUE(documents);
  EXPECT_EQ(write_json(documents->front()), R"({"a":17})");
  documents = parse_documents("a: 017");
  ASSERT_TRUE(documents);
  EXPECT_EQ(write_json(documents->front()), R"({"a":15})");
}

}  // namespace
}  // namespace gantry::api
