// SPDX-License-Identifier: Apache-2.0
// deps: gantry_images
// The image store on a real kernel: loading, building, overlay mounts of what was unpacked, crashes, two processes at
// once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <future>
#include <thread>

#include "images/command.h"
#include "images/layer_view.h"
#include "sys/pipe.h"
#include "tests/support/image_world.h"

namespace gantry::images {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class StoreTest : public ImagesTest {};

std::string busybox_layer() {
  return Tar()
      .folder("./")
      .folder("bin/")
      .file("bin/sh", "#!", {.mode = 0755})
      .file("etc/passwd", "root:x:0:0::/:/bin/sh\n")
      .bytes();
}

TEST_F(StoreTest, LoadsListsFindsAndRemoves) {
  Layout layout;
  auto image = layout.image({busybox_layer()}, R"({"Cmd":["/bin/sh"],"Labels":{"a":"b"}})", &test::gzip);
  layout.index({Layout::named(image, "my-app:1.0")});
  auto loaded = load(layout.archive());
  ASSERT_TRUE(loaded) << loaded.error().message();
  ASSERT_EQ(loaded->size(), 1U);
  const Image& first = loaded->front();
  EXPECT_THAT(first.tags, ElementsAre("docker.io/library/my-app:1.0"));
  EXPECT_THAT(first.digests, ElementsAre("docker.io/library/my-app@" + image.digest));
  EXPECT_THAT(first.config.cmd, ElementsAre("/bin/sh"));
  EXPECT_GT(first.size, image.size);

  for (const std::string& query :
       {std::string("my-app:1.0"), std::string("docker.io/library/my-app:1.0"), "my-app@" + image.digest, first.id,
        first.id.substr(7), first.id.substr(0, 19), first.id.substr(7, 6)}) {
    auto found = store().find(query);
    ASSERT_TRUE(found) << query << ": " << found.error().message();
    ASSERT_TRUE(*found) << query;
    EXPECT_EQ((*found)->id, first.id);
  }
  EXPECT_FALSE(*store().find("my-app:2.0"));
  EXPECT_FALSE(*store().find("my-app"));
  EXPECT_FALSE(store().find("My App"));
  EXPECT_EQ(store().list()->images.size(), 1U);
  EXPECT_EQ(info_of(root_ / "data/store").st_mode & 07777, 0700U);
  auto usage = store().fs_usage();
  EXPECT_GT(usage->used_bytes, first.size);
  EXPECT_GT(usage->inodes_used, 5U);

  reopen();
  ASSERT_TRUE(store().tag("my-app:1.0", "other"));
  EXPECT_THAT((*store().find("other"))->tags,
              ElementsAre("docker.io/library/my-app:1.0", "docker.io/library/other:latest"));
  ASSERT_TRUE(store().untag("my-app:1.0"));
  EXPECT_TRUE(*store().find(first.id));
  EXPECT_TRUE(store().untag("my-app:1.0").error().is_not_found());
  ASSERT_TRUE(store().untag("other"));
  EXPECT_FALSE(*store().find(first.id));
  EXPECT_FALSE(*store().remove(first.id));
  EXPECT_EQ(count("l"), 0U);
  EXPECT_EQ(count("blobs"), 0U);
  EXPECT_EQ(count("i"), 0U);
  EXPECT_EQ(store().fs_usage()->used_bytes, 0U);
}

TEST_F(StoreTest, ADamagedImageHidesNoOther) {
  Layout layout;
  layout.index({Layout::named(layout.image({busybox_layer()}, R"({"Cmd":["/bin/a"]})"), "damaged:1"),
                Layout::named(layout.image({busybox_layer()}, R"({"Cmd":["/bin/b"]})"), "whole:1")});
  ASSERT_TRUE(load(layout.archive()));
  std::string id = (*store().find("damaged:1"))->id;
  std::ofstream(root_ / "data/store/blobs" / id.substr(7)) << "{}";
  auto listing = store().list();
  ASSERT_TRUE(listing) << listing.error().message();
  ASSERT_EQ(listing->images.size(), 1U);
  EXPECT_THAT(listing->images[0].tags, ElementsAre("docker.io/library/whole:1"));
  ASSERT_EQ(listing->damaged.size(), 1U);
  EXPECT_THAT(listing->damaged[0].message(), HasSubstr(id));
}

TEST_F(StoreTest, LoadsAFolderAPipeAndACompressedArchive) {
  Layout layout;
  layout.index({Layout::named(layout.image({busybox_layer()}), "my-app:1.0")});
  for (const auto& [path, bytes] : layout.files()) {
    fs::create_directories((root_ / "layout" / path).parent_path());
    std::ofstream(root_ / "layout" / path, std::ios::binary) << bytes;
  }
  auto folder = sys::open_dir(sys::kCwd, (root_ / "layout").c_str());
  auto loaded = store().load_layout(*folder, "named:2");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_THAT(loaded->front().tags, ElementsAre("docker.io/library/named:2"));
  EXPECT_TRUE(fs::exists(root_ / "layout/index.json")) << "a user's folder is not ours to move from";

  auto pipe = sys::pipe();
  std::thread writer([&, bytes = test::gzip(layout.archive())] {
    (void)sys::write_all(pipe->write_end, bytes);
    pipe->write_end.close();
  });
  auto again = store().load_archive(pipe->read_end);
  writer.join();
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_THAT(again->front().tags, UnorderedElementsAre("docker.io/library/named:2", "docker.io/library/my-app:1.0"));
  EXPECT_EQ(store().list()->images.size(), 1U);
  EXPECT_EQ(count("l"), 1U);
}

TEST_F(StoreTest, ANestedIndexGivesThisMachinesImage) {
  Layout layout;
  auto ours = layout.image({busybox_layer()});
  auto theirs = layout.image({Tar().file("x", "x").bytes()}, "{}", nullptr, "s390x");
  auto index =
      layout.blob("application/vnd.oci.image.index.v1+json",
                  R"({"schemaVersion":2,"manifests":[)" +
                      Layout::descriptor(theirs, R"(,"platform":{"os":"linux","architecture":"s390x"})") + "," +
                      Layout::descriptor(ours, R"(,"platform":{"os":"linux","architecture":"amd64"})") + "]}");
  layout.index({Layout::named(index, "my-app:1.0")});
  auto loaded = load(layout.archive());
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_THAT(loaded->front().digests, ElementsAre("docker.io/library/my-app@" + index.digest));

  Layout other;
  other.index({Layout::named(other.image({busybox_layer()}, "{}", nullptr, "s390x"), "x:1")});
  EXPECT_THAT(load_refusal(other), HasSubstr("no image for linux/amd64"));

  Layout deep;
  auto at = deep.image({busybox_layer()});
  for (int i = 0; i < 5; ++i) {
    at = deep.blob("application/vnd.oci.image.index.v1+json",
                   R"({"schemaVersion":2,"manifests":[)" + Layout::descriptor(at) + "]}");
  }
  deep.index({Layout::descriptor(at)});
  EXPECT_THAT(load_refusal(deep), HasSubstr("nested more than 3 deep"));
}

TEST_F(StoreTest, EveryDigestAndSizeIsChecked) {
  Layout good;
  auto image = good.image({busybox_layer()}, "{}", &test::gzip);
  good.index({Layout::named(image, "my-app:1.0")});
  // Each blob in turn: another content of the same size, another size, gone.
  for (const auto& [path, bytes] : good.files()) {
    if (!path.starts_with("blobs/")) continue;
    Layout wrong = good;
    wrong.files()[path].back() ^= 1;
    EXPECT_THAT(load_refusal(wrong), HasSubstr("another digest")) << path;
    wrong.files()[path] = bytes + " ";
    EXPECT_THAT(load_refusal(wrong), HasSubstr("its descriptor says")) << path;
    wrong.files().erase(path);
    EXPECT_THAT(load_refusal(wrong), HasSubstr("not in the layout")) << path;
  }
  // A layer that is what its descriptor says, and is not what the configuration says.
  Layout swapped;
  auto config = swapped.blob("application/vnd.oci.image.config.v1+json",
                             R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[")" +
                                 digest_of("other").to_string() + "\"]}}");
  auto layer = swapped.blob("application/vnd.oci.image.layer.v1.tar", busybox_layer());
  auto manifest = swapped.blob("application/vnd.oci.image.manifest.v1+json",
                               R"({"schemaVersion":2,"config":)" + Layout::descriptor(config) + R"(,"layers":[)" +
                                   Layout::descriptor(layer) + "]}");
  swapped.index({Layout::descriptor(manifest)});
  EXPECT_THAT(load_refusal(swapped), HasSubstr("it unpacks to"));

  EXPECT_THAT(store().list()->images, IsEmpty());
  EXPECT_EQ(count("l"), 0U) << "nothing stays of what was refused";
  EXPECT_EQ(count("blobs"), 0U);
  EXPECT_EQ(count("i"), 0U);
  EXPECT_TRUE(load(good.archive())) << "and the next good load goes through";
}

// What a lost database leaves behind, and an archive that does not bring the blob.
TEST_F(StoreTest, AFileWithoutARowIsNoBlob) {
  const std::string packed = test::zstd(busybox_layer());
  Layout plain, without;
  plain.index({Layout::named(plain.image({busybox_layer()}), "plain:1")});
  ASSERT_TRUE(load(plain.archive())) << "so that the layer is unpacked here";
  without.index({Layout::named(without.image({busybox_layer()}, "{}", &test::zstd), "without:1")});
  const std::string hex = digest_of(packed).hex();
  ASSERT_EQ(without.files().erase("blobs/sha256/" + hex), 1U);
  std::ofstream(root_ / "data/store/blobs" / hex) << std::string(packed.size(), 'x');
  EXPECT_THAT(load_refusal(without), HasSubstr("not in the layout"));
  EXPECT_FALSE(*store().find("without:1"));
}

TEST_F(StoreTest, ASilentPipeHoldsUpNobody) {
  auto pipe = sys::pipe();
  auto loaded = std::async(std::launch::async, [&] { return store().load_archive(pipe->read_end); });
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while ((!fs::exists(root_ / "data/store/i") || count("i") == 0) && std::chrono::steady_clock::now() < limit)
    std::this_thread::yield();
  Layout layout;
  layout.index({Layout::named(layout.image({busybox_layer()}), "other:1")});
  auto other = std::async(std::launch::async, [&] {
    auto opened = ImageStore::open((root_ / "data").string(), StoreOptions{test_options()});
    OwnFd source = memory_file(layout.archive());
    return opened && (*opened)->load_archive(source);
  });
  EXPECT_EQ(other.wait_for(std::chrono::seconds(60)), std::future_status::ready) << "it waits for a silent stranger";
  pipe->write_end.close();
  EXPECT_TRUE(other.get());
  EXPECT_FALSE(loaded.get());
}

TEST_F(StoreTest, RefusesWhatIsNoLayout) {
  Layout both;
  auto image = both.image({busybox_layer()});
  auto config = both.blob("application/vnd.oci.image.config.v1+json", "{}");
  auto manifest =
      both.blob("application/vnd.oci.image.manifest.v1+json",
                R"({"schemaVersion":2,"config":)" + Layout::descriptor(config) + R"(,"layers":[],"manifests":[]})");
  both.index({Layout::descriptor(manifest)});
  EXPECT_THAT(load_refusal(both), HasSubstr("both \"manifests\" and"));

  Layout big;
  big.index({R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","size":4294967296,"digest":")" +
             image.digest + "\"}"});
  EXPECT_THAT(load_refusal(big), HasSubstr("a document of 4294967296 bytes"));

  EXPECT_THAT(load(Tar().file("index.json", std::string(5 << 20, ' ')).bytes()).error().message(),
              HasSubstr("\"index.json\": a document of 5242880 bytes"));

  Layout traversal;
  traversal.index(
      {R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"sha256:../../../canary/file"})"});
  EXPECT_THAT(load_refusal(traversal), HasSubstr("64 lower-case hex digits"));

  EXPECT_THAT(load(Tar().file("x", "x").bytes()).error().message(),
              HasSubstr("neither an OCI image layout nor a docker archive"));
  EXPECT_THAT(load("garbage").error().message(), HasSubstr("not a whole tar archive"));

  // Blobs that are no files, and names that are no blobs.
  const std::string blob = "blobs/sha256/" + std::string(64, 'a');
  EXPECT_THAT(load(Tar().symlink(blob, "/etc/passwd").bytes()).error().message(), HasSubstr("expected a regular file"));
  EXPECT_THAT(load(Tar().hard_link("index.json", "/etc/passwd").bytes()).error().message(),
              HasSubstr("expected a regular file"));
  EXPECT_THAT(load(Tar().symlink("blobs", "/mnt").file(blob, "x").bytes()).error().message(),
              HasSubstr("neither an OCI image layout nor a docker archive"));
  EXPECT_EQ(count("i"), 0U);
}

TEST_F(StoreTest, LayersShareAndStackAsOverlay) {
  std::string base = Tar()
                         .folder("./", {.mode = 0755})
                         .folder("etc/", {.mode = 0711, .uid = 12})
                         .file("etc/a", "1")
                         .file("etc/b", "1")
                         .folder("var/")
                         .file("var/x", "1")
                         .bytes();
  std::string top = Tar()
                        .file("etc/.wh.a", "")
                        .file("etc/c", "2")
                        .folder("var/")
                        .file("var/.wh..wh..opq", "")
                        .file("var/y", "2")
                        .bytes();
  Layout layout;
  layout.index({Layout::named(layout.image({base}), "base:1"),
                Layout::named(layout.image({base, top}, "{}", &test::zstd), "top:1")});
  auto loaded = load(layout.archive());
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->size(), 2U);
  EXPECT_EQ(count("l"), 2U) << "the layer that both have is unpacked once";

