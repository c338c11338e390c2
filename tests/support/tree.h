// SPDX-License-Identifier: Apache-2.0
// A folder of files written as a literal, which stands for a cgroup, a /proc or a /sys in unit tests, and is read back
// whole:
//   Tree tree{{"memory.max", ""}, {"child/cpu.stat", "usage_usec 1\n"}};
//   ... code that works on tree.dir() ...
//   EXPECT_EQ(tree.contents(), (Tree::Files{{"memory.max", "4096"}, ...}));
// A file that the code made shows up, too. Under /tmp; removed with the object. Header only: unit tests include it and
// link gantry_sys.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <initializer_list>
#include <map>
#include <string>
#include <utility>

#include "base/owned_fd.h"
#include "sys/file.h"

namespace gantry::test {

class Tree {
 public:
  using Files = std::map<std::string, std::string>;

  // Paths with slashes make folders; one that ends with a slash is an empty folder.
  Tree(std::initializer_list<std::pair<const char*, const char*>> files = {}) {
    char path[] = "/tmp/gantry-tree-XXXXXX";
    if (::mkdtemp(path) == nullptr) ADD_FAILURE() << "mkdtemp " << path;
    path_ = path;
    dir_ = open();
    for (const auto& [name, text] : files) put(name, text);
  }
  ~Tree() { EXPECT_TRUE(sys::remove_tree(sys::kCwd, path_.c_str()).has_value()) << path_; }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  const std::string& path() const { return path_; }
  FdRef dir() const { return dir_; }
  // Another descriptor of the folder, to give away. Readable, not O_PATH.
  DirFd open() const {
    auto fd = sys::openat(sys::kCwd, path_.c_str(), O_RDONLY | O_DIRECTORY);
    EXPECT_TRUE(fd.has_value()) << path_;
    return fd ? DirFd(std::move(*fd)) : DirFd();
  }

  void put(const std::string& name, std::string_view text) const {
    for (std::size_t slash = name.find('/'); slash != name.npos; slash = name.find('/', slash + 1)) {
      (void)sys::mkdirat(dir_, name.substr(0, slash).c_str(), 0755);
    }
    if (name.ends_with('/')) return;
    auto fd = sys::openat(dir_, name.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0644);
    ASSERT_TRUE(fd.has_value()) << name;
    ASSERT_TRUE(sys::write_all(*fd, text).has_value()) << name;
  }

  // Every regular file beneath, by its path.
  Files contents() const {
    Files files;
    collect(dir_, "", files);
    return files;
  }
  std::string at(const std::string& name) const {
    auto text = sys::read_file(dir_, name.c_str(), 1U << 20);
    EXPECT_TRUE(text.has_value()) << name;
    return text ? *text : std::string();
  }

 private:
  static void collect(FdRef dir, const std::string& prefix, Files& files) {
    auto names = sys::list_dir(dir);
    ASSERT_TRUE(names.has_value());
    for (const std::string& name : *names) {
      auto folder = sys::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (folder) {
        collect(*folder, prefix + name + "/", files);
        continue;
      }
      auto text = sys::read_file(dir, name.c_str(), 1U << 20);
      ASSERT_TRUE(text.has_value()) << prefix << name;
      files[prefix + name] = *text;
    }
  }

  std::string path_;
  DirFd dir_;
};

}  // namespace gantry::test
