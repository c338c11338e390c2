// SPDX-License-Identifier: Apache-2.0
#include "shim/log_line.h"

#include <gtest/gtest.h>

namespace gantry::shim {
namespace {

constexpr std::int64_t kTime = 1'475'712'429'669'794'202;  // 2016-10-06T00:07:09.669794202Z

TEST(LogLineTest, ALineIsOneFullRecord) {
  LogStream stream("stdout");
  std::string out;
  stream.add("hello\n", kTime, out);
  EXPECT_EQ(out, "2016-10-06T00:07:09.669794202Z stdout F hello\n");
}

TEST(LogLineTest, PiecesOfALineAreJoinedWhateverTheReads) {
  LogStream stream("stderr");
  std::string out;
  for (char c : std::string("ab\n\ncd")) stream.add(std::string(1, c), 0, out);
  EXPECT_EQ(out, "1970-01-01T00:00:00.000000000Z stderr F ab\n1970-01-01T00:00:00.000000000Z stderr F \n");
  stream.finish(0, out);
  EXPECT_TRUE(out.ends_with("stderr P cd\n"));
}

TEST(LogLineTest, LongLinesAreCutAndNoByteIsLost) {
  for (std::size_t size : {kMaxLine - 1, kMaxLine, kMaxLine + 1, 3 * kMaxLine, 3 * kMaxLine + 7}) {
    for (std::size_t step : {std::size_t{1}, std::size_t{1000}, kMaxLine, size + 1}) {
      LogStream stream("stdout");
      std::string line;
      for (std::size_t i = 0; i < size; ++i) line += static_cast<char>('a' + i % 26);
      std::string input = line + "\n";
      std::string out;
      for (std::size_t at = 0; at < input.size(); at += step)
        stream.add(std::string_view(input).substr(at, step), 0, out);
      std::string joined;
      std::size_t pieces = 0;
      bool closed = false;
      for (std::size_t at = 0; at < out.size();) {
        std::size_t end = out.find('\n', at);
        std::string record = out.substr(at, end - at);
        EXPECT_FALSE(closed);
        std::size_t content = std::string("1970-01-01T00:00:00.000000000Z stdout F ").size();
        closed = record[content - 2] == 'F';
        joined += record.substr(content);
        EXPECT_LE(record.size() - content, kMaxLine);
        ++pieces;
        at = end + 1;
      }
      EXPECT_TRUE(closed);
      EXPECT_EQ(joined, line);
      EXPECT_EQ(pieces, (size + kMaxLine - 1) / kMaxLine);
    }
  }
}

}  // namespace
}  // namespace gantry::shim