  auto root = store().prepare_root("top:1", "c1");
  ASSERT_TRUE(root) << root.error().message();
  ASSERT_EQ(root->lower.size(), 2U);
  EXPECT_EQ(root->overlay_options(), "lowerdir=" + root->lower[0] + ":" + root->lower[1] + ",upperdir=" + root->upper +
                                         ",workdir=" + root->work);
  fs::create_directory(root_ / "merged");
  ASSERT_TRUE(sys::fchdir(*sys::openat(store().store_dir(), ".", O_RDONLY | O_DIRECTORY)));
  ASSERT_EQ(::mount("overlay", (root_ / "merged").c_str(), "overlay", 0, root->overlay_options().c_str()), 0)
      << std::strerror(errno);
  EXPECT_EQ(::chdir("/"), 0);
  EXPECT_FALSE(fs::exists(root_ / "merged/etc/a"));
  EXPECT_EQ(slurp(root_ / "merged/etc/b"), "1");
  EXPECT_EQ(slurp(root_ / "merged/etc/c"), "2");
  EXPECT_FALSE(fs::exists(root_ / "merged/var/x"));
  EXPECT_EQ(slurp(root_ / "merged/var/y"), "2");
  EXPECT_EQ(info_of(root_ / "merged/etc").st_mode & 07777, 0711U) << "a folder that the top layer only passes through";
  EXPECT_EQ(info_of(root_ / "merged/etc").st_uid, 12U);
  EXPECT_EQ(info_of(root_ / "merged").st_mode & 07777, 0755U);
  std::ofstream(root_ / "merged/etc/mine") << "x";
  ::umount2((root_ / "merged").c_str(), MNT_DETACH);

