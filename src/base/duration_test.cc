// SPDX-License-Identifier: Apache-2.0
#include "base/duration.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(DurationTest, AsGoHasThem) {
  using std::chrono::milliseconds;
  EXPECT_EQ(*parse_duration("1s"), milliseconds(1000));
  EXPECT_EQ(*parse_duration("1h2m3.5s4ms"), milliseconds(3723504));
  EXPECT_EQ(*parse_duration("1.5h"), std::chrono::minutes(90));
  EXPECT_EQ(*parse_duration("300ms"), milliseconds(300));
  EXPECT_EQ(*parse_duration("2500us1500000ns"), milliseconds(3));
  EXPECT_EQ(*parse_duration("0"), milliseconds(0));
  EXPECT_EQ(*parse_duration("0s"), milliseconds(0));
  EXPECT_EQ(*parse_duration("12h0m0s"), std::chrono::hours(12));
  for (const char* text : {"", "1", "s", "-1s", "1d", "1e3s", "nans", "infs", "1 s", "1s ", "9999999999h", "10", "1x",
                           "1s2", "99999999999h", "nan"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(DurationTest, AreWrittenAsGoDoes) {
  using std::chrono::milliseconds;
  for (const char* text : {"0s", "20ms", "1s", "1.5s", "1.02s", "20s", "5m0s", "1m0.001s", "1h0m0s", "36h1m2s"}) {
    EXPECT_EQ(format_duration(*parse_duration(text)), text);
  }
  EXPECT_EQ(format_duration(milliseconds(-5)), "0s");
}

}  // namespace
}  // namespace gantry
