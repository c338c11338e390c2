// SPDX-License-Identifier: Apache-2.0
// deps: gantry_images
// An image that comes piece by piece: nobody waits for it, what is here does not come again, and a dead process's is
// swept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <future>

#include "base/text.h"
#include "images/download.h"
#include "sys/pipe.h"
#include "tests/support/image_world.h"

namespace gantry::images {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string one_file(const std::string& name) { return Tar().folder("./").file(name, name).bytes(); }

// An image as a registry would hand it out.
struct Remote {
  std::vector<std::string> layers;
  Chosen chosen;

  explicit Remote(std::vector<std::string> plain) : layers(std::move(plain)), chosen(empty()) {
    chosen.config.architecture = kHostArchitecture;
    chosen.config.os = "linux";
    for (const std::string& layer : layers) {
      chosen.config.diff_ids.push_back(digest_of(layer));
      chosen.document.layers.push_back({kOciLayer, digest_of(layer), layer.size(), std::nullopt, {}});
    }
    describe();
  }
  // Configuration and manifest, after a change of what they say.
  void describe() {
    chosen.config_text = to_json(chosen.config);
    chosen.document.config = {kOciConfig, digest_of(chosen.config_text), chosen.config_text.size(), std::nullopt, {}};
    chosen.manifest_text = manifest_json(*chosen.document.config, chosen.document.layers);
    chosen.top = chosen.manifest = {
        kOciManifest, digest_of(chosen.manifest_text), chosen.manifest_text.size(), std::nullopt, {}};
  }
  static Chosen empty() {
    Descriptor none{"", digest_of(""), 0, std::nullopt, {}};
    return Chosen{none, none, {}, {}, {}, {}};
  }
};

class DownloadTest : public ImagesTest {
 protected:
  // What a pull does with a layer.
  static std::pair<std::size_t, Unpacked> bring(Download& download, const Remote& remote, std::size_t position) {
    const std::string& bytes = remote.layers[position];
    EXPECT_TRUE(download.put_blob(digest_of(bytes), bytes));
    auto folder = download.new_layer(position);
    OwnFd source = memory_file(bytes);
    auto unpacked = unpack(source, *folder, UnpackKind::kLayer, download.unpack_options());
    EXPECT_TRUE(unpacked) << unpacked.error().message();
    return {position, std::move(*unpacked)};
  }
  Result<Image> pull(const Remote& remote, const std::string& name, std::vector<std::size_t>* came = nullptr) {
    auto download = store().begin_download();
    EXPECT_TRUE(download) << download.error().message();
    auto missing = (*download)->missing(remote.chosen);
    EXPECT_TRUE(missing) << missing.error().message();
    if (came != nullptr) *came = *missing;
    std::map<std::size_t, Unpacked> layers;
    for (std::size_t position : *missing) layers.insert(bring(**download, remote, position));
    return (*download)->finish(remote.chosen, *parse_reference(name), layers);
  }
};

TEST_F(DownloadTest, WhatIsHereDoesNotComeAgain) {
  Remote base({one_file("a"), one_file("a"), one_file("b")});
  std::vector<std::size_t> came;
  auto image = pull(base, "registry.example/base:1", &came);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_THAT(came, ElementsAre(0, 2)) << "a layer that is there twice comes once";
  EXPECT_THAT(image->tags, ElementsAre("registry.example/base:1"));
  EXPECT_THAT(image->digests, ElementsAre("registry.example/base@" + base.chosen.top.digest.to_string()));
  EXPECT_EQ(count("l"), 3U);
  EXPECT_EQ(count("blobs"), 4U);
  auto root = store().prepare_root("registry.example/base:1", "c1");
  ASSERT_TRUE(root);
  EXPECT_EQ(slurp(root_ / "data/store" / root->lower[0] / "b"), "b");
  EXPECT_EQ(slurp(root_ / "data/store" / root->lower[1] / "a"), "a");

  Remote more({one_file("a"), one_file("a"), one_file("b"), one_file("c")});
  image = pull(more, "registry.example/more:1", &came);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_THAT(came, ElementsAre(3));
  EXPECT_EQ(count("l"), 4U);

  auto download = store().begin_download();
  auto named = (*download)->known(more.chosen, *parse_reference("registry.example/more:2"));
  ASSERT_TRUE(named) << named.error().message();
  ASSERT_TRUE(*named);
  EXPECT_THAT((*named)->tags, ElementsAre("registry.example/more:1", "registry.example/more:2"));
  named = (*download)->known(more.chosen, *parse_reference("other.example/x@" + more.chosen.top.digest.to_string()));
  ASSERT_TRUE(named);
  EXPECT_EQ((*named)->tags.size(), 2U) << "a digest is no tag";
  EXPECT_EQ((*named)->digests.size(), 2U);
}

// The same layer in another packing is here unpacked, and in no blob.
TEST_F(DownloadTest, ALayerIsKnownByWhatItUnpacksTo) {
  Remote plain({one_file("a")});
  ASSERT_TRUE(pull(plain, "registry.example/plain:1"));
  Remote packed({one_file("a")});
  std::string bytes = test::gzip(one_file("a"));
  packed.chosen.document.layers = {
      Descriptor{"application/vnd.oci.image.layer.v1.tar+gzip", digest_of(bytes), bytes.size(), std::nullopt, {}}};
  packed.chosen.config.user = "1000";
  packed.describe();
  std::vector<std::size_t> came;
  auto image = pull(packed, "registry.example/packed:1", &came);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_THAT(came, IsEmpty());
  EXPECT_EQ(count("l"), 1U);
  ASSERT_TRUE(store().remove("registry.example/plain:1"));
  EXPECT_EQ(count("l"), 1U);
  EXPECT_TRUE(store().prepare_root("registry.example/packed:1", "c1"));
}

TEST_F(DownloadTest, AnImageGoesWithItsLastName) {
  Remote remote({one_file("a")});
  auto image = pull(remote, "registry.example/a:1");
  ASSERT_TRUE(image) << image.error().message();
  const std::string by_digest = "other.example/b@" + remote.chosen.top.digest.to_string();
  ASSERT_TRUE(*(*store().begin_download())->known(remote.chosen, *parse_reference(by_digest)));
  ASSERT_TRUE(store().untag("registry.example/a:1"));
  auto found = *store().find(by_digest);
  ASSERT_TRUE(found) << "another's name is left";
  EXPECT_THAT(found->digests, ElementsAre(by_digest)) << "the first's went with its tag";
  ASSERT_TRUE(store().untag(by_digest));
  EXPECT_FALSE(*store().find(image->id)) << "no name is left";
  EXPECT_EQ(count("l"), 0U);
  EXPECT_EQ(count("blobs"), 0U);
}

TEST_F(DownloadTest, ALayerThatVanishedMeanwhileIsSaid) {
  Remote base({one_file("a")});
  ASSERT_TRUE(pull(base, "registry.example/base:1"));
  Remote more({one_file("a"), one_file("b")});
  {
    auto download = store().begin_download();
    auto missing = (*download)->missing(more.chosen);
    EXPECT_THAT(*missing, ElementsAre(1));
    std::map<std::size_t, Unpacked> layers{bring(**download, more, 1)};
    ASSERT_TRUE(store().remove("registry.example/base:1"));
    auto image = (*download)->finish(more.chosen, *parse_reference("registry.example/more:1"), layers);
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().code(), Code::kAborted) << image.error().message();
  }
  EXPECT_EQ(count("l"), 0U);
  EXPECT_EQ(count("blobs"), 0U);
  EXPECT_EQ(count("i"), 0U);
}

