// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/users.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kPasswd =
    "# comment\n"
    "root:x:0:0:root:/root:/bin/sh\n"
    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    "1000:x:0:0::/:/bin/sh\n"  // CVE-2016-3697: a name made of digits
    "web:x:33:33:web:/var/www:/bin/sh\n"
    "web:x:34:34:second:/other:/bin/sh\n"  // the first one counts
    "alias:x:33:99:same uid:/alias:/bin/sh\n"
    "big:x:2147483648:1::/:/bin/sh\n"
    "minus:x:-1:1::/:/bin/sh\n"
    "empty:x::1::/:/bin/sh\n"
    "hex:x:0x0:0::/:/bin/sh\n"
    "short:x:70:71\n"
    ":x:0:0::/:/bin/sh\n"
    "+nis:x:5:5::/:/bin/sh\n"
    "evil:x:80:80::/home\r/x:/bin/sh\n"
    "last:x:90:91::/last:/bin/sh";  // no line end

constexpr std::string_view kGroup =
    "root:x:0:\n"
    "www:x:33:\n"
    "audio:x:29:web,daemon\n"
    "video:x:44:daemon,web\n"
    "own:x:33:web\n"
    "bad:x:4294967296:web\n"
    "1234:x:0:\n"
    "webby:x:50:webmaster,xweb,we\n"
    "tail:x:60:web";

UserDatabase database() { return *UserDatabase::parse(kPasswd, kGroup); }

TEST(Users, GoodUserStrings) {
  struct Row {
    const char* user;
    std::uint32_t uid, gid;
  };
  for (const auto& [user, uid, gid] : {
           Row{"", 0, 0},  // absent is root, and only absent
           Row{"0", 0, 0},
           Row{"root", 0, 0},
           Row{"web", 33, 33},
           Row{"33", 33, 33},
           Row{"web:audio", 33, 29},
           Row{"web:1", 33, 1},
           Row{"33:video", 33, 44},
           Row{"33:0", 33, 0},
           Row{"1000", 1000, 0},          // CVE-2016-3697: never the entry that is named so
           Row{"1000:1234", 1000, 1234},  // nor a group of digits
           Row{"12345:54321", 12345, 54321},
           Row{"2147483647", 2147483647, 0},
           Row{"0:2147483647", 0, 2147483647},
           Row{"short", 70, 71},
           Row{"last", 90, 91},
           Row{"0033", 33, 33},
       }) {
    auto resolved = resolve_user(user, database());
    ASSERT_TRUE(resolved) << user << ": " << resolved.error().message();
    EXPECT_EQ(resolved->uid, uid) << user;
    EXPECT_EQ(resolved->gid, gid) << user;
  }
}

// CVE-2026-30892, CVE-2024-40635: error, and never 0.
TEST(Users, BadUserStrings) {
  using std::string_view_literals::operator""sv;
  for (std::string_view user : {":"sv,
                                "1:"sv,
                                ":1"sv,
                                "1:1:"sv,
                                "::"sv,
                                "1::1"sv,
                                "1:2:3"sv,
                                " 1"sv,
                                "1 "sv,
                                "1 :1"sv,
                                "+1"sv,
                                "-1"sv,
                                "1:-1"sv,
                                "0x0"sv,
                                "1e3"sv,
                                "1.0"sv,
                                "nobody"sv,
                                "web:nogroup"sv,
                                "root\n"sv,
                                "root\0"sv,
                                "\0"sv,
                                "2147483648"sv,
                                "4294967295"sv,
                                "4294967296"sv,
                                "18446744073709551616"sv,
                                "99999999999999999999999"sv,
                                "0:2147483648"sv,
                                "0:4294967296"sv,
                                "big"sv,
                                "minus"sv,
                                "empty"sv,
                                "hex"sv,
                                "+nis"sv,
                                "# comment"sv,
                                "ROOT"sv,
                                "\xd9\xa1"sv}) {
    auto resolved = resolve_user(user, database());
    ASSERT_FALSE(resolved) << user << " became " << resolved->uid << ":" << resolved->gid;
    EXPECT_TRUE(resolved.error().is_invalid()) << user;
  }
}

