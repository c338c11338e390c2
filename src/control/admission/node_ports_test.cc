// SPDX-License-Identifier: Apache-2.0
#include "control/admission/node_ports.h"

#include <gtest/gtest.h>

#include "control/store/sqlite_store.h"
#include "control/store/store_fixture.h"

namespace gantry::control {
namespace {

class NodePortsTest : public ::testing::Test {
 protected:
  NodePorts::Taken take(std::vector<std::int32_t> wanted, std::size_t more, bool dry_run = false) {
    Result<NodePorts::Taken> taken = run(loop_, ports_.take(loop_, std::move(wanted), more, dry_run));
    EXPECT_TRUE(taken) << taken.error().message();
    return taken ? *taken : NodePorts::Taken{};
  }

  Loop loop_;
  TemporaryFolder folder_;
  std::unique_ptr<SqliteStore> store_ = std::move(*SqliteStore::open(folder_ / "store.db"));
  NodePorts ports_{*store_};
};

TEST_F(NodePortsTest, APortIsTakenOnce) {
  EXPECT_EQ(take({30000, 32767}, 0).busy, 0);
  EXPECT_EQ(take({32767}, 0).busy, 32767);
  EXPECT_EQ(take({31000, 30000}, 3).busy, 30000);
  // Of a call that failed nothing stays.
  EXPECT_EQ(take({31000}, 0).busy, 0);
  ASSERT_TRUE(run(loop_, ports_.release(loop_, {32767})));
  EXPECT_EQ(take({32767}, 0).busy, 0);
}

TEST_F(NodePortsTest, ADryRunTakesNothing) {
  EXPECT_EQ(take({31000}, 2, true).chosen.size(), 2U);
  EXPECT_EQ(take({31000}, 0).busy, 0);
}

TEST_F(NodePortsTest, AllCanBeTakenAndNoneTwice) {
  const std::size_t all = kLastNodePort - kFirstNodePort + 1;
  std::vector<std::int32_t> first = take({}, all / 2).chosen;
  const std::vector<std::int32_t> second = take({}, all - all / 2).chosen;
  std::set<std::int32_t> distinct(first.begin(), first.end());
  distinct.insert(second.begin(), second.end());
  EXPECT_EQ(distinct.size(), all);
  EXPECT_TRUE(take({}, 1).is_full);
}

TEST_F(NodePortsTest, WhatIsTakenByNobodyIsSaidAndOnlyThenTakenBack) {
  take({30001, 30002}, 0);
  // 30001 is a service's, and so is 30003, which somebody has forgotten to take.
  auto unknown = run(loop_, ports_.repair(loop_, {30001, 30003}, {}));
  ASSERT_TRUE(unknown);
  EXPECT_EQ(*unknown, std::set<std::int32_t>{30002});
  EXPECT_EQ(take({30002}, 0).busy, 30002);
  EXPECT_EQ(take({30003}, 0).busy, 30003);
  unknown = run(loop_, ports_.repair(loop_, {30001, 30003}, {30002, 30003}));
  EXPECT_TRUE(unknown && unknown->empty());
  EXPECT_EQ(take({30002}, 0).busy, 0);
  EXPECT_EQ(take({30003}, 0).busy, 30003);
}

}  // namespace
}  // namespace gantry::control
