// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/log_lines.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/log_file.h"

namespace gantry::agent {
namespace {

namespace fs = std::filesystem;

constexpr char kLog[] =
    "2026-01-02T03:04:05.000000001Z stdout F one\n"
    "2026-01-02T03:04:06.000000001Z stderr F two\n"
    "no line of a log\n"
    "2026-01-02T03:04:07.000000001Z stdout P thr\n"
    "2026-01-02T03:04:07.500000001Z stderr F between\n"
    "2026-01-02T03:04:08.000000001Z stdout F ee\n"
    "2026-01-02T03:04:09Z stdout F \n";

Result<LogOptions> options(std::string_view query, std::int64_t now = 1'800'000'000) {
  auto parsed = http::Query::parse(query);
  return read_log_options(*parsed, now);
}

// In pieces of `size` bytes.
std::string read(std::string_view query, std::size_t size = 1000, std::string_view log = kLog) {
  LogLines lines(*options(query));
  std::string out;
  for (std::size_t at = 0; at < log.size(); at += size) lines.feed(log.substr(at, size), out);
  return out;
}

TEST(LogLinesTest, TextsAreGivenAsTheyWereWritten) {
  EXPECT_EQ(read(""), "one\ntwo\nthrbetween\nee\n\n");
  for (std::size_t size = 1; size < 60; ++size) EXPECT_EQ(read("", size), read("")) << size;
  EXPECT_EQ(read("stream=Stdout"), "one\nthree\n\n");
  EXPECT_EQ(read("stream=Stderr"), "two\nbetween\n");
  EXPECT_EQ(read("timestamps=true&stream=Stdout"),
            "2026-01-02T03:04:05.000000001Z one\n2026-01-02T03:04:07.000000001Z three\n2026-01-02T03:04:09Z \n");
  EXPECT_EQ(read("sinceTime=2026-01-02T03:04:06.5Z"), "thrbetween\nee\n\n");
  EXPECT_EQ(read("sinceTime=2026-01-02T04:04:08%2B01:00"), "ee\n\n");
  EXPECT_EQ(read("sinceSeconds=3", 1000, kLog), "");
}

TEST(LogLinesTest, LimitBytesEndsIt) {
  EXPECT_EQ(read("limitBytes=5"), "one\nt");
  LogLines lines(*options("limitBytes=4"));
  std::string out;
  lines.feed(kLog, out);
  EXPECT_EQ(out, "one\n");
  EXPECT_TRUE(lines.is_full());
}

TEST(LogLinesTest, ALineThatIsTooLongIsLeftOut) {
  std::string log = "2026-01-02T03:04:05Z stdout F " + std::string(LogLines::kMaxLine, 'x') + "\n" + kLog;
  EXPECT_EQ(read("", 4096, log), read(""));
  EXPECT_EQ(read("", log.size(), log), read(""));
}

TEST(LogLinesTest, OptionsThatMakeNoSenseAreNamed) {
  for (const char* query :
       {"tailLines=-1", "tailLines=x", "limitBytes=0", "sinceSeconds=0", "follow=perhaps", "sinceTime=yesterday",
        "sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z", "stream=stdout", "stream=Stdout&tailLines=1"}) {
    EXPECT_FALSE(options(query)) << query;
  }
  auto given = options("follow=true&previous=1&tailLines=0&limitBytes=7&sinceSeconds=60", 100);
  ASSERT_TRUE(given);
  EXPECT_TRUE(given->follow && given->previous && !given->timestamps);
  EXPECT_EQ(given->tail_lines, 0U);
  EXPECT_EQ(given->limit_bytes, 7U);
  EXPECT_EQ(given->since, (api::Timestamp{40, 0}));
}

class LogFileTest : public testing::Test {
 protected:
  LogFileTest() {
    char path[] = "/tmp/gantry-log-XXXXXX";
    root_ = ::mkdtemp(path);
    fs::create_directories(root_ + "/pod/web");
  }
  ~LogFileTest() override { fs::remove_all(root_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(root_ + "/" + name) << text; }
  std::string tail(const std::string& text, std::uint64_t lines) {
    write("pod/web/0.log", text);
    auto file = open_log(root_, root_ + "/pod/web/0.log");
    EXPECT_TRUE(file);
    auto at = find_tail(file->fd, lines);
    EXPECT_TRUE(at);
    return text.substr(*at);
  }
  std::string root_;
};

TEST_F(LogFileTest, TheTailIsSoManyLines) {
  EXPECT_EQ(tail("a\nb\nc\n", 2), "b\nc\n");
  EXPECT_EQ(tail("a\nb\nc", 2), "b\nc");
  EXPECT_EQ(tail("a\nb\nc\n", 3), "a\nb\nc\n");
  EXPECT_EQ(tail("a\nb\nc\n", 9), "a\nb\nc\n");
  EXPECT_EQ(tail("a\nb\nc\n", 0), "");
  EXPECT_EQ(tail("", 3), "");
  EXPECT_EQ(tail("\n\n\n", 1), "\n");
  std::string large;
  for (int i = 0; i < 50'000; ++i) large += "line " + std::to_string(i) + "\n";
  EXPECT_EQ(tail(large, 1), "line 49999\n");
  EXPECT_EQ(tail(large, 49'999), large.substr(7));
}

TEST_F(LogFileTest, NothingLeadsOutOfTheLogs) {
  write("pod/web/0.log", "x\n");
  EXPECT_TRUE(open_log(root_, root_ + "/pod/web/0.log"));
  auto gone = open_log(root_, root_ + "/pod/web/1.log");
  ASSERT_FALSE(gone);
  EXPECT_TRUE(gone.error().is_not_found());
  EXPECT_FALSE(open_log(root_, "/etc/passwd"));
  EXPECT_FALSE(open_log(root_, root_ + "/../../etc/passwd"));
  EXPECT_FALSE(open_log(root_, root_ + "/pod/../../../etc/passwd"));
  EXPECT_FALSE(open_log(root_, root_ + "/pod/web/"));
  fs::create_symlink("/etc/passwd", root_ + "/pod/web/2.log");
  EXPECT_FALSE(open_log(root_, root_ + "/pod/web/2.log"));
  fs::create_directory_symlink("/etc", root_ + "/pod/etc");
  EXPECT_FALSE(open_log(root_, root_ + "/pod/etc/passwd"));
  fs::create_directory(root_ + "/pod/web/3.log");
  EXPECT_FALSE(open_log(root_, root_ + "/pod/web/3.log"));
}

}  // namespace
}  // namespace gantry::agent
