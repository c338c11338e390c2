// SPDX-License-Identifier: Apache-2.0
#include "netns/database_ledger.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace gantry::netns {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

class DatabaseLedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "gantry-ledger-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  DatabaseLedger open() { return std::move(DatabaseLedger::open(folder_ + "/gantry.db").value()); }

  std::string folder_;
};

TEST_F(DatabaseLedgerTest, KeepsRecordsAcrossOpeningsTheNewestLast) {
  {
    DatabaseLedger ledger = open();
    EXPECT_THAT(ledger.load().value(), IsEmpty());
    EXPECT_TRUE(ledger.record(ip("10.88.0.9"), "a"));
    EXPECT_TRUE(ledger.record(ip("10.88.0.3"), "b"));
    EXPECT_TRUE(ledger.record(ip("fd00::3"), "b"));
    EXPECT_TRUE(ledger.record(ip("10.88.0.5"), "c"));
    EXPECT_TRUE(ledger.forget(ip("10.88.0.9")));
    EXPECT_TRUE(ledger.forget(ip("10.88.0.9")));
  }
  EXPECT_THAT(open().load().value(), ElementsAre(HeldAddress{ip("10.88.0.3"), "b"}, HeldAddress{ip("fd00::3"), "b"},
                                                 HeldAddress{ip("10.88.0.5"), "c"}));
}

TEST_F(DatabaseLedgerTest, KnowsTheLastAddressAlsoWhenItIsForgotten) {
  {
    DatabaseLedger ledger = open();
    EXPECT_EQ(ledger.last().value(), std::nullopt);
    EXPECT_TRUE(ledger.record(ip("10.88.0.5"), "a"));
    EXPECT_TRUE(ledger.record(ip("10.88.0.6"), "b"));
    EXPECT_FALSE(ledger.record(ip("10.88.0.5"), "c"));
    EXPECT_TRUE(ledger.forget(ip("10.88.0.6")));
  }
  EXPECT_EQ(open().last().value(), ip("10.88.0.6"));
  EXPECT_TRUE(open().forget(ip("10.88.0.5")));
  EXPECT_EQ(open().last().value(), ip("10.88.0.6"));
}

TEST_F(DatabaseLedgerTest, AnAddressHasOneHolder) {
  DatabaseLedger ledger = open();
  EXPECT_TRUE(ledger.record(ip("10.88.0.3"), "a"));
  EXPECT_TRUE(ledger.record(ip("10.88.0.3"), "a"));
  auto second = ledger.record(ip("10.88.0.3"), "b");
  ASSERT_FALSE(second);
  EXPECT_TRUE(second.error().is_already_exists());
  EXPECT_THAT(second.error().message(), HasSubstr("belongs to sandbox a"));
  EXPECT_THAT(ledger.load().value(), ElementsAre(HeldAddress{ip("10.88.0.3"), "a"}));
}

TEST_F(DatabaseLedgerTest, KeepsPortsOfTheHostAllOrNone) {
  HostPort web{.host_port = 80, .pod_port = 8080};
  HostPort local{.host_address = ip("127.0.0.1"), .host_port = 80, .pod_port = 8081};
  HostPort dns{.protocol = Protocol::kUdp, .host_port = 53, .pod_port = 53};
  {
    DatabaseLedger ledger = open();
    EXPECT_TRUE(ledger.record_ports("a", {web, local}));
    EXPECT_TRUE(ledger.record_ports("a", {web, local}));
    auto refused = ledger.record_ports("b", {dns, web});
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is_already_exists());
    EXPECT_THAT(refused.error().message(), HasSubstr("tcp port 80 of all addresses belongs to sandbox a"));
  }
  EXPECT_THAT(open().load_ports().value(), ::testing::UnorderedElementsAre(HeldPort{"a", web}, HeldPort{"a", local}));
  EXPECT_TRUE(open().forget_ports("a"));
  EXPECT_TRUE(open().forget_ports("a"));
  EXPECT_THAT(open().load_ports().value(), IsEmpty());
}

TEST_F(DatabaseLedgerTest, KeepsTheRangeThatWasSaidLast) {
  {
    DatabaseLedger ledger = open();
    EXPECT_EQ(ledger.range().value(), std::nullopt);
    EXPECT_TRUE(ledger.record_range(*Cidr::parse("10.88.0.0/16")));
    EXPECT_TRUE(ledger.record_range(*Cidr::parse("10.244.1.0/24")));
  }
  EXPECT_EQ(open().range().value(), *Cidr::parse("10.244.1.0/24"));
}

TEST_F(DatabaseLedgerTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_FALSE(DatabaseLedger::open(folder_ + "/missing/gantry.db"));
}

}  // namespace
}  // namespace gantry::netns
