// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/fenced_transport.h"

#include <gtest/gtest.h>

#include <optional>

namespace gantry::control {
namespace {

class Counting final : public api::Transport {
 public:
  Task<Result<http::Response>> call(Loop&, http::Request) override {
    ++calls;
    co_return http::Response();
  }
  Task<Result<http::Response>> follow(Loop&, http::Request, api::TakeLine) override { co_return http::Response(); }
  int calls = 0;
};

bool passes(Loop& loop, FencedTransport& fence) {
  std::optional<bool> passed;
  loop.spawn([](Loop& loop, FencedTransport& fence, std::optional<bool>& passed) -> Task<> {
    passed = (co_await fence.call(loop, {})).has_value();
    loop.stop();
  }(loop, fence, passed));
  while (!passed) loop.run();
  return *passed;
}

// As after a standstill: the lease is over, and nobody has closed the fence yet.
TEST(FencedTransportTest, NothingPassesWithoutTheLease) {
  Loop loop;
  Counting inner;
  bool is_held = true;
  FencedTransport fence(loop, inner, [&is_held] { return is_held; });
  EXPECT_TRUE(passes(loop, fence));
  is_held = false;
  EXPECT_FALSE(passes(loop, fence));
  is_held = true;
  EXPECT_TRUE(passes(loop, fence));
  fence.close();
  EXPECT_FALSE(passes(loop, fence));
  EXPECT_EQ(inner.calls, 2);
}

}  // namespace
}  // namespace gantry::control