  auto view = LayerView::open(store().store_dir(), root->lower);
  EXPECT_FALSE(*view->read_file("etc/a"));
  EXPECT_EQ(view->read_file("etc/b")->value(), "1");
  EXPECT_FALSE(*view->read_file("var/x"));
  EXPECT_EQ(view->read_file("/var/y")->value(), "2");
  ASSERT_TRUE(store().release_root("c1"));
  EXPECT_EQ(count("c"), 0U);
}

TEST_F(StoreTest, AContainerKeepsItsLayers) {
  Layout layout;
  layout.index({Layout::named(layout.image({busybox_layer()}), "my-app:1.0")});
  auto loaded = load(layout.archive());
  ASSERT_TRUE(loaded);
  auto root = store().prepare_root("my-app:1.0", "c1");
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_EQ(store().prepare_root("my-app:1.0", "c1")->upper, root->upper) << "a retry gives the same";
  EXPECT_TRUE(store().prepare_root("nothing:1", "c2").error().is_not_found());
  EXPECT_TRUE(store().prepare_root("my-app:1.0", "../c").error().is_invalid());
  EXPECT_EQ(store().find_root("c1")->value().lower, root->lower);

  ASSERT_TRUE(*store().remove("my-app:1.0"));
  EXPECT_FALSE(*store().find("my-app:1.0"));
  EXPECT_EQ(count("l"), 1U) << "in use";
  EXPECT_EQ(count("blobs"), 1U) << "what it was unpacked from";
  reopen();
  EXPECT_EQ(count("l"), 1U);
  EXPECT_EQ(store().find_root("c1")->value().lower, root->lower);
  ASSERT_TRUE(store().recover({"c1"}));
  EXPECT_EQ(count("c"), 1U);
  ASSERT_TRUE(store().recover({}));
  EXPECT_FALSE(*store().find_root("c1"));
  EXPECT_EQ(count("c"), 0U);
  EXPECT_EQ(count("l"), 0U);
  ASSERT_TRUE(store().release_root("c1")) << "again is fine";
}

