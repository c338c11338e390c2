// SPDX-License-Identifier: Apache-2.0
// deps: gantry_images
// The confined worker on a real kernel: what it keeps of good layers, and hostile ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "sys/pipe.h"
#include "tests/support/image_world.h"

namespace gantry::images {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class UnpackTest : public ImagesTest {};

TEST_F(UnpackTest, KeepsWhatALayerSays) {
  Tar tar;
  tar.folder("./", {.mode = 0751, .uid = 7});
  tar.folder("etc/", {.mode = 0750, .uid = 3, .gid = 4, .mtime = 5'000'000});
  tar.file("etc/passwd", "root:x:0:0\n", {.mode = 04755, .uid = 1000, .gid = 4'000'000'000, .mtime = 123'456'789});
  tar.symlink("abs", "/etc/passwd");
  tar.symlink("out", "../../../canary");
  tar.hard_link("etc/link", "/etc/passwd");
  tar.fifo("pipe");
  tar.file("empty", "");
  auto unpacked = unpack_bytes(tar.bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(unpacked->diff_id, digest_of(tar.bytes()));
  EXPECT_EQ(unpacked->inodes, 6U);
  EXPECT_THAT(unpacked->implied_folders, IsEmpty());

  EXPECT_EQ(info_of(layer()).st_mode & 07777, 0751U);
  EXPECT_EQ(info_of(layer()).st_uid, 7U);
  struct stat etc = info_of(layer("etc"));
  EXPECT_EQ(etc.st_mode & 07777, 0750U);
  EXPECT_EQ(etc.st_mtim.tv_sec, 5'000'000) << "a folder's time must outlast the making of its files";
  struct stat passwd = info_of(layer("etc/passwd"));
  EXPECT_EQ(passwd.st_mode & 07777, 04755U);
  EXPECT_EQ(passwd.st_uid, 1000U);
  EXPECT_EQ(passwd.st_gid, 4'000'000'000U);
  EXPECT_EQ(passwd.st_mtim.tv_sec, 123'456'789);
  EXPECT_EQ(passwd.st_nlink, 2U);
  EXPECT_EQ(slurp(layer("etc/link")), "root:x:0:0\n");
  EXPECT_EQ(fs::read_symlink(layer("abs")), "/etc/passwd") << "where a link points is the container's business";
  EXPECT_EQ(fs::read_symlink(layer("out")), "../../../canary");
  EXPECT_TRUE(S_ISFIFO(info_of(layer("pipe")).st_mode));
}

TEST_F(UnpackTest, TakesGzipZstdPlainAndNothing) {
  Tar tar;
  tar.file("x", std::string(100'000, 'x'));
  for (const std::string& bytes : {tar.bytes(), test::gzip(tar.bytes()), test::zstd(tar.bytes()),
                                   test::gzip(tar.bytes().substr(0, 512)) + test::gzip(tar.bytes().substr(512))}) {
    auto unpacked = unpack_bytes(bytes);
    ASSERT_TRUE(unpacked) << unpacked.error().message();
    EXPECT_EQ(unpacked->diff_id, digest_of(tar.bytes()));
    EXPECT_EQ(slurp(layer("x")).size(), 100'000U);
  }
  for (const std::string& bytes : {std::string(), std::string(1024, '\0'), test::gzip("")}) {
    auto unpacked = unpack_bytes(bytes);
    EXPECT_TRUE(unpacked) << unpacked.error().message();
  }
}

TEST_F(UnpackTest, TheDigestIsOfTheWholeStream) {
  std::string bytes = Tar().file("x", "x").bytes() + std::string(100'000, 'z');
  auto unpacked = unpack_bytes(bytes);
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(unpacked->diff_id, digest_of(bytes));
}

TEST_F(UnpackTest, AFolderBehindALinkIsAFolderLikeOthers) {
  Tar tar;
  tar.folder("usr/lib/").symlink("lib", "usr/lib");
  tar.folder("lib/private/", {.mode = 0700, .mtime = 5'000'000}).file("lib/private/f", "1");
  tar.file("lib/implied/f", "1").file("lib/opaque/.wh..wh..opq", "").hard_link("hard", "lib/private/f");
  auto unpacked = unpack_bytes(tar.bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(info_of(layer("usr/lib/private")).st_mode & 07777, 0700U);
  EXPECT_EQ(info_of(layer("usr/lib/private")).st_mtim.tv_sec, 5'000'000);
  EXPECT_THAT(unpacked->implied_folders, ElementsAre("", "usr", "usr/lib/implied", "usr/lib/opaque"));
  EXPECT_TRUE(is_opaque(layer("usr/lib/opaque")));
  EXPECT_EQ(slurp(layer("hard")), "1");
  EXPECT_THAT(refusal(Tar().symlink("a", "b").symlink("b", "a").file("a/f", "1").bytes()), HasSubstr("more than 40"));
}

TEST_F(UnpackTest, NamesAreBytes) {
  const std::string nfd = "e\xcc\x81";  // e and a combining accent: normalising would make it one character
  const std::string latin = "caf\xe9";
  const std::string deep = std::string(90, 'd') + "/" + std::string(90, 'e') + "/f\xc3\xbc";
  Tar tar;
  tar.file("plain-\xc3\xbc", "1").file(latin, "2").file("x", "3", {.pax = {{"path", nfd}}});
  tar.file("y", "4", {.pax = {{"path", latin + "2"}}}).file(deep, "5");
  auto unpacked = unpack_bytes(tar.bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(slurp(layer("plain-\xc3\xbc")), "1");
  EXPECT_EQ(slurp(layer(latin)), "2");
  EXPECT_EQ(slurp(layer(nfd)), "3");
  EXPECT_EQ(slurp(layer(latin + "2")), "4");
  EXPECT_EQ(slurp(layer(deep)), "5");
  EXPECT_THAT(unpacked->implied_folders, Contains(deep.substr(0, 181)));
}

TEST_F(UnpackTest, KeepsCapabilitiesAndUserAttributesOnly) {
  // VFS_CAP_REVISION_2, cap_net_raw permitted and effective.
  const std::string capability("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  Tar tar;
  tar.file("ping", "x",
           {.mode = 0755,
            .uid = 5,
            .pax = {{"SCHILY.xattr.security.capability", capability},
                    {"SCHILY.xattr.user.note", "kept"},
                    {"SCHILY.xattr.user.overlay.opaque", "y"},
                    {"SCHILY.xattr.trusted.overlay.opaque", "y"},
                    {"SCHILY.xattr.trusted.overlay.redirect", "/../../../canary"},
                    {"SCHILY.xattr.security.selinux", "system_u:object_r:x_t:s0"},
                    {"SCHILY.xattr.system.posix_acl_access", "x"}}});
  auto unpacked = unpack_bytes(tar.bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  auto file = sys::openat(sys::kCwd, layer("ping").c_str(), O_RDONLY);
  EXPECT_EQ(sys::fgetxattr(*file, "security.capability")->value_or(""), capability);
  EXPECT_EQ(sys::fgetxattr(*file, "user.note")->value_or(""), "kept");
  for (const char* name : {"user.overlay.opaque", "trusted.overlay.opaque", "trusted.overlay.redirect",
                           "security.selinux", "system.posix_acl_access"}) {
    EXPECT_FALSE(*sys::fgetxattr(*file, name)) << name;
  }
}

TEST_F(UnpackTest, WhiteoutsHideAndOpaqueFoldersEndTheStack) {
  Tar tar;
  tar.file("a/.wh.gone", "");
  tar.folder("b/").file("b/.wh..wh..opq", "").file("b/own", "1");
  tar.file("c/.wh..wh..opq", "");
  tar.file("d/.wh.x", "").folder("d/x/").file("d/x/new", "1");  // whited out, then made anew
  tar.folder("e/x/").file("e/x/own", "1").file("e/.wh.x", "");  // the other way round
  tar.file("f/x", "own").file("f/.wh.x", "");                   // hides what is below, not this
  tar.file(".wh..wh.plnk/1.2", "").folder(".wh..wh.aufs");      // AUFS' own
  auto unpacked = unpack_bytes(tar.bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_TRUE(is_whiteout(layer("a/gone")));
  EXPECT_FALSE(fs::exists(layer("a/.wh.gone")));
  EXPECT_TRUE(is_opaque(layer("b")));
  EXPECT_EQ(slurp(layer("b/own")), "1");
  EXPECT_FALSE(fs::exists(layer("b/.wh..wh..opq")));
  EXPECT_TRUE(is_opaque(layer("c")));
  EXPECT_TRUE(is_opaque(layer("d/x")));
  EXPECT_EQ(slurp(layer("d/x/new")), "1");
  EXPECT_TRUE(is_opaque(layer("e/x")));
  EXPECT_EQ(slurp(layer("e/x/own")), "1");
  EXPECT_EQ(slurp(layer("f/x")), "own");
  EXPECT_FALSE(is_opaque(layer("a")));
  EXPECT_FALSE(fs::exists(layer(".wh..wh.plnk")));
  EXPECT_FALSE(fs::exists(layer(".wh..wh.aufs")));
}

TEST_F(UnpackTest, WhiteoutsOfNothingAreRefused) {
  for (const char* name : {".wh.", "a/.wh..", "a/.wh..."}) {
    EXPECT_THAT(refusal(Tar().file(name, "").bytes()), HasSubstr("whiteout")) << name;
  }
}

TEST_F(UnpackTest, DotDotIsRefusedAndAbsoluteNamesLeadInside) {
  for (const char* name : {"../escaped", "a/../../escaped", "/../escaped", "..", "a/..", "./../canary/file"}) {
    EXPECT_THAT(refusal(Tar().file(name, "x").bytes()), HasSubstr("\"..\" in its name")) << name;
  }
  EXPECT_THAT(refusal(Tar().file("x", "x").hard_link("y", "../canary/file").bytes()), HasSubstr("\"..\" in its name"));
  auto unpacked = unpack_bytes(Tar().file("/escaped", "x").file((root_ / "canary/file").string(), "x").bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(slurp(layer("escaped")), "x");
  EXPECT_EQ(slurp(layer((root_ / "canary/file").relative_path())), "x");
}

TEST_F(UnpackTest, LinksAsParentsLeadInside) {
  Tar tar;
  tar.folder("usr/lib/").symlink("lib", "usr/lib").file("lib/inside", "1");
  tar.symlink("abs", "/usr/lib").file("abs/also", "2");
  tar.symlink("up", "../../../../usr/lib").file("up/too", "3");
  auto unpacked = unpack_bytes(tar.bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(slurp(layer("usr/lib/inside")), "1");
  EXPECT_EQ(slurp(layer("usr/lib/also")), "2");
  EXPECT_EQ(slurp(layer("usr/lib/too")), "3");

  const std::string canary = (root_ / "canary").string();
  EXPECT_THAT(refusal(Tar().symlink("c", canary).file("c/file", "x").bytes()), HasSubstr("c/file"));
  EXPECT_THAT(refusal(Tar().symlink("d", "../../canary").file("d/file", "x").bytes()), HasSubstr("d/file"));
  EXPECT_THAT(refusal(Tar().symlink("e", "/proc/self/root" + canary).file("e/file", "x").bytes()), HasSubstr("e/file"));
  EXPECT_THAT(refusal(Tar().symlink("f", "f").file("f/file", "x").bytes()), HasSubstr("f/file"));
}

TEST_F(UnpackTest, AnEntryReplacesALinkAndNeverGoesThroughIt) {
  const std::string canary = (root_ / "canary/file").string();
  Tar tar;
  tar.symlink("x", canary).file("x", "file", {.mode = 0777});  // CVE-2021-32760: chmod through the link
  tar.symlink("y", (root_ / "canary").string()).folder("y/", {.mode = 0777}).file("y/file", "mine");
  tar.file("z", "1").hard_link("z", "z").file("w", "2").symlink("w", "z");
  tar.folder("f/").file("f/g", "1").file("f", "now a file");
  auto unpacked = unpack_bytes(tar.bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_TRUE(S_ISREG(info_of(layer("x")).st_mode));
  EXPECT_EQ(slurp(layer("y/file")), "mine");
  EXPECT_EQ(slurp(layer("z")), "1");
  EXPECT_EQ(fs::read_symlink(layer("w")), "z");
  EXPECT_EQ(slurp(layer("f")), "now a file");
}

// Unpacks as a tool does that takes names as they are.
void unpack_carelessly(const std::string& bytes, const fs::path& folder) {
  pid_t child = ::fork();
  if (child == 0) {
    archive* reader = ::archive_read_new();
    ::archive_read_support_format_tar(reader);
    ::archive_read_open_memory(reader, bytes.data(), bytes.size());
    archive_entry* entry = nullptr;
    if (::chdir(folder.c_str()) != 0) ::_exit(1);
    while (::archive_read_next_header(reader, &entry) == ARCHIVE_OK)
      ::archive_read_extract(reader, entry, ARCHIVE_EXTRACT_PERM);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
}

TEST_F(UnpackTest, TheAttacksBiteWhereNothingDefends) {
  const fs::path victim = root_ / "victim";
  fs::create_directories(victim / "work");
  const std::string dots = Tar().file("../dots", "x").bytes();
  const std::string parent = Tar().symlink("s", victim.string()).file("s/parent", "x").bytes();
  for (const std::string& attack : {dots, parent}) unpack_carelessly(attack, victim / "work");
  EXPECT_TRUE(fs::exists(victim / "dots"));
  EXPECT_TRUE(fs::exists(victim / "parent"));

  fs::remove(victim / "dots");
  fs::remove(victim / "parent");
  for (const std::string& attack : {dots, parent}) EXPECT_FALSE(unpack_bytes(attack));
  EXPECT_FALSE(fs::exists(victim / "dots"));
  EXPECT_FALSE(fs::exists(victim / "parent"));
}

// CVE-2025-47290: a folder that was looked at is a link when it is written into. In a layer's folder nobody else
// writes; here somebody does.
TEST_F(UnpackTest, AFolderThatBecomesALinkMeanwhileLeadsNowhere) {
  Tar tar;
  for (int i = 0; i < 3000; ++i) tar.file("d/f" + std::to_string(i), "x", {.mode = 04777});
  const std::string bytes = tar.bytes();
  auto attacked = [](const fs::path& folder, const std::function<void()>& work) {
    const fs::path victim = folder.parent_path() / (folder.filename().string() + "-victim");
    for (const fs::path& each : {victim, folder / "d"}) fs::create_directories(each);
    fs::create_symlink(victim, folder / "s");
    auto dir = sys::open_dir(sys::kCwd, folder.c_str());
    std::atomic<bool> over = false;
    std::thread attacker([&] {
      while (!over) (void)sys::renameat2(*dir, "d", *dir, "s", RENAME_EXCHANGE);
    });
    work();
    over = true;
    attacker.join();
    return std::distance(fs::directory_iterator(victim), fs::directory_iterator());
  };
  // On a busy machine the attacker may not come to it in time.
  std::ptrdiff_t bitten = 0;
  for (int tries = 0; tries < 50 && bitten == 0; ++tries) {
    const fs::path careless = root_ / ("careless" + std::to_string(tries));
    bitten = attacked(careless, [&] { unpack_carelessly(bytes, careless); });
  }
  EXPECT_GT(bitten, 0) << "the attack does not bite";
  EXPECT_EQ(attacked(layer(), [&] { (void)unpack_bytes(bytes); }), 0);
}

TEST_F(UnpackTest, HardLinksPointAtFilesOfTheLayer) {
  const std::string canary = (root_ / "canary").string();
  EXPECT_THAT(refusal(Tar().hard_link("x", canary + "/file").bytes()), HasSubstr("hard link to"));
  EXPECT_THAT(refusal(Tar().symlink("c", canary).hard_link("x", "c/file").bytes()), HasSubstr("hard link to"));
  EXPECT_THAT(refusal(Tar().folder("d").hard_link("x", "d").bytes()), HasSubstr("folder"));
  EXPECT_THAT(refusal(Tar().hard_link("x", "/").bytes()), HasSubstr("root folder"));
  auto unpacked = unpack_bytes(Tar().symlink("s", canary + "/file").hard_link("l", "s").bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_TRUE(S_ISLNK(info_of(layer("l")).st_mode)) << "the link itself, not what it points at";
}

TEST_F(UnpackTest, DevicesAreNodesAndNothingMore) {
  auto unpacked = unpack_bytes(Tar().device("dev/sda", 'b', 8, 0).device("dev/null", 'c', 1, 3).bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_TRUE(S_ISBLK(info_of(layer("dev/sda")).st_mode));
  EXPECT_EQ(info_of(layer("dev/sda")).st_rdev, ::makedev(8, 0));
  EXPECT_EQ(info_of(layer("dev/null")).st_rdev, ::makedev(1, 3));
  // Later entries go beside it, never into it; the worker's mount is nodev.
  auto replaced = unpack_bytes(Tar().device("n", 'c', 1, 3).file("n", "a file").bytes());
  ASSERT_TRUE(replaced) << replaced.error().message();
  EXPECT_TRUE(S_ISREG(info_of(layer("n")).st_mode));
}

TEST_F(UnpackTest, AFolderWithoutAnEntryIsImplied) {
  auto unpacked = unpack_bytes(Tar().file("a/b/c", "x").folder("a/").file("d/x", "x").bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_THAT(unpacked->implied_folders, ElementsAre("", "a/b", "d"));
}

TEST_F(UnpackTest, HolesStayHoles) {
  auto unpacked = unpack_bytes(Tar().sparse("disk", 4ULL << 30, {{1 << 20, 4096}, {2ULL << 30, 100}}).bytes());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  struct stat info = info_of(layer("disk"));
  EXPECT_EQ(info.st_size, 4LL << 30);
  EXPECT_LT(info.st_blocks, 64);
  EXPECT_LT(unpacked->bytes, 64U * 512);
}

TEST_F(UnpackTest, SizesAreBounded) {
  UnpackOptions options = test_options();
  options.limits.file_bytes = 1 << 20;
  options.limits.total_bytes = 4 << 20;
  options.limits.entries = 100;
  EXPECT_THAT(refusal(Tar().sparse("huge", 1ULL << 40, {{0, 512}}).bytes(), options),
              HasSubstr("\"huge\": a file of 1099511627776"));
  EXPECT_THAT(refusal(Tar().lie("huge", 1ULL << 62).bytes(), options), HasSubstr("\"huge\": a file of"));
  Tar files;
  for (int i = 0; i < 5; ++i) files.sparse("f" + std::to_string(i), 1 << 20, {{0, 512}});
  EXPECT_THAT(refusal(files.bytes(), options), HasSubstr("add up to more than"));
  Tar entries;
  for (int i = 0; i < 101; ++i) entries.folder("d" + std::to_string(i));
  EXPECT_THAT(refusal(entries.bytes(), options), HasSubstr("more than the 100 entries"));
  EXPECT_THAT(refusal(std::string(5 << 20, '\0'), options), HasSubstr("unpacks to more than the 4194304"));
}

TEST_F(UnpackTest, ABombIsStoppedEarly) {
  // 600 MiB of zeros in a few hundred KiB, as data of one honest entry; and zstd, which packs it into a few ten.
  std::string zeros = Tar().lie("zeros", 600ULL << 20).bytes();
  zeros.resize(512 + (600ULL << 20));
  for (const std::string& bomb : {test::gzip(zeros), test::zstd(zeros)}) {
    EXPECT_THAT(refusal(bomb), HasSubstr("inflate to more than 200 times"));
    const auto written = static_cast<std::uint64_t>(info_of(layer("zeros")).st_blocks) * 512;
    EXPECT_LT(written, 500ULL << 20);
    fs::remove(layer("zeros"));
  }
}

TEST_F(UnpackTest, DepthIsBounded) {
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d/";
  EXPECT_THAT(refusal(Tar().folder(deep).bytes()), HasSubstr("nested more than 256"));
  // By links, each of which is harmless: 200 levels, then 200 more below the link to them.
  std::string level;
  for (int i = 0; i < 200; ++i) level += "d/";
  Tar tar;
  tar.folder(level).symlink("s", level).folder("s/" + level).file("s/" + level + "x", "x");
  EXPECT_THAT(refusal(tar.bytes()), HasSubstr("nested more than 256"));
}

TEST_F(UnpackTest, SparseMapsOfMillionsAreBounded) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> extents;
  for (std::uint64_t i = 0; i < 1'000'000; ++i) extents.emplace_back(i * 4096, 0);
  auto unpacked = unpack_bytes(Tar().sparse("map", 4ULL << 30, extents).bytes());
  if (!unpacked) EXPECT_THAT(unpacked.error().message(), HasSubstr("tar"));
}

TEST_F(UnpackTest, DamageIsAnErrorThatSaysSo) {
  std::string good = Tar().file("x", std::string(100'000, 'q')).bytes();
  std::string packed = test::gzip(good);
  EXPECT_THAT(refusal(packed.substr(0, packed.size() / 2)), HasSubstr("inflated"));
  EXPECT_THAT(refusal(test::zstd(good).substr(0, 40)), HasSubstr("inflated"));
  EXPECT_THAT(refusal(good.substr(0, 50'000)), HasSubstr("not a whole tar archive"));
  EXPECT_THAT(refusal(std::string(4096, 'q')), HasSubstr("not a whole tar archive"));
  std::string flipped = good;
  flipped[0] ^= 1;  // the checksum no longer fits
  EXPECT_THAT(refusal(flipped), HasSubstr("not a whole tar archive"));
  EXPECT_THAT(refusal(Tar().file("x", "x", {.pax = {{"uid", "4294967295"}}}).bytes()), HasSubstr("owner"));
}

TEST_F(UnpackTest, AHundredThousandEntries) {
  Tar tar;
  for (int i = 0; i < 100'000; ++i) tar.file("d" + std::to_string(i / 1000) + "/f" + std::to_string(i), "x");
  const std::string packed = test::gzip(tar.bytes());
  UnpackOptions options = test_options();
  options.deadline = std::chrono::minutes(5);
  auto started = std::chrono::steady_clock::now();
  auto unpacked = unpack_bytes(packed, options);
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(unpacked->inodes, 100'100U);
  std::printf(
      "100,000 entries: %ld ms\n",
      static_cast<long>(
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - started).count()));
}

TEST_F(UnpackTest, ASourceThatNeverEndsMeetsTheDeadline) {
  auto pipe = sys::pipe();
  auto folder = sys::openat(sys::kCwd, layer().c_str(), O_RDONLY | O_DIRECTORY);
  UnpackOptions options = test_options();
  options.deadline = std::chrono::milliseconds(300);
  auto unpacked = unpack(pipe->read_end, *folder, UnpackKind::kLayer, options);
  ASSERT_FALSE(unpacked);
  EXPECT_TRUE(unpacked.error().is_deadline()) << unpacked.error().message();
}

// Unpacks on another thread out of a pipe that was given `begin` of an archive, and lets `meddle` at the workers.
template <typename Meddle>
Result<Unpacked> unpack_meddled(FdRef folder, std::string_view begin, const UnpackOptions& options, Meddle meddle) {
  auto pipe = sys::pipe();
  std::optional<Result<Unpacked>> result;
  pid_t tid = 0;
  auto announced = sys::pipe();
  std::atomic<bool> is_over = false;
  std::thread thread([&] {
    tid = ::gettid();
    (void)sys::write_all(announced->write_end, "x");
    result.emplace(unpack(pipe->read_end, folder, UnpackKind::kLayer, options));
    is_over = true;
    // What is still being written nobody else takes.
    char rest[4096];
    for (pollfd readable{pipe->read_end.get(), POLLIN, 0}; ::poll(&readable, 1, -1) == 1;) {
      if (sys::read(pipe->read_end, rest, sizeof(rest)).value_or(0) == 0) break;
    }
  });
  char ignored;
  (void)sys::read(announced->read_end, &ignored, 1);
  EXPECT_TRUE(sys::write_all(pipe->write_end, begin));
  // Both workers run when the bytes have passed the second: its first file is there. With little patience they may have
  // been given up before.
  std::vector<pid_t> workers;
  while (!is_over && (workers.size() < 2 || !sys::fstatat(folder, "first", AT_SYMLINK_NOFOLLOW))) {
    workers.clear();
    std::ifstream file("/proc/self/task/" + std::to_string(tid) + "/children");
    for (pid_t pid; file >> pid;) workers.push_back(pid);
    ::usleep(1000);  // the kernel gives no event for another thread's children
  }
  if (!is_over) meddle(workers);
  pipe->write_end.close();
  thread.join();
  return std::move(*result);
}

std::string unfinished_archive() {
  std::string bytes = Tar().file("first", "x").file("second", std::string(3 << 20, 'x')).bytes();
  return bytes.substr(0, 1 << 20);
}

TEST_F(UnpackTest, AKilledWorkerIsAnError) {
  for (std::size_t victim : {0U, 1U}) {
    auto folder = sys::openat(sys::kCwd, layer().c_str(), O_RDONLY | O_DIRECTORY);
    auto unpacked = unpack_meddled(*folder, unfinished_archive(), test_options(),
                                   [&](const std::vector<pid_t>& workers) { ::kill(workers[victim], SIGKILL); });
    ASSERT_FALSE(unpacked);
    EXPECT_THAT(unpacked.error().message(), HasSubstr("ended by signal 9"));
    fs::remove_all(layer("first"));
  }
}

TEST_F(UnpackTest, AHangingWorkerIsKilled) {
  for (std::size_t victim : {0U, 1U}) {
    auto folder = sys::openat(sys::kCwd, layer().c_str(), O_RDONLY | O_DIRECTORY);
    UnpackOptions options = test_options();
    options.patience = std::chrono::seconds(1);
    auto unpacked = unpack_meddled(*folder, unfinished_archive(), options,
                                   [&](const std::vector<pid_t>& workers) { ::kill(workers[victim], SIGSTOP); });
    ASSERT_FALSE(unpacked);
    EXPECT_TRUE(unpacked.error().is_deadline()) << unpacked.error().message();
    EXPECT_THAT(unpacked.error().message(), HasSubstr("the unpack worker"));
    fs::remove_all(layer("first"));
  }
}

TEST_F(UnpackTest, AWorkerThatIsGivenNothingIsNotTheOneWhoHangs) {
  auto folder = sys::openat(sys::kCwd, layer().c_str(), O_RDONLY | O_DIRECTORY);
  UnpackOptions options = test_options();
  options.patience = std::chrono::seconds(3);
  auto unpacked = unpack_meddled(*folder, unfinished_archive(), options, [&](const std::vector<pid_t>&) {
    std::this_thread::sleep_for(options.patience + std::chrono::seconds(2));
  });
  ASSERT_FALSE(unpacked);
  EXPECT_THAT(unpacked.error().message(), HasSubstr("not a whole tar archive"));
}

TEST_F(UnpackTest, TheWorkersAreConfined) {
  auto folder = sys::openat(sys::kCwd, layer().c_str(), O_RDONLY | O_DIRECTORY);
  std::vector<std::string> status, roots, spaces;
  std::size_t most_fds = 0;
  auto unpacked = unpack_meddled(*folder, unfinished_archive(), test_options(), [&](const std::vector<pid_t>& workers) {
    for (pid_t worker : workers) {
      const fs::path proc = "/proc/" + std::to_string(worker);
      status.push_back(slurp(proc / "status"));
      std::string names;
      for (const auto& entry : fs::directory_iterator(proc / "root/")) names += entry.path().filename().string() + " ";
      roots.push_back(names);
      for (const char* kind : {"mnt", "net", "ipc", "uts"}) {
        spaces.push_back(fs::read_symlink(proc / "ns" / kind) == fs::read_symlink(fs::path("/proc/self/ns") / kind)
                             ? "ours"
                             : "own");
      }
      std::size_t fds = static_cast<std::size_t>(std::distance(fs::directory_iterator(proc / "fd"), {}));
      most_fds = std::max(most_fds, fds);
      EXPECT_EQ(slurp(proc / "mountinfo").find(" / / "), slurp(proc / "mountinfo").rfind(" / / ")) << "one mount alone";
    }
    for (pid_t worker : workers) ::kill(worker, SIGKILL);
  });
  EXPECT_FALSE(unpacked);
  ASSERT_EQ(status.size(), 2U);
  // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, MKNOD 27, SETFCAP 31.
  EXPECT_THAT(status[0], HasSubstr("CapPrm:\t000000008800001b"));
  EXPECT_THAT(status[1], HasSubstr("CapPrm:\t0000000000000000"));
  for (const std::string& text : status) {
    EXPECT_THAT(text, HasSubstr("CapBnd:\t0000000000000000"));
    EXPECT_THAT(text, HasSubstr("CapAmb:\t0000000000000000"));
    EXPECT_THAT(text, HasSubstr("CapInh:\t0000000000000000"));
    EXPECT_THAT(text, HasSubstr("NoNewPrivs:\t1"));
    EXPECT_THAT(text, HasSubstr("Seccomp:\t2"));
  }
  EXPECT_THAT(roots[0], HasSubstr("first"));
  EXPECT_EQ(roots[1], "") << "the inflater sees no file at all";
  for (const std::string& space : spaces) EXPECT_EQ(space, "own");
  EXPECT_LE(most_fds, 10U);
}

}  // namespace
}  // namespace gantry::images
