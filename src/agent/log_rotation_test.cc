// SPDX-License-Identifier: Apache-2.0
#include "agent/log_rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "agent/fake_runtime.h"
#include "agent/log_files.h"

namespace gantry::agent {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class LogRotationTest : public testing::Test {
 protected:
  LogRotationTest() {
    char path[] = "/tmp/gantry-rotation-XXXXXX";
    root_ = ::mkdtemp(path);
    folder_ = root_ + "/default_a_uid/web";
    fs::create_directories(folder_);
    log_ = folder_ + "/0.log";
    runtime_.logs["c1"] = log_;
  }
  ~LogRotationTest() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ + "/" + name) << text; }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder_)) all.push_back(entry.path().filename());
    std::ranges::sort(all);
    return all;
  }
  std::string text_of(const std::string& name) const {
    gzFile file = ::gzopen((folder_ + "/" + name).c_str(), "rb");  // reads plain files, too
    char text[64];
    const int size = ::gzread(file, text, sizeof text);
    ::gzclose(file);
    return {text, static_cast<std::size_t>(std::max(size, 0))};
  }
  // A rotation's compression is over when it has been destroyed.
  void look(const std::string& stamp, LogLimits limits = {.max_size = 4, .max_files = 3}) {
    LogRotation rotation(loop_, runtime_, root_, limits, [this] { return std::vector<WrittenLog>{{"c1", log_}}; });
    loop_.spawn(run(rotation, stamp));
    loop_.run();
  }
  Task<> run(LogRotation& rotation, std::string stamp) {
    co_await rotation.look(std::move(stamp));
    loop_.stop();
  }

  Loop loop_;
  FakeRuntime runtime_{loop_};
  std::string root_, folder_, log_;
};

TEST_F(LogRotationTest, ALogBeyondItsLimitIsSetAsideAndTheRuntimeOpensANewOne) {
  write("0.log", "abc");
  look("20260101-000000");
  EXPECT_THAT(names(), ElementsAre("0.log"));
  write("0.log", "abcd");
  look("20260101-000001");
  EXPECT_THAT(names(), ElementsAre("0.log", "0.log.20260101-000001"));
  EXPECT_EQ(text_of("0.log"), "new");
  EXPECT_EQ(text_of("0.log.20260101-000001"), "abcd");
  EXPECT_EQ(runtime_.count("reopen c1"), 1);
}

TEST_F(LogRotationTest, OlderOnesAreCompressedAndTheOldestGo) {
  write("0.log.20260101-000001", "oldest");
  write("0.log.20260101-000002", "older");
  write("0.log.20260101-000002.tmp", "half");
  write("1.log.20260101-000001", "another's");
  ASSERT_TRUE(compress_older_logs(root_, log_));
  EXPECT_THAT(names(), ElementsAre("0.log.20260101-000001.gz", "0.log.20260101-000002", "1.log.20260101-000001"));
  EXPECT_EQ(text_of("0.log.20260101-000001.gz"), "oldest");
  write("0.log", "new one");
  auto aside = set_log_aside(root_, log_, "20260101-000003", 3);
  ASSERT_TRUE(aside) << aside.error().message();
  EXPECT_THAT(names(), ElementsAre("0.log.20260101-000002", "0.log.20260101-000003", "1.log.20260101-000001"));
}

TEST_F(LogRotationTest, WithoutANewLogTheOldOneIsPutBack) {
  write("0.log", "abcd");
  runtime_.failures.emplace("reopen", Error(Code::kUnavailable, "no"));
  look("20260101-000001");
  EXPECT_THAT(names(), ElementsAre("0.log"));
  EXPECT_EQ(text_of("0.log"), "abcd");
}

TEST_F(LogRotationTest, ARotationThatWasCutShortIsPutRight) {
  write("0.log.20260101-000001", "abcd");
  look("20260101-000002");
  EXPECT_THAT(names(), ElementsAre("0.log", "0.log.20260101-000001"));
}

TEST_F(LogRotationTest, NoLinkLeadsOutOfTheFolder) {
  std::ofstream(root_ + "/secret") << "secret";
  fs::create_symlink(root_ + "/secret", log_);
  EXPECT_FALSE(log_size(root_, log_));
  EXPECT_FALSE(set_log_aside(root_, log_, "20260101-000001", 3));
  EXPECT_FALSE(log_size(root_, root_ + "/../x/y"));
  fs::remove(log_);
  fs::create_symlink(root_ + "/secret", folder_ + "/0.log.20260101-000001");
  write("0.log.20260101-000002", "plain");
  EXPECT_FALSE(compress_older_logs(root_, log_));
  EXPECT_TRUE(fs::exists(root_ + "/secret"));
}

}  // namespace
}  // namespace gantry::agent