TEST_F(DownloadTest, ALayerIsCheckedAgainstTheConfiguration) {
  Remote lying({one_file("a")});
  lying.chosen.config.diff_ids = {digest_of("other")};
  auto image = pull(lying, "registry.example/lying:1");
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().message(), HasSubstr("the image's configuration says"));
  EXPECT_EQ(count("l"), 0U);
  EXPECT_EQ(count("i"), 0U);
}

TEST_F(DownloadTest, NobodyWaitsForItOrSweepsIt) {
  Remote remote({one_file("a")});
  auto download = store().begin_download();
  ASSERT_TRUE(download);
  std::map<std::size_t, Unpacked> layers{bring(**download, remote, 0)};
  Layout layout;
  layout.index({Layout::named(layout.image({one_file("x")}), "loaded:1")});
  EXPECT_TRUE(load(layout.archive()));
  auto other = ImageStore::open((root_ / "data").string(), StoreOptions{test_options()});
  EXPECT_TRUE((*other)->remove("loaded:1"));
  EXPECT_EQ(count("i"), 1U);
  auto image = (*download)->finish(remote.chosen, *parse_reference("registry.example/a:1"), layers);
  EXPECT_TRUE(image) << image.error().message();
  download->reset();
  EXPECT_EQ(count("i"), 0U);
  EXPECT_EQ(count("l"), 1U);
}