TEST_F(StoreTest, ARefusedReleaseTakesNothing) {
  Layout layout;
  layout.index({Layout::named(layout.image({busybox_layer()}), "my-app:1.0")});
  ASSERT_TRUE(load(layout.archive()));
  auto root = store().prepare_root("my-app:1.0", "c1");
  ASSERT_TRUE(root);
  const fs::path upper = root_ / "data/store" / root->upper;
  std::ofstream(upper / "a-file") << "precious";
  fs::create_directories(upper / "z folder");
  ASSERT_EQ(::mount("tmpfs", (upper / "z folder").c_str(), "tmpfs", 0, nullptr), 0);
  auto released = store().release_root("c1");
  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().code(), Code::kFailedPrecondition) << released.error().message();
  EXPECT_TRUE(store().find_root("c1")->has_value());
  EXPECT_EQ(slurp(upper / "a-file"), "precious");
  ASSERT_EQ(::umount((upper / "z folder").c_str()), 0);
  EXPECT_TRUE(store().release_root("c1"));
  EXPECT_FALSE(store().find_root("c1")->has_value());
  EXPECT_EQ(count("c"), 0U);
}

TEST_F(StoreTest, BuildsTheSameImageFromTheSameFolder) {
  const fs::path folder = root_ / "rootfs";
  fs::create_directories(folder / "bin");
  std::ofstream(folder / "bin/busybox") << "program";
  ::chmod((folder / "bin/busybox").c_str(), 04755);
  ASSERT_EQ(::chown((folder / "bin").c_str(), 5, 6), 0);
  fs::create_hard_link(folder / "bin/busybox", folder / "bin/httpd");
  fs::create_symlink("/bin/busybox", folder / "bin/sh");
  std::ofstream(folder / "caf\xc3\xa9") << "x";
  auto config = parse_build_config(R"({"Entrypoint":["/bin/httpd","-f","-p","9376"],"ExposedPorts":{"9376/tcp":{}}})");
  auto opened = sys::open_dir(sys::kCwd, folder.c_str());
  auto image = store().build(*opened, *config, "my-app:1.0");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_THAT(image->tags, ElementsAre("docker.io/library/my-app:1.0"));
  EXPECT_THAT(image->config.entrypoint, ElementsAre("/bin/httpd", "-f", "-p", "9376"));

  auto root = store().prepare_root("my-app:1.0", "c1");
  ASSERT_TRUE(root) << root.error().message();
  const fs::path made = root_ / "data/store" / root->lower.front();
  EXPECT_EQ(slurp(made / "bin/httpd"), "program");
  EXPECT_EQ(info_of(made / "bin/httpd").st_nlink, 2U);
  EXPECT_EQ(info_of(made / "bin/busybox").st_mode & 07777, 04755U);
  EXPECT_EQ(info_of(made / "bin").st_uid, 5U);
  EXPECT_EQ(info_of(made / "bin").st_mtim.tv_sec, 0);
  EXPECT_EQ(fs::read_symlink(made / "bin/sh"), "/bin/busybox");
  EXPECT_EQ(slurp(made / "caf\xc3\xa9"), "x");

  fs::last_write_time(folder / "bin/busybox", fs::file_time_type::clock::now());
  auto again = store().build(*opened, *config, "my-app:1.0");
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->id, image->id);
  EXPECT_EQ(again->digests, image->digests);

  std::ofstream(folder / "more") << "x";
  auto other = store().build(*opened, *config, "my-app:1.0");
  ASSERT_TRUE(other) << other.error().message();
  EXPECT_NE(other->id, image->id);
  EXPECT_THAT((*store().find(image->id))->tags, IsEmpty()) << "the name moved on";
  std::ofstream(folder / ".wh.x") << "x";
  EXPECT_THAT(store().build(*opened, *config, "my-app:1.0").error().message(), HasSubstr("whiteout"));
  EXPECT_EQ(count("i"), 0U);
}

