// SPDX-License-Identifier: Apache-2.0
// What the node tests of images share: a fixture with a folder to unpack into, a store, and a canary beside them that
// must come through every test untouched. Included by one .cc a program: it makes the program serve as its own unpack
// worker.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "images/store.h"
#include "images/unpack_worker.h"
#include "sys/file.h"
#include "sys/xattr.h"
#include "tests/support/image_builder.h"
#include "tests/support/world.h"

namespace gantry::images {

using test::Layout;
using test::Tar;

namespace fs = std::filesystem;

// A program's main() sends the worker's command line to unpack_worker_main() first of all. This program's main() is the
// world's, so it is done before that.
__attribute__((constructor)) void serve_as_worker(int argc, char** argv, char**) {
  if (argc > 1 && std::string_view(argv[1]) == kUnpackWorkerCommand) std::exit(unpack_worker_main(argc, argv));
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GANTRY_TEST_SANITIZED 1
#endif
#endif

inline UnpackOptions test_options() {
  UnpackOptions options;
  options.patience = options.deadline = std::chrono::seconds(60);
#ifdef GANTRY_TEST_SANITIZED
  options.limits.memory_bytes = 0;  // the sanitizer's shadow alone takes terabytes
#endif
  return options;
}

inline OwnFd memory_file(std::string_view bytes) {
  OwnFd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_TRUE(sys::write_all(fd, bytes));
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

inline std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline struct stat info_of(const fs::path& path) {
  struct stat info{};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
  return info;
}

inline bool is_whiteout(const fs::path& path) {
  struct stat info = info_of(path);
  return S_ISCHR(info.st_mode) && info.st_rdev == 0;
}

inline bool is_opaque(const fs::path& path) {
  auto folder = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY);
  auto value = sys::fgetxattr(*folder, "trusted.overlay.opaque");
  return value && *value == "y";
}

// A folder of its own on /mnt for each test, with a canary beside what is unpacked into.
class ImagesTest : public ::testing::Test {
 protected:
  ImagesTest() {
    static int number = 0;
    root_ = "/mnt/t" + std::to_string(number++);
    fs::create_directories(root_ / "layer");
    fs::create_directories(root_ / "canary");
    std::ofstream(root_ / "canary/file") << "untouched";
    ::chmod((root_ / "canary/file").c_str(), 0600);
    fds_before_ = test::count_open_fds();
  }
  ~ImagesTest() override {
    store_.reset();
    EXPECT_EQ(test::count_open_fds(), fds_before_) << "descriptors leaked";
    EXPECT_EQ(slurp(root_ / "canary/file"), "untouched");
    EXPECT_EQ(info_of(root_ / "canary/file").st_mode & 07777, 0600U);
    EXPECT_EQ(std::distance(fs::directory_iterator(root_ / "canary"), {}), 1);
    EXPECT_FALSE(fs::exists("/escaped"));
    EXPECT_FALSE(fs::exists("/mnt/escaped"));
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }

  fs::path layer(const std::string& path = "") const { return root_ / "layer" / path; }

  Result<Unpacked> unpack_bytes(std::string_view bytes, const UnpackOptions& options = test_options(),
                                UnpackKind kind = UnpackKind::kLayer) {
    OwnFd source = memory_file(bytes);
    auto folder = sys::openat(sys::kCwd, layer().c_str(), O_RDONLY | O_DIRECTORY);
    return unpack(source, *folder, kind, options);
  }
  std::string refusal(std::string_view bytes, const UnpackOptions& options = test_options()) {
    auto unpacked = unpack_bytes(bytes, options);
    return unpacked ? "it was taken" : unpacked.error().message();
  }

  ImageStore& store() {
    if (!store_) {
      auto opened = ImageStore::open((root_ / "data").string(), StoreOptions{test_options()});
      EXPECT_TRUE(opened) << opened.error().message();
      store_ = std::move(*opened);
    }
    return *store_;
  }
  void reopen() {
    store_.reset();
    store();
  }
  Result<std::vector<Image>> load(const std::string& archive, std::optional<std::string> name = std::nullopt) {
    OwnFd source = memory_file(archive);
    return store().load_archive(source, name);
  }
  std::string load_refusal(Layout& layout) {
    auto loaded = load(layout.archive());
    return loaded ? "it was taken" : loaded.error().message();
  }
  std::size_t count(const std::string& folder) const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(root_ / "data/store" / folder), {}));
  }

  fs::path root_;
  std::unique_ptr<ImageStore> store_;
  std::size_t fds_before_;
};

}  // namespace gantry::images
