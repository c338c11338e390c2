// SPDX-License-Identifier: Apache-2.0
#include "images/progress.h"

#include <gtest/gtest.h>

namespace gantry::images {
namespace {

using std::chrono::seconds;

TEST(Progress, TheBarGrows) {
  EXPECT_EQ(bar_line(0, 3, {.came = 0, .of = 300'000'000}, seconds(1), 60),
            "0 of 3 layers [>                   ]   0%  0B of 300MB  0B/s");
  EXPECT_EQ(bar_line(1, 3, {.came = 150'000'000, .of = 300'000'000}, seconds(10), 66),
            "1 of 3 layers [==========>          ]  50%  150MB of 300MB  15MB/s");
  EXPECT_EQ(bar_line(3, 3, {.came = 300'000'000, .of = 300'000'000}, seconds(10), 64),
            "3 of 3 layers [===================] 100%  300MB of 300MB  30MB/s");
}

TEST(Progress, ItKeepsToItsWidth) {
  const PullBytes bytes{.came = 123'456'789, .of = 987'654'321};
  for (std::size_t width : {0U, 1U, 5U, 20U, 40U, 50U, 79U, 200U, 5000U}) {
    const std::string line = bar_line(10, 127, bytes, seconds(3), width);
    EXPECT_LE(line.size(), std::min<std::size_t>(width, 110)) << line;
  }
  EXPECT_EQ(bar_line(10, 127, bytes, seconds(3), 50), "10 of 127 layers   12%  123MB of 988MB  41.2MB/s");
}

TEST(Progress, NothingToFetchAndMoreThanWasSaid) {
  EXPECT_EQ(bar_line(1, 1, {}, seconds(0), 30), "1 of 1 layers  100%  0B of 0B ");
  EXPECT_EQ(bar_line(1, 1, {.came = 20, .of = 10}, seconds(1), 45), "1 of 1 layers  100%  10B of 10B  10B/s");
}

}  // namespace
}  // namespace gantry::images