TEST_F(StoreTest, WhatACrashLeavesIsRemovedByTheNext) {
  Layout layout;
  layout.index({Layout::named(layout.image({busybox_layer(), Tar().file("x", std::string(4 << 20, 'x')).bytes()}),
                              "my-app:1.0")});
  const std::string archive = layout.archive();
  store();
  store_.reset();
  // A loader that is killed at many moments, each a little later than the last.
  int completed = 0;
  for (int delay = 0; completed < 2 && delay < 20'000; delay += 1 + delay / 50) {
    pid_t loader = ::fork();
    if (loader == 0) {
      auto opened = ImageStore::open((root_ / "data").string(), StoreOptions{test_options()});
      OwnFd source = memory_file(archive);
      bool fine = opened && (*opened)->load_archive(source);
      ::_exit(fine ? 0 : 1);
    }
    ::usleep(static_cast<useconds_t>(delay) * 1000);
    ::kill(loader, SIGKILL);
    int status = 0;
    ::waitpid(loader, &status, 0);
    reopen();
    // A worker that it was just starting holds its folder until its exec.
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (count("i") != 0 && std::chrono::steady_clock::now() < limit) {
      ::usleep(1000);
      reopen();
    }
    auto images = store().list();
    ASSERT_TRUE(images) << images.error().message();
    if (!images->images.empty()) {
      ++completed;
      EXPECT_EQ(images->images.front().tags.size(), 1U);
      ASSERT_TRUE(store().remove(images->images.front().id));
    }
    EXPECT_EQ(count("l"), 0U);
    EXPECT_EQ(count("blobs"), 0U);
    EXPECT_EQ(count("i"), 0U);
    EXPECT_EQ(store().fs_usage()->used_bytes, 0U);
    store_.reset();
  }
  EXPECT_GE(completed, 1);
}

