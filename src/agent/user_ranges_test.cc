// SPDX-License-Identifier: Apache-2.0
#include "agent/user_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/tree.h"

namespace gantry::agent {
namespace {

using test::Tree;
using testing::HasSubstr;

constexpr char kRecordOf[] =
    R"({"uidMappings":[{"hostId":%,"containerId":0,"length":65536}],)"
    R"("gidMappings":[{"hostId":%,"containerId":0,"length":65536}]})";

std::string record_of(std::string_view first) {
  std::string text;
  for (const char* c = kRecordOf; *c != 0; ++c) {
    if (*c == '%') {
      text += first;
    } else {
      text += *c;
    }
  }
  return text;
}

UserRanges ranges_in(const Tree& tree, std::uint32_t per_pod = UserRanges::kUnit) {
  return {{tree.path() + "/pods", tree.path() + "/subuid", tree.path() + "/subgid"}, per_pod};
}

std::string problem_of(const std::string& subuid, const std::string& subgid, std::uint32_t per_pod = 65536) {
  auto ids = ids_for_pods(subuid, subgid, per_pod);
  return ids ? "" : ids.error().message();
}

TEST(UserRangesTest, IdsAreThoseOfTheUserKubelet) {
  const std::string others = "# comment\nroot:100000:65536\nkubelets:5:6\n\n";
  EXPECT_EQ(ids_for_pods(others, "", 65536), (UserRange{65536, 4294836224U}));
  EXPECT_EQ(ids_for_pods(others + "kubelet:131072:262144\n", "kubelet:131072:262144", 65536),
            (UserRange{131072, 262144}));
  EXPECT_EQ(ids_for_pods("", "", 1U << 20), (UserRange{1U << 20, 4293918720U - (1U << 20)}));
  EXPECT_EQ(problem_of("kubelet:65536:65536", ""), "mismatched subuids and subgids for user \"kubelet\"");
  EXPECT_EQ(problem_of("kubelet:65536:65536", "kubelet:65536:131072"),
            "mismatched subuids and subgids for user \"kubelet\"");
  for (const char* line : {"kubelet:0:65536", "kubelet:65537:65536", "kubelet:65536:65537", "kubelet:65536:0",
                           "kubelet:x:65536", "kubelet:4294901760:65536", "kubelet:65536:4294967296",
                           "kubelet:65536:65536\nkubelet:131072:65536"}) {
    EXPECT_NE(problem_of(line, line), "") << line;
  }
  EXPECT_NE(problem_of("", "", 1U << 31), "");
  EXPECT_NE(problem_of("kubelet:65536:131072", "kubelet:65536:131072", 131072), "") << "below the first range";
}

TEST(UserRangesTest, NoTwoPodsHaveTheSame) {
  Tree tree{{"pods/", ""}, {"subuid", "kubelet:65536:196608\n"}, {"subgid", "kubelet:65536:196608\n"}};
  UserRanges ranges = ranges_in(tree);
  ASSERT_TRUE(ranges.load({}));
  std::set<std::uint32_t> firsts;
  for (const char* uid : {"u1", "u2", "u3"}) {
    auto range = ranges.take(uid);
    ASSERT_TRUE(range);
    EXPECT_EQ(range->length, 65536U);
    EXPECT_EQ(ranges.of(uid), *range);
    EXPECT_EQ(tree.at(std::string("pods/") + uid + "/userns"), record_of(std::to_string(range->first)));
    firsts.insert(range->first);
  }
  EXPECT_EQ(firsts, (std::set<std::uint32_t>{65536, 131072, 196608}));
  auto none = ranges.take("u4");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message(), "could not find an empty slot to allocate a user namespace");
  EXPECT_EQ(ranges.take("u2"), *ranges.of("u2")) << "a pod keeps its own";
  const auto freed = *ranges.of("u2");
  ASSERT_TRUE(ranges.release("u2"));
  EXPECT_EQ(ranges.of("u2"), std::nullopt);
  EXPECT_EQ(ranges.take("u4"), freed);
  EXPECT_TRUE(ranges.release("unknown"));
  for (const char* uid : {"u1", "u3", "u4"}) EXPECT_TRUE(ranges.release(uid));
  EXPECT_EQ(tree.contents(), (Tree::Files{{"subuid", "kubelet:65536:196608\n"}, {"subgid", "kubelet:65536:196608\n"}}));
}

TEST(UserRangesTest, WhatEarlierPodsHaveIsTheirs) {
  Tree tree{{"subuid", "kubelet:65536:327680"}, {"subgid", "kubelet:65536:327680"}};
  tree.put("pods/running/userns", record_of("65536"));
  tree.put("pods/running/etc-hosts", "");
  tree.put("pods/lost/userns", record_of("131072"));
  tree.put("pods/lost/volumes/x", "");
  tree.put("pods/never/userns", record_of("196608"));
  tree.put("pods/new/userns.new", "{");
  tree.put("pods/began/userns", record_of("262144"));
  tree.put("pods/.gone.going/userns", record_of("327680"));
  tree.put("pods/plain/etc-hosts", "");
  UserRanges ranges = ranges_in(tree);
  ASSERT_TRUE(ranges.load({"running", "began"}));
  EXPECT_EQ(ranges.of("running"), (UserRange{65536, 65536}));
  EXPECT_EQ(ranges.of("lost"), (UserRange{131072, 65536})) << "something of it may run, whatever the runtime knows";
  EXPECT_EQ(ranges.of("began"), (UserRange{262144, 65536}));
  EXPECT_EQ(ranges.of("never"), std::nullopt) << "a start that was cut short";
  EXPECT_EQ(tree.contents().count("pods/never/userns"), 0U);
  EXPECT_EQ(tree.contents().count("pods/new/userns.new"), 0U);
  EXPECT_EQ(ranges.of("plain"), std::nullopt);
  std::set<std::uint32_t> firsts;
  for (const char* uid : {"u1", "u2"}) {
    auto range = ranges.take(uid);
    ASSERT_TRUE(range);
    firsts.insert(range->first);
  }
  EXPECT_EQ(firsts, (std::set<std::uint32_t>{196608, 327680}));
  EXPECT_FALSE(ranges.take("u3"));
}

// Another number of ids for each, and other ids: those who have some keep theirs.
TEST(UserRangesTest, ChangedSettingsTouchNoPodThatRuns) {
  Tree tree{{"pods/old/etc-hosts", ""}, {"subuid", "kubelet:131072:262144"}, {"subgid", "kubelet:131072:262144"}};
  tree.put("pods/old/userns", record_of("196608"));
  UserRanges ranges = ranges_in(tree, 131072);
  ASSERT_TRUE(ranges.load({"old"}));
  EXPECT_EQ(ranges.of("old"), (UserRange{196608, 65536}));
  EXPECT_EQ(ranges.take("new"), (UserRange{262144, 131072})) << "the only one that has nothing of the old one's";
  EXPECT_FALSE(ranges.take("other"));
}

TEST(UserRangesTest, ARecordThatCanNotBeReadKeepsNewPodsFromIds) {
  const std::string good = record_of("65536");
  for (const std::string& bad :
       {std::string(), std::string("{}"), good.substr(1), record_of("-1"), record_of("4294901760"),
        std::string(R"({"uidMappings":[{"hostId":1,"containerId":0,"length":1}],)"
                    R"("gidMappings":[{"hostId":2,"containerId":0,"length":1}]})"),
        std::string(R"({"uidMappings":[{"hostId":1,"containerId":1,"length":1}],)"
                    R"("gidMappings":[{"hostId":1,"containerId":1,"length":1}]})")}) {
    Tree tree{{"pods/good/etc-hosts", ""}};
    tree.put("pods/bad/userns", bad);
    tree.put("pods/good/userns", good);
    UserRanges ranges = ranges_in(tree);
    auto loaded = ranges.load({"bad"});
    ASSERT_FALSE(loaded) << bad;
    EXPECT_THAT(loaded.error().message(), HasSubstr("pods/bad/userns"));
    EXPECT_EQ(ranges.take("good"), (UserRange{65536, 65536})) << "which has them";
    auto taken = ranges.take("new");
    ASSERT_FALSE(taken);
    EXPECT_THAT(taken.error().message(), HasSubstr("pods/bad/userns"));
  }
}

}  // namespace
}  // namespace gantry::agent
