// SPDX-License-Identifier: Apache-2.0
#include "cri/idle_resets.h"

#include <gtest/gtest.h>

namespace gantry::cri {
namespace {

std::string frame(int type, int stream, const std::string& payload) {
  std::string out{'\0', '\0', static_cast<char>(payload.size()), static_cast<char>(type), '\0', '\0', '\0', '\0'};
  out += static_cast<char>(stream);
  return out + payload;
}

const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const std::string kCancel{'\0', '\0', '\0', '\x08'};

TEST(IdleResetsTest, OnlyTheResetsOfStreamsThatNeverBeganAreTakenOut) {
  const std::string settings = frame(4, 0, ""), one = frame(1, 1, "headers"), data = frame(0, 1, frame(3, 9, kCancel));
  const std::string reset_one = frame(3, 1, kCancel), idle = frame(3, 3, kCancel), five = frame(1, 5, "more");
  // Closed rather than idle, of the server's, and of a wrong size: nghttp2's to judge.
  const std::string passed_over = frame(3, 3, kCancel), even = frame(3, 8, kCancel), damaged = frame(3, 7, "12345");
  const std::string sent =
      kPreface + settings + idle + one + data + reset_one + idle + five + passed_over + even + damaged;
  const std::string kept = kPreface + settings + one + data + reset_one + five + passed_over + even + damaged;
  EXPECT_EQ(IdleResets().without(sent), kept);
  for (std::size_t step = 1; step < 40; ++step) {
    IdleResets resets;
    std::string out;
    for (std::size_t at = 0; at < sent.size(); at += step) out += resets.without(sent.substr(at, step));
    EXPECT_EQ(out, kept) << "in pieces of " << step;
  }
}

}  // namespace
}  // namespace gantry::cri
