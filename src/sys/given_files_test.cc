// SPDX-License-Identifier: Apache-2.0
#include "sys/given_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "sys/file.h"

namespace gantry::sys {
namespace {

class GivenFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/gantry-given-files-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    name_ = path + 5;
    dir_ = *open_dir(kCwd, path);
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(*open_dir(kCwd, "/tmp"), name_.c_str())); }

  void put(const char* name, std::string_view bytes) {
    ASSERT_TRUE(write_all(*openat(dir_, name, O_CREAT | O_WRONLY, 0600), bytes));
  }

  std::string name_;
  DirFd dir_;
};

TEST_F(GivenFilesTest, ReadsWhatIsAFileAndRefusesTheRest) {
  put("f", "text");
  EXPECT_EQ(*read_regular(*openat(dir_, "f", O_RDONLY), 4), "text");
  EXPECT_EQ(read_regular(*openat(dir_, "f", O_RDONLY), 3).error().code(), Code::kResourceExhausted);
  ASSERT_TRUE(mknodat(dir_, "fifo", S_IFIFO | 0600, 0));
  for (const char* name : {"fifo", "."}) {
    auto text = read_regular(*openat(dir_, name, O_RDONLY | O_NONBLOCK), 4);
    ASSERT_FALSE(text) << name;
    EXPECT_EQ(text.error().message(), "is not a regular file");
  }
}

TEST_F(GivenFilesTest, WhatIsNamedIsReadByLinksAndRefusedByName) {
  put("f", "text");
  ASSERT_TRUE(symlinkat("f", dir_, "link"));
  ASSERT_TRUE(mknodat(dir_, "fifo", S_IFIFO | 0600, 0));
  const std::string folder = "/tmp/" + name_;
  EXPECT_EQ(*read_given(folder + "/link", 4), "text");
  EXPECT_EQ(read_given(folder + "/fifo", 4).error().message(), folder + "/fifo: is not a regular file");
  EXPECT_EQ(read_given(folder, 4).error().message(), folder + ": is not a regular file");
  EXPECT_TRUE(read_given(folder + "/none", 4).error().is_not_found());
}

TEST_F(GivenFilesTest, ListsWhatIsMeantInOrderAndCountsNothingElse) {
  for (const char* name : {"b.json", "a.yaml", "c.txt", "d.yaml"}) put(name, "");
  auto names = list_ending(dir_, {".json", ".yaml"}, 3, "things");
  ASSERT_TRUE(names) << names.error().message();
  EXPECT_EQ(*names, (std::vector<std::string>{"a.yaml", "b.json", "d.yaml"}));
  EXPECT_EQ(list_ending(dir_, {".json", ".yaml"}, 2, "things").error().message(), "holds more than 2 things");
}

}  // namespace
}  // namespace gantry::sys