// One image has a layer many times, and its worker stands still: what is unpacked late holds up nobody either.
TEST_F(DownloadTest, UnpackingHoldsUpNobody) {
  const std::string gate = root_ / "gate", started = root_ / "started", script = root_ / "worker";
  std::ofstream(script) << "#!/bin/sh\n[ -e " << gate << " ] && { echo >" << started << "; read x <" << gate
                        << "; }\nexec " << fs::read_symlink("/proc/self/exe").string() << " \"$@\"\n";
  ::chmod(script.c_str(), 0755);
  UnpackOptions options = test_options();
  options.program = script;
  options.patience = options.deadline = std::chrono::seconds(300);
  auto slow = ImageStore::open((root_ / "data").string(), StoreOptions{options});
  ASSERT_TRUE(slow) << slow.error().message();
  Remote many(std::vector<std::string>(20, one_file("a")));
  auto download = (*slow)->begin_download();
  EXPECT_THAT(*(*download)->missing(many.chosen), ElementsAre(0));
  std::map<std::size_t, Unpacked> layers{bring(**download, many, 0)};

  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo(started.c_str(), 0600), 0);
  OwnFd hold = *sys::openat(sys::kCwd, gate.c_str(), O_RDWR);
  OwnFd sign = *sys::openat(sys::kCwd, started.c_str(), O_RDWR);
  auto finished = std::async(std::launch::async, [&] {
    return (*download)->finish(many.chosen, *parse_reference("registry.example/many:1"), std::move(layers));
  });
  char byte = 0;
  ASSERT_TRUE(sys::read(sign, &byte, 1));
  store();
  auto other = std::async(std::launch::async, [&] { return pull(Remote({one_file("b")}), "registry.example/b:1"); });
  EXPECT_EQ(other.wait_for(std::chrono::seconds(60)), std::future_status::ready) << "it waits for another's worker";
  fs::remove(gate);
  EXPECT_TRUE(sys::write_all(hold, "\n"));
  EXPECT_TRUE(other.get());
  auto image = finished.get();
  ASSERT_TRUE(image) << image.error().message();
  auto root = store().prepare_root("registry.example/many:1", "c1");
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_EQ(root->lower.size(), 20U);
  EXPECT_EQ(slurp(root_ / "data/store" / root->lower[19] / "a"), "a");
  EXPECT_EQ(count("blobs"), 6U);
}

// Folders that no entry names, deep down: what they look like is asked of all layers below.
std::string deep_files(int count) {
  std::string deep;
  for (int i = 0; i < 20; ++i) deep += "a/";
  Tar tar;
  tar.folder("./");
  for (int i = 0; i < count; ++i) tar.file(cat(deep, i, "/f"), "");
  return tar.bytes();
}

TEST_F(DownloadTest, ImpliedFoldersLookLikeWhatIsBelow) {
  const std::string base = Tar().folder("./").folder("a/", {.mode = 0711}).folder("a/a/", {.mode = 0700}).bytes();
  auto image = pull(Remote({base, deep_files(50), deep_files(50)}), "registry.example/deep:1");
  ASSERT_TRUE(image) << image.error().message();
  auto root = store().prepare_root("registry.example/deep:1", "c1");
  const fs::path top = root_ / "data/store" / root->lower.front();
  EXPECT_EQ(info_of(top / "a").st_mode & 07777, 0711U);
  EXPECT_EQ(info_of(top / "a/a").st_mode & 07777, 0700U);
  EXPECT_EQ(info_of(top / "a/a/a").st_mode & 07777, 0755U);
}

// A hundred thousand files and folders.
TEST_F(DownloadTest, TooManyImpliedFoldersAreRefusedInTimeLong) {
  const auto start = std::chrono::steady_clock::now();
  auto image = pull(Remote(std::vector<std::string>(60, deep_files(1000))), "registry.example/deep:1");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::minutes(3));
  ASSERT_FALSE(image);
  EXPECT_TRUE(image.error().is_resource()) << image.error().message();
  EXPECT_THAT(image.error().message(), HasSubstr("no entry of their own"));
  EXPECT_EQ(count("l"), 0U);
  EXPECT_EQ(count("blobs"), 0U);
}

TEST_F(DownloadTest, WhatADeadProcessBroughtIsSwept) {
  Remote remote({one_file("a")});
  auto pipe = sys::pipe();
  store();
  store_.reset();
  pid_t child = ::fork();
  if (child == 0) {
    auto opened = ImageStore::open((root_ / "data").string(), StoreOptions{test_options()});
    auto download = (*opened)->begin_download();
    bring(**download, remote, 0);
    (void)sys::write_all(pipe->write_end, "x");
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_TRUE(sys::read(pipe->read_end, &byte, 1));
  reopen();
  EXPECT_EQ(count("i"), 1U);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  reopen();
  EXPECT_EQ(count("i"), 0U);
  EXPECT_EQ(store().fs_usage()->used_bytes, 0U);
}

}  // namespace
}  // namespace gantry::images
