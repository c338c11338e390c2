// SPDX-License-Identifier: Apache-2.0
#include "api/text.h"

#include <gtest/gtest.h>

#include "api/names.h"
#include "api/problem.h"
#include "api/time.h"
#include "api/yaml.h"

namespace gantry::api {
namespace {

TEST(Text, Joins) { EXPECT_EQ(cat("a", 'b', std::string("c"), 1, -2L, uint8_t{3}, std::string_view("d")), "abc1-23d"); }

TEST(Text, QuotesWhatStrangersSend) {
  EXPECT_EQ(quoted("plain"), "\"plain\"");
  EXPECT_EQ(quoted("a\"b\\c\n\x7f\xff\u00e9"), "\"a\\\"b\\\\c\\x0a\\x7f\\xff\u00e9\"");
  EXPECT_EQ(quoted("a\xc2\x9b"
                   "b\xc2\xa9"),
            "\"a\\xc2\\x9b"
            "b\xc2\xa9\"")
      << "U+009B begins a terminal's command";
  EXPECT_EQ(quoted("\u00e9\u00e9", 3), "\"\u00e9\"...");
  EXPECT_EQ(quoted(std::string(100, 'x'), 4), "\"xxxx\"...");
}

TEST(Text, KnowsUtf8) {
  for (const char* good : {"", "a", "\u00e9", "\u20ac", "\U0001f600", "\xef\xbf\xbf"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad : {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xff", "a\xc3"}) {
    EXPECT_FALSE(is_utf8(bad)) << quoted(bad);
  }
}

TEST(Text, CodesBase64) {
  for (const std::string& bytes : {std::string(), std::string("a"), std::string("ab"), std::string("abc"),
                                   std::string("\0\xff\x80", 3), std::string(100, 'z')}) {
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
  }
  EXPECT_EQ(encode_base64("ab"), "YWI=");
  EXPECT_EQ(decode_base64("YW\r\nI="), "ab");
  for (const char* bad : {"Y", "YW", "YWI", "YWI==", "=", "====", "YW=I", "Y===", "YWI=YWI=", "YW I=", "_w=="}) {
    EXPECT_FALSE(decode_base64(bad)) << bad;
  }
}

TEST(Time, ReadsAndWritesRfc3339) {
  const std::pair<const char*, int64_t> table[] = {
      {"1970-01-01T00:00:00Z", 0},
      {"2026-01-02T03:04:05Z", 1767323045},
      {"2026-01-02T03:04:05+02:00", 1767315845},
      {"2026-01-02T03:04:05-02:30", 1767332045},
      {"0001-01-01T00:00:00Z", -62135596800},
      {"9999-12-31T23:59:59Z", 253402300799},
      {"2024-02-29T00:00:00Z", 1709164800},
  };
  for (const auto& [text, seconds] : table) {
    const Result<Timestamp> time = parse_rfc3339(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(time->seconds, seconds) << text;
    if (std::string_view(text).ends_with('Z')) EXPECT_EQ(format_rfc3339(seconds), text);
  }
  EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.5Z")->nanos, 500'000'000);
  EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.000000001Z")->nanos, 1);
  EXPECT_EQ(format_rfc3339_micro({0, 1'999}), "1970-01-01T00:00:00.000001Z");
}

TEST(Time, RefusesWhatIsNone) {
  for (const char* text :
       {"", "2026", "2026-01-02", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z",
        "2026-02-30T03:04:05Z", "2025-02-29T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:60Z", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05.1234567890Z", "2026-01-02T03:04:05+2:00",
        "2026-01-02T03:04:05Zx", "-026-01-02T03:04:05Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00",
        "20260-01-02T03:04:05Z"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

TEST(Names, AreChecked) {
  EXPECT_EQ(check_dns1123_label("my-app0"), "");
  for (const char* bad : {"", "-a", "a-", "A", "a.b", "a_b", "\u00e9"}) EXPECT_NE(check_dns1123_label(bad), "") << bad;
  EXPECT_NE(check_dns1123_label(std::string(64, 'a')), "");
  EXPECT_EQ(check_dns1123_subdomain("a.b-c.d"), "");
  for (const char* bad : {"", "a..b", ".a", "a.", "a.-b", "A.b"}) EXPECT_NE(check_dns1123_subdomain(bad), "") << bad;
  EXPECT_EQ(check_port_name("http-2"), "");
  for (const char* bad : {"80", "a--b", "abcdefghijklmnop", "-a"}) EXPECT_NE(check_port_name(bad), "") << bad;
  EXPECT_EQ(check_qualified_name("app.kubernetes.io/Name_1"), "");
  for (const char* bad : {"", "/a", "a/", "A/b/c", "a b", "-a", "Caps.io/x"})
    EXPECT_NE(check_qualified_name(bad), "") << bad;
  EXPECT_EQ(check_label_value(""), "");
  EXPECT_NE(check_label_value("a/b"), "");
  EXPECT_EQ(check_env_name("A.b c"), "");
  EXPECT_NE(check_env_name("A=b"), "");
  EXPECT_NE(check_env_name(""), "");
  EXPECT_NE(check_config_key(".."), "");
  EXPECT_EQ(check_config_key("..a").empty(), false);
  EXPECT_EQ(check_config_key(".profile"), "");
  EXPECT_EQ(check_ip("::1"), "");
  for (const char* bad : {"", "1.2.3", "1.2.3.4/8", "fe80::1%eth0", "1.2.3.04x"}) EXPECT_NE(check_ip(bad), "") << bad;
}

TEST(Problem, ReadsAsOneSentence) {
  const FieldProblem problem{FieldProblem::Kind::kUnknownField, "spec.a", "unknown field", {12, 3}};
  EXPECT_EQ(to_string(problem), "spec.a: line 12: unknown field");
  EXPECT_EQ(summarize({problem, problem, problem}, 2),
            "spec.a: line 12: unknown field; spec.a: line 12: unknown field; and 1 more");
  EXPECT_TRUE(to_status({}));
  EXPECT_TRUE(to_status({problem}).error().is_invalid());
}

TEST(Problem, IsLocatedInTheText) {
  const auto documents = parse_yaml("spec:\n  containers:\n  - name: a\n  - name: b\n    labels:\n      x.y/z: w\n");
  ASSERT_TRUE(documents);
  const Value& document = documents->front();
  EXPECT_EQ(locate(document, "spec.containers[1].name").line, 4u);
  EXPECT_EQ(locate(document, "spec.containers[1].labels[x.y/z]").line, 6u);
  EXPECT_EQ(locate(document, "spec.containers[1].image").line, 4u);
  EXPECT_EQ(locate(document, "spec.containers[9]").line, 2u);
  EXPECT_EQ(locate(document, "").line, 1u);
  EXPECT_EQ(locate(document, "spec[").line, 1u);
}

}  // namespace
}  // namespace gantry::api
