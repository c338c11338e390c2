// SPDX-License-Identifier: Apache-2.0
#include "cri/process_counts.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace gantry::cri {
namespace {

TEST(ProcessCounts, NumbersOfProcFiles) {
  // Of Linux 6.12.
  constexpr std::string_view kStatus = "Name:\tsh\nVmRSS:\t 1672 kB\nThreads:\t12\nSigQ:\t0/95957\n";
  EXPECT_EQ(number_after(kStatus, "Threads:"), 12U);
  EXPECT_EQ(number_after(kStatus, "VmRSS:"), 1672U);
  EXPECT_EQ(number_after(kStatus, "Name:"), std::nullopt);
  EXPECT_EQ(number_after(kStatus, "Nothing:"), std::nullopt);
  constexpr std::string_view kLimits =
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      "Max cpu time              unlimited            unlimited            seconds   \n"
      "Max open files            1024                 524288               files     \n";
  EXPECT_EQ(number_after(kLimits, "Max open files"), 1024U);
  EXPECT_EQ(number_after(kLimits, "Max cpu time"), std::nullopt);
  EXPECT_EQ(number_after("Threads:", "Threads:"), std::nullopt);
  EXPECT_EQ(number_after("", "Threads:"), std::nullopt);
}

TEST(ProcessCounts, ALimitOfAProcess) {
  EXPECT_TRUE(soft_limit_of_files(::getpid()));
  EXPECT_EQ(soft_limit_of_files(-1), std::nullopt);
}

}  // namespace
}  // namespace gantry::cri