TEST(Users, NumbersThatAreOutOfRangeAreNamed) {
  auto resolved = resolve_user("4294967296", database());
  ASSERT_FALSE(resolved);
  EXPECT_THAT(resolved.error().message(), HasSubstr("4294967296"));
  EXPECT_THAT(resolved.error().message(), HasSubstr("2147483647"));
  EXPECT_FALSE(checked_id(-1, "user"));
  EXPECT_FALSE(checked_id(2147483648, "user"));
  EXPECT_EQ(*checked_id(2147483647, "user"), 2147483647U);
}

TEST(Users, NamesOfTheApi) {
  auto users = database();
  EXPECT_EQ(resolve_name("web", std::nullopt, users)->gid, 33U);
  EXPECT_EQ(resolve_name("web", 7, users)->gid, 7U);
  EXPECT_EQ(resolve_name("1000", std::nullopt, users)->uid, 1000U);
  EXPECT_EQ(resolve_uid(33, std::nullopt, users)->gid, 33U);
  EXPECT_EQ(resolve_uid(4000, std::nullopt, users)->gid, 0U);
  EXPECT_EQ(resolve_uid(4000, 9, users)->gid, 9U);
  for (const char* name : {"", "web:0", "1000:0", "nobody", "4294967296"}) {
    EXPECT_FALSE(resolve_name(name, std::nullopt, users)) << name;
  }
}

TEST(Users, GroupsByMembership) {
  auto users = database();
  // Of one's own, of no near miss, and of nothing out of range; the primary group is not among them.
  EXPECT_THAT(resolve_user("web", users)->member_groups, ElementsAre(29, 44, 60));
  EXPECT_THAT(resolve_user("33", users)->member_groups, ElementsAre(29, 44, 60));
  EXPECT_THAT(resolve_user("web:audio", users)->member_groups, ElementsAre(44, 33, 60));
  EXPECT_THAT(resolve_user("4000", users)->member_groups, IsEmpty());
}

TEST(Users, HomeComesFromTheFirstEntry) {
  auto users = database();
  EXPECT_EQ(resolve_user("web", users)->home, "/var/www");
  EXPECT_EQ(resolve_user("33", users)->home, "/var/www");
  EXPECT_EQ(resolve_user("4000", users)->home, "");
  EXPECT_EQ(resolve_user("short", users)->home, "");
}

// CVE-2022-4318, CVE-2026-15809: the real bytes.
TEST(Users, HomeWithBytesThatBreakAPasswdLine) {
  using std::string_literals::operator""s;
  for (const std::string& home : {"/a\nroot::0:0::/:/bin/sh"s, "/a\r"s, "/a\0b"s, "/a:b"s, "\x7f"s, "\x1b[0m"s}) {
    EXPECT_FALSE(check_home(home, "test")) << home;
  }
  for (const std::string& home : {"/"s, "/home/me"s, "/a\\nb"s, "/h\xc3\xb6me"s, ""s})
    EXPECT_TRUE(check_home(home, "test")) << home;
  EXPECT_FALSE(check_home(resolve_user("evil", database())->home, "test"));
}

TEST(Users, TextsAreBounded) {
  std::string huge(kMaxUserDatabaseBytes + 1, 'x');
  auto refused = UserDatabase::parse(huge, "");
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is_resource());
  EXPECT_THAT(refused.error().message(), HasSubstr("/etc/passwd"));
  EXPECT_FALSE(UserDatabase::parse("", huge));
  huge.pop_back();
  EXPECT_TRUE(UserDatabase::parse(huge, huge));
}

TEST(Users, AnImageWithoutFiles) {
  UserDatabase none;
  EXPECT_EQ(resolve_user("", none)->uid, 0U);
  EXPECT_EQ(resolve_user("5:6", none)->gid, 6U);
  EXPECT_FALSE(resolve_user("root", none));
}

}  // namespace
}  // namespace gantry::runtime
