// SPDX-License-Identifier: Apache-2.0
#include "api/label_selector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "api/field_selector.h"
#include "api/json.h"

namespace gantry::api {
namespace {

using testing::HasSubstr;

std::string canonical(std::string_view text) {
  const Result<LabelSelector> selector = LabelSelector::parse(text);
  return selector ? selector->to_string() : selector.error().message();
}

bool selects(std::string_view text, const std::map<std::string, std::string>& labels) {
  const Result<LabelSelector> selector = LabelSelector::parse(text);
  EXPECT_TRUE(selector) << text;
  return selector && selector->matches_map(labels);
}

TEST(LabelSelector, HasACanonicalText) {
  EXPECT_EQ(canonical(""), "");
  EXPECT_EQ(canonical(" z , a = b,c!=d, e in ( y,x ,x),f notin (z), g==h,!i,j>5,k<6"),
            "a=b,c!=d,e in (x,y),f notin (z),g==h,!i,j>5,k<6,z");
  EXPECT_EQ(canonical("a="), "a=");
  EXPECT_EQ(canonical("a in (),b in (,x),c in (x,),d in (x,,y)"), "a in (),b in (,x),c in (,x),d in (,x,y)");
  EXPECT_EQ(canonical("in in (in,notin),notin"), "in in (in,notin),notin");
  EXPECT_EQ(canonical("example.com/a=b"), "example.com/a=b");
}

TEST(LabelSelector, SaysWhatItExpected) {
  EXPECT_EQ(canonical("=a"), "found '=', expected: !, identifier, or 'end of string'");
  EXPECT_EQ(canonical("a,"), "found '', expected: identifier after ','");
  EXPECT_EQ(canonical("a b"), "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
  EXPECT_EQ(canonical("a=b c"), "found 'c', expected: ',' or 'end of string'");
  EXPECT_EQ(canonical("a=="), "a==");
  EXPECT_EQ(canonical("a==="), "unable to parse requirement: found '=', expected: identifier");
  EXPECT_EQ(canonical("a in b"), "unable to parse requirement: found 'b', expected: '('");
  EXPECT_EQ(canonical("a in (b"), "unable to parse requirement: found '', expected: ',', ')' or identifier");
  EXPECT_EQ(canonical("a in (b c)"), "unable to parse requirement: found 'c', expected: ',' or ')'");
  EXPECT_EQ(canonical("!a=b"), "found '=', expected: ',' or 'end of string'");
  EXPECT_THAT(canonical("a>x"), HasSubstr("the value must be an integer"));
  EXPECT_THAT(canonical("-a"), HasSubstr("unable to parse requirement: key: Invalid value: \"-a\""));
  EXPECT_THAT(canonical("a=b:c"), HasSubstr("values[0][a]: Invalid value: \"b:c\""));
}

TEST(LabelSelector, Matches) {
  const std::map<std::string, std::string> labels = {{"app", "web"}, {"n", "7"}, {"empty", ""}};
  for (const char* text : {"", "app=web", "app in (web,db)", "app!=db", "other!=db", "other notin (x)", "app", "!other",
                           "n>6", "n<8", "empty=", "app=web,n==7"}) {
    EXPECT_TRUE(selects(text, labels)) << text;
  }
  for (const char* text : {"app=db", "app notin (web)", "other=", "other in (a)", "!app", "n>7", "app>1", "other<9"}) {
    EXPECT_FALSE(selects(text, labels)) << text;
  }
}

TEST(LabelSelector, IsReadFromAnObject) {
  const auto of = [](std::string_view text) {
    const Result<LabelSelector> selector = LabelSelector::from_value(*parse_json(text));
    if (!selector) return selector.error().message();
    return selector->selects_nothing() ? "nothing" : selector->to_string();
  };
  EXPECT_EQ(of("null"), "nothing");
  EXPECT_EQ(of("{}"), "");
  EXPECT_EQ(of(R"({"matchLabels":{"b":"c"},"matchExpressions":[{"key":"a","operator":"In","values":["y","x"]},
      {"key":"d","operator":"DoesNotExist"}]})"),
            "a in (x,y),b=c,!d");
  EXPECT_EQ(of(R"({"matchExpressions":[{"key":"a","operator":"in"}]})"),
            "\"in\" is not a valid label selector operator");
  EXPECT_THAT(of(R"({"matchExpressions":[{"key":"a","operator":"In"}]})"), HasSubstr("values set can't be empty"));
  EXPECT_THAT(of(R"({"matchExpressions":[{"key":"a","operator":"Exists","values":["b"]}]})"),
              HasSubstr("must be empty for exists"));
  EXPECT_FALSE(LabelSelector::nothing().matches(nullptr));
}

TEST(FieldSelector, ParsesMatchesAndWrites) {
  const auto allowed = [](std::string_view field) { return field == "metadata.name" || field == "spec.nodeName"; };
  const auto text = [&](std::string_view selector) {
    const Result<FieldSelector> parsed = FieldSelector::parse(selector, allowed);
    return parsed ? parsed->to_string() : parsed.error().message();
  };
  EXPECT_EQ(text(""), "");
  EXPECT_EQ(text("spec.nodeName=,metadata.name!=a"), "metadata.name!=a,spec.nodeName=");
  EXPECT_EQ(text("metadata.name==a"), "metadata.name=a");
  EXPECT_EQ(text(R"(metadata.name=a\,b\=c\\d)"), R"(metadata.name=a\,b\=c\\d)");
  EXPECT_EQ(text("metadata.name"), "invalid selector: 'metadata.name'; can't understand 'metadata.name'");
  EXPECT_EQ(text("status.phase=x"), "field label not supported: status.phase");
  EXPECT_EQ(text(R"(metadata.name=a\b)"), R"(invalid field selector: invalid escape sequence: \b)");
  EXPECT_EQ(text("metadata.name=a=b"), "invalid field selector: unescaped character in value: =");

  const Result<FieldSelector> selector = FieldSelector::parse("metadata.name=a,spec.nodeName!=n", allowed);
  ASSERT_TRUE(selector);
  EXPECT_EQ(selector->exact("metadata.name"), "a");
  EXPECT_FALSE(selector->exact("spec.nodeName"));
  EXPECT_TRUE(selector->matches([](std::string_view field) { return field == "metadata.name" ? "a" : ""; }));
  EXPECT_FALSE(selector->matches([](std::string_view field) { return field == "metadata.name" ? "a" : "n"; }));
}

}  // namespace
}  // namespace gantry::api
