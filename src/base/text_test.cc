// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Text, Quoted) {
  EXPECT_EQ(quoted("a \"b\" \\ \x7f\n"), R"("a \"b\" \\ \x7f\x0a")");
  EXPECT_EQ(quoted("abcdef", 3), R"("abc...")");
}

TEST(Text, WhatIsUtf8StaysAsItIs) {
  for (const char* text : {"", "plain\n\ttext", "\u00e9\u20ac\U0001F600",
                           "\u00a0\u07ff\u0800\uffff\U00010000\U0010ffff", "\xed\x9f\xbf\xee\x80\x80"}) {
    EXPECT_EQ(as_utf8(text), text);
  }
}

TEST(Text, WhatATerminalObeysIsEscaped) {
  EXPECT_EQ(as_utf8(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(as_utf8("\x1b]0;title\x07\b\r\x7f"), "\\x1b]0;title\\x07\\x08\\x0d\\x7f");
  EXPECT_EQ(as_utf8("\u0080\u009b2J\u009f\u00a0"), "\\xc2\\x80\\xc2\\x9b2J\\xc2\\x9f\u00a0");
}

TEST(Text, WhatIsNotUtf8IsEscaped) {
  EXPECT_EQ(as_utf8("a\x80z"), "a\\x80z");
  EXPECT_EQ(as_utf8("\xc3"), "\\xc3");           // cut in the middle
  EXPECT_EQ(as_utf8("\xe2\x82"), "\\xe2\\x82");  // likewise
  EXPECT_EQ(as_utf8("\xc3(\xc3\xa9"), "\\xc3(\u00e9");
  EXPECT_EQ(as_utf8("\xc0\x80"), "\\xc0\\x80");                    // overlong
  EXPECT_EQ(as_utf8("\xe0\x9f\xbf"), "\\xe0\\x9f\\xbf");           // overlong
  EXPECT_EQ(as_utf8("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(as_utf8("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // above the last character
  EXPECT_EQ(as_utf8("\xff\xfe"), "\\xff\\xfe");
}

TEST(Text, WhatIsTooLongIsCutBetweenCharacters) {
  EXPECT_EQ(as_utf8("abcdef", 6), "abcdef");
  EXPECT_EQ(as_utf8("abcdefg", 6), "abc...");
  EXPECT_EQ(as_utf8("\u00e9\u00e9\u00e9\u00e9", 8), "\u00e9\u00e9\u00e9\u00e9");
  EXPECT_EQ(as_utf8("\u00e9\u00e9\u00e9\u00e9\u00e9", 8), "\u00e9\u00e9...");
  EXPECT_EQ(as_utf8("\xff\xff\xff", 8), "\\xff...");
  EXPECT_EQ(as_utf8("abc", 2), "..");
  EXPECT_EQ(as_utf8("abc", 0), "");
  std::string text;
  for (int i = 0; i < 600; ++i) text += "\u00e9";
  for (std::size_t most = 0; most < 40; ++most) {
    EXPECT_LE(as_utf8(text, most).size(), most);
    EXPECT_EQ(as_utf8(as_utf8(text, most), 4096), as_utf8(text, most));
  }
}

}  // namespace
}  // namespace gantry
