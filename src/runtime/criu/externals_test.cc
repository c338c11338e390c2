// SPDX-License-Identifier: Apache-2.0
#include "runtime/criu/externals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

constexpr const char* kMounts = R"(900 800 0:50 / / rw,relatime - overlay none rw,lowerdir=l/1,upperdir=c/2/u
901 900 0:51 / /proc rw,nosuid - proc proc rw
902 900 0:52 / /dev rw,nosuid - tmpfs tmpfs rw,mode=755
903 902 0:53 / /dev/shm rw - tmpfs tmpfs rw,size=65536k
904 900 0:54 / /sys ro - sysfs sysfs ro
905 904 0:27 /kubepods/pod1/c1 /sys/fs/cgroup ro - cgroup2 cgroup rw
906 900 8:1 /var/lib/gantry/sandboxes/1/hosts /etc/hosts rw - ext4 /dev/sda rw
907 900 8:1 /srv /data\040of\134it rw - ext4 /dev/sda rw
908 907 0:60 / /data\040of\134it/memory rw - tmpfs tmpfs rw
909 901 0:51 /sys /proc/sys ro - proc proc rw
910 901 0:61 /null /proc/kcore ro - tmpfs tmpfs ro
911 901 0:61 /empty /proc/acpi ro - tmpfs tmpfs ro
912 900 0:50 /usr /mnt rw - overlay none rw
913 900 0:62 / /image ro - overlay none ro
914 900 0:63 / /scratch rw - tmpfs tmpfs rw
no line
)";

TEST(ExternalMountsTest, AreWhatComesFromTheHost) {
  auto mounts = sys::parse_mounts(kMounts);
  ASSERT_EQ(mounts.size(), 15U);
  EXPECT_EQ(mounts[7].point, "/data of\\it");
  EXPECT_EQ(mounts[7].id, 907U);
  auto externals = external_mounts(mounts, {"/dev/shm", "/etc/hosts", "/data of\\it"}, {"/proc/kcore"}, {"/proc/acpi"});
  EXPECT_THAT(
      externals,
      ElementsAre(Pair("/dev/shm", "/dev/shm"), Pair("/etc/hosts", "/etc/hosts"), Pair("/data of\\it", "/data of\\it"),
                  Pair("/data of\\it/memory", "/data of\\it/memory"), Pair("/proc/kcore", "/dev/null"),
                  Pair("/proc/acpi", "masked folder"), Pair("/image", "/image")));
}

// What a container with CAP_SYS_ADMIN has bound elsewhere.
TEST(ExternalMountsTest, AreExternalInEachPlace) {
  auto externals = external_mounts(sys::parse_mounts("1 0 0:50 / / rw - overlay none rw\n"
                                                     "2 1 8:1 /srv /data rw - ext4 /dev/sda rw\n"
                                                     "3 1 8:1 /srv/deep /again rw - ext4 /dev/sda rw\n"),
                                   {"/data"}, {}, {});
  EXPECT_THAT(externals, ElementsAre(Pair("/data", "/data"), Pair("/again", "/again")));
}

TEST(StreamNamesTest, AreCrius) {
  struct stat info{};
  info.st_ino = 255;
  EXPECT_EQ(pipe_name(info), "pipe:[255]");
  EXPECT_EQ(file_name(31, info), "file[1f:ff]");
}

}  // namespace
}  // namespace gantry::runtime
