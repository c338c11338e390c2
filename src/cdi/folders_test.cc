// SPDX-License-Identifier: Apache-2.0
#include "cdi/folders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cdi/spec.h"

namespace gantry::cdi {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class CdiFoldersTest : public testing::Test {
 protected:
  CdiFoldersTest() {
    fs::remove_all(root_);
    for (const char* name : {"etc", "run"}) {
      fs::create_directories(root_ / name);
      folders_.push_back(root_ / name);
    }
  }
  ~CdiFoldersTest() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) { std::ofstream(root_ / path) << text; }
  // A file with devices of kind v.com/d that set DEVICE to their name and FROM to `from`.
  void devices(const std::string& path, const std::vector<std::string>& names, const std::string& from) {
    std::string text = "cdiVersion: 0.8.0\nkind: v.com/d\ncontainerEdits: {env: [FROM=" + from + "]}\ndevices:\n";
    for (const auto& name : names) text += "- {name: " + name + ", containerEdits: {env: [DEVICE=" + name + "]}}\n";
    write(path, text);
  }
  std::vector<std::string> env(const std::vector<std::string>& names) {
    auto text = resolve(folders_, names);
    EXPECT_TRUE(text) << text.error().message();
    auto edits = text ? parse_edits(*text) : Result<Edits>(Edits());
    EXPECT_TRUE(edits) << edits.error().message();
    return edits->env;
  }
  Error failure(const std::vector<std::string>& names) {
    auto text = resolve(folders_, names);
    EXPECT_FALSE(text);
    return text ? Error(Code::kOk, "") : text.error();
  }

  const fs::path root_ = fs::path(testing::TempDir()) / ("cdi-" + std::to_string(::getpid()));
  std::vector<std::string> folders_;
};

TEST_F(CdiFoldersTest, AFileAppliesOnceAndEachDeviceItself) {
  devices("etc/a.yaml", {"one", "two", "three"}, "etc");
  EXPECT_THAT(env({"v.com/d=two", "v.com/d=one", "v.com/d=two"}), ElementsAre("FROM=etc", "DEVICE=two", "DEVICE=one"));
}

TEST_F(CdiFoldersTest, TheLaterFolderCounts) {
  devices("etc/a.yaml", {"one", "two"}, "etc");
  devices("run/b.json", {"one"}, "run");
  EXPECT_THAT(env({"v.com/d=one"}), ElementsAre("FROM=run", "DEVICE=one"));
  EXPECT_THAT(env({"v.com/d=two"}), ElementsAre("FROM=etc", "DEVICE=two"));
}

TEST_F(CdiFoldersTest, TwoFilesOfOneFolderConflictForThatDeviceAlone) {
  devices("etc/a.yaml", {"one", "two"}, "a");
  devices("etc/b.yaml", {"two"}, "b");
  EXPECT_THAT(env({"v.com/d=one"}), ElementsAre("FROM=a", "DEVICE=one"));
  auto error = failure({"v.com/d=two"});
  EXPECT_EQ(error.code(), Code::kFailedPrecondition);
  EXPECT_THAT(error.message(), AllOf(HasSubstr("v.com/d=two"), HasSubstr("a.yaml"), HasSubstr("b.yaml")));
  devices("run/c.yaml", {"two"}, "c");
  EXPECT_THAT(env({"v.com/d=two"}), ElementsAre("FROM=c", "DEVICE=two"));
}

TEST_F(CdiFoldersTest, AnUnknownDeviceIsNamedWithTheFilesThatWereNotRead) {
  devices("etc/a.yaml", {"one"}, "etc");
  write("run/broken.yaml", "kind: [");
  write("run/ignored.txt", "kind: [");
  fs::create_directory(root_ / "run/folder.json");
  EXPECT_THAT(env({"v.com/d=one"}), ElementsAre("FROM=etc", "DEVICE=one"));
  auto error = failure({"v.com/d=one", "v.com/d=other"});
  EXPECT_TRUE(error.is_not_found());
  EXPECT_THAT(error.message(),
              AllOf(HasSubstr("\"v.com/d=other\""), HasSubstr("broken.yaml: line 2"),
                    HasSubstr("folder.json: is not a regular file"), testing::Not(HasSubstr("ignored"))));
}

TEST_F(CdiFoldersTest, WhatIsNotSupportedIsRefusedByNameForThoseWhoAskForIt) {
  write("etc/a.yaml",
        "cdiVersion: 0.8.0\nkind: v.com/d\ndevices:\n- {name: one, containerEdits: {env: [A=1]}}\n"
        "- {name: rdt, containerEdits: {intelRdt: {closID: a}}}\n");
  EXPECT_THAT(env({"v.com/d=one"}), ElementsAre("A=1"));
  auto error = failure({"v.com/d=rdt"});
  EXPECT_EQ(error.code(), Code::kFailedPrecondition);
  EXPECT_THAT(error.message(), AllOf(HasSubstr("v.com/d=rdt"), HasSubstr("containerEdits.intelRdt")));
}

TEST_F(CdiFoldersTest, FoldersThatAreNotThereHaveNothing) {
  folders_ = {"/nonexistent/cdi"};
  EXPECT_THAT(failure({"v.com/d=one"}).message(), HasSubstr("/nonexistent/cdi"));
}

}  // namespace
}  // namespace gantry::cdi
