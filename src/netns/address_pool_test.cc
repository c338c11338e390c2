// SPDX-License-Identifier: Apache-2.0
#include "netns/address_pool.h"

#include <gmock/gmock.h>

#include <set>
#include <string>

namespace gantry::netns {
namespace {

using ::testing::HasSubstr;

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }
AddressPool pool_of(std::string_view range, std::string_view gateway, std::optional<IpAddress> last = {}) {
  return AddressPool::make(Cidr::parse(range).value(), ip(gateway), last).value();
}
std::string next(AddressPool& pool) {
  auto address = pool.take();
  return address ? address->to_string() : address.error().message();
}

TEST(AddressPool, NeverGivesNetworkGatewayOrBroadcast) {
  AddressPool pool = pool_of("10.88.0.0/29", "10.88.0.3");
  EXPECT_EQ(pool.capacity(), 5U);
  std::set<std::string> given;
  for (std::uint64_t i = 0; i < pool.capacity(); ++i) given.insert(next(pool));
  EXPECT_THAT(given, ::testing::ElementsAre("10.88.0.1", "10.88.0.2", "10.88.0.4", "10.88.0.5", "10.88.0.6"));
  auto none = pool.take();
  ASSERT_FALSE(none);
  EXPECT_TRUE(none.error().is_resource());
  EXPECT_EQ(none.error().message(), "pod range 10.88.0.0/29: all 5 addresses are in use");
}

TEST(AddressPool, FreedAddressesComeLastInTheOrderOfFreeing) {
  AddressPool pool = pool_of("10.88.0.0/29", "10.88.0.1");
  EXPECT_EQ(next(pool), "10.88.0.2");
  EXPECT_EQ(next(pool), "10.88.0.3");
  pool.release(ip("10.88.0.3"));
  pool.release(ip("10.88.0.2"));
  EXPECT_EQ(pool.taken(), 0U);
  EXPECT_EQ(next(pool), "10.88.0.4");
  EXPECT_EQ(next(pool), "10.88.0.5");
  EXPECT_EQ(next(pool), "10.88.0.6");
  pool.release(ip("10.88.0.5"));
  EXPECT_EQ(next(pool), "10.88.0.3");
  EXPECT_EQ(next(pool), "10.88.0.2");
  EXPECT_EQ(next(pool), "10.88.0.5");
  EXPECT_THAT(next(pool), HasSubstr("in use"));
}

TEST(AddressPool, TakesOneByName) {
  AddressPool pool = pool_of("10.88.0.0/29", "10.88.0.1");
  EXPECT_TRUE(pool.take(ip("10.88.0.3")));
  EXPECT_TRUE(pool.is_taken(ip("10.88.0.3")));
  EXPECT_TRUE(pool.take(ip("10.88.0.3")).error().is_already_exists());
  EXPECT_EQ(next(pool), "10.88.0.2");
  EXPECT_EQ(next(pool), "10.88.0.4");
  pool.release(ip("10.88.0.5"));  // was never taken
  EXPECT_EQ(next(pool), "10.88.0.5");
  pool.release(ip("10.88.0.3"));
  EXPECT_TRUE(pool.take(ip("10.88.0.3")));  // out of the freed ones, too
  EXPECT_EQ(next(pool), "10.88.0.6");
  EXPECT_THAT(next(pool), HasSubstr("in use"));
}

TEST(AddressPool, AnAddressFreedBeforeTheWalkReachedItIsStillUsedLast) {
  AddressPool pool = pool_of("10.88.0.0/29", "10.88.0.1");
  EXPECT_TRUE(pool.take(ip("10.88.0.3")));
  pool.release(ip("10.88.0.3"));
  for (const char* address : {"10.88.0.2", "10.88.0.4", "10.88.0.5", "10.88.0.6", "10.88.0.3"}) {
    EXPECT_EQ(next(pool), address);
  }
}

TEST(AddressPool, RefusesWhatIsNotItsToGive) {
  AddressPool pool = pool_of("10.88.0.0/29", "10.88.0.1");
  for (const char* address : {"10.88.0.0", "10.88.0.1", "10.88.0.7", "10.88.0.8", "10.87.255.255", "fd00::2"}) {
    EXPECT_TRUE(pool.take(ip(address)).error().is_invalid()) << address;
    pool.release(ip(address));
    EXPECT_FALSE(pool.is_taken(ip(address)));
  }
  EXPECT_EQ(pool.taken(), 0U);
}

TEST(AddressPool, StartsBehindTheLastOneGivenOut) {
  AddressPool pool = pool_of("10.88.0.0/29", "10.88.0.1", ip("10.88.0.4"));
  for (const char* address : {"10.88.0.5", "10.88.0.6", "10.88.0.2", "10.88.0.3", "10.88.0.4"}) {
    EXPECT_EQ(next(pool), address);
  }
  AddressPool wrapped = pool_of("10.88.0.0/29", "10.88.0.1", ip("10.88.0.6"));
  EXPECT_EQ(next(wrapped), "10.88.0.2");
  AddressPool elsewhere = pool_of("10.88.0.0/29", "10.88.0.1", ip("192.0.2.1"));
  EXPECT_EQ(next(elsewhere), "10.88.0.2");
}

TEST(AddressPool, RefusesRangesWithoutRoom) {
  auto make = [](const char* range, const char* gateway) {
    return AddressPool::make(Cidr::parse(range).value(), ip(gateway));
  };
  EXPECT_TRUE(make("10.88.0.0/30", "10.88.0.1"));
  for (auto [range, gateway] : {std::pair{"10.88.0.0/31", "10.88.0.1"},
                                {"10.88.0.1/32", "10.88.0.1"},
                                {"10.88.0.0/24", "10.88.1.1"},
                                {"10.88.0.0/24", "10.88.0.0"},
                                {"10.88.0.0/24", "10.88.0.255"},
                                {"10.88.0.0/24", "fd00::1"}}) {
    auto pool = make(range, gateway);
    ASSERT_FALSE(pool) << range;
    EXPECT_TRUE(pool.error().is_invalid()) << range;
  }
}

TEST(AddressPool, ServesIpv6RangesToo) {
  AddressPool pool = pool_of("fd00:10::/64", "fd00:10::1");
  EXPECT_EQ(next(pool), "fd00:10::2");
  EXPECT_EQ(next(pool), "fd00:10::3");
  EXPECT_TRUE(pool.take(ip("fd00:10::1:0:0")).error().is_invalid());  // past the first 2^32
}

}  // namespace
}  // namespace gantry::netns