TEST_F(StoreTest, NothingIsRemovedThatNoRowNames) {
  store();
  store_.reset();
  // As after the loss of the database: names that will come up again.
  for (const char* name : {"1", "2", "3", "4"}) {
    fs::create_directories(root_ / "data/store/l" / name / "precious");
    fs::create_directories(root_ / "data/store/c" / name / "precious");
    fs::create_directories(root_ / "data/store/i" / name / "precious");
  }
  Layout layout;
  layout.index({Layout::named(layout.image({busybox_layer()}), "my-app:1.0")});
  reopen();
  auto loaded = load(layout.archive());
  ASSERT_TRUE(loaded) << loaded.error().message();
  ASSERT_TRUE(store().prepare_root("my-app:1.0", "c1"));
  ASSERT_TRUE(store().release_root("c1"));
  ASSERT_TRUE(store().untag("my-app:1.0"));
  for (const char* folder : {"l", "c", "i"}) {
    for (const char* name : {"1", "2", "3", "4"})
      EXPECT_TRUE(fs::exists(root_ / "data/store" / folder / name / "precious"));
    EXPECT_EQ(count(folder), 4U);
  }
}

TEST_F(StoreTest, TwoProcessesUseOneStore) {
  Layout layout;
  layout.index({Layout::named(layout.image({busybox_layer()}), "my-app:1.0")});
  store();
  pid_t other = ::fork();
  if (other == 0) {
    auto opened = ImageStore::open((root_ / "data").string(), StoreOptions{test_options()});
    OwnFd source = memory_file(layout.archive());
    ::_exit(opened && (*opened)->load_archive(source) ? 0 : 1);
  }
  Layout second;
  second.index({Layout::named(second.image({Tar().file("x", "x").bytes()}), "other:1.0")});
  EXPECT_TRUE(load(second.archive()));
  int status = 0;
  ::waitpid(other, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(*store().find("my-app:1.0")) << "seen at once";
  EXPECT_TRUE(*store().find("other:1.0"));
}

#ifndef GANTRY_TEST_SANITIZED  // the command runs its workers with the real limits
TEST_F(StoreTest, TheCommandBuildsListsAndRemoves) {
  fs::create_directories(root_ / "rootfs/bin");
  std::ofstream(root_ / "rootfs/bin/app") << "program";
  std::ofstream(root_ / "image.json") << R"({"Entrypoint":["/bin/app"]})";
  auto run = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "gantry image");
    std::vector<const char*> argv;
    for (const std::string& word : words) argv.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    int code = image_command(static_cast<int>(argv.size()), argv.data(), (root_ / "data").string());
    std::string out = ::testing::internal::GetCapturedStdout();
    return std::tuple(code, out, ::testing::internal::GetCapturedStderr());
  };
  using ::testing::FieldsAre;
  using ::testing::MatchesRegex;
  const std::string rootfs = (root_ / "rootfs").string();
  EXPECT_THAT(run({"build", "--tag", "my-app:1.0", "--config", (root_ / "image.json").string(), rootfs}),
              FieldsAre(0, MatchesRegex("docker.io/library/my-app:1.0  sha256:[0-9a-f]+  [0-9.]+kB\n"), ""));
  EXPECT_THAT(run({"list"}), FieldsAre(0,
                                       MatchesRegex("IMAGE +TAG +IMAGE ID +SIZE\n"
                                                    "docker.io/library/my-app +1.0 +[0-9a-f]+ +[0-9.]+kB\n"),
                                       ""));
  EXPECT_THAT(run({"tag", "my-app:1.0", "other"}), FieldsAre(0, "", ""));
  EXPECT_THAT(run({"remove", "other", "my-app:1.0"}), FieldsAre(0, "other\nmy-app:1.0\n", ""));
  EXPECT_THAT(run({"remove", "my-app:1.0"}), FieldsAre(1, "", "gantry image: no image \"my-app:1.0\"\n"));
  EXPECT_THAT(run({"list", "--quiet"}), FieldsAre(0, "", ""));
  EXPECT_THAT(run({"load", "/nothing.tar"}), FieldsAre(1, "", HasSubstr("/nothing.tar: No such file")));
  std::ofstream(root_ / "image.json") << R"({"Entrypoint":"/bin/app"})";
  EXPECT_THAT(run({"build", "--tag", "x", "--config", (root_ / "image.json").string(), rootfs}),
              FieldsAre(1, "", HasSubstr("\"Entrypoint\" is not a list")));
  EXPECT_THAT(run({"build", "--tag", "X Y", rootfs}), FieldsAre(1, "", HasSubstr("image reference \"X Y\"")));
}
#endif

TEST_F(StoreTest, AFolderThatOthersCanWriteIsRefused) {
  fs::create_directories(root_ / "data");
  ::chmod((root_ / "data").c_str(), 0777);
  auto opened = ImageStore::open((root_ / "data").string(), StoreOptions{test_options()});
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message(), HasSubstr("others may write"));
}

}  // namespace
}  // namespace gantry::images
