// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/signals.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace gantry::runtime {
namespace {

TEST(Signals, Parse) {
  struct Row {
    const char* text;
    int signal;
  };
  for (const auto& [text, signal] :
       {Row{"SIGTERM", SIGTERM}, Row{"term", SIGTERM}, Row{"15", 15}, Row{"SIGRTMIN+3", 37}, Row{"RTMIN", 34},
        Row{"rtmax-1", 63}, Row{"SIGRTMAX", 64}, Row{"64", 64}, Row{"SIGCLD", SIGCHLD}}) {
    auto parsed = parse_signal(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, signal) << text;
  }
  for (const char* text : {"", "0", "65", "-9", "SIG", "SIGFOO", "9 ", "15x", "SIGRTMIN+31", "SIGRTMIN-1", "RTMIN+",
                           "RTMIN+-1", "99999999999999999999", "SIGTERM+1"}) {
    auto parsed = parse_signal(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_TRUE(parsed.error().is_invalid());
  }
}

TEST(Signals, NamesComeBack) {
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal == 32 || signal == 33) continue;  // libc's own
    auto back = parse_signal(signal_name(signal));
    ASSERT_TRUE(back) << signal_name(signal);
    EXPECT_EQ(*back, signal);
  }
}

}  // namespace
}  // namespace gantry::runtime
