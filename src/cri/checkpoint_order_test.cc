// SPDX-License-Identifier: Apache-2.0
#include "cri/checkpoint_order.h"

#include <gtest/gtest.h>

namespace gantry::cri {
namespace {

TEST(CheckpointOrderTest, ComesAsItWasSent) {
  CheckpointOrder order{.pid = 7,
                        .cgroup = "/kubepods/c",
                        .criu = "/usr/sbin/criu",
                        .from_host = {"/etc/hosts", "/da\"ta"},
                        .masked = {"/proc/kcore"},
                        .users = {{{0, 100000, 65536}}, {{0, 200000, 1}, {1, 300000, 4294967}}},
                        .name = "checkpoint-1.tar",
                        .documents = {{"config.dump", "{\"id\": \"ä\"}"}, {"status", ""}}};
  auto decoded = decode_order(encode(order));
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(*decoded, order);
}

TEST(CheckpointOrderTest, RefusesWhatIsNone) {
  for (const char* text : {"", "{}", "[]", R"({"pid": "x"})"}) EXPECT_FALSE(decode_order(text)) << text;
}

TEST(CheckpointAnswerTest, ComesAsItWasSent) {
  EXPECT_TRUE(decode_answer(encode_answer({}))->has_value());
  auto failed = decode_answer(encode_answer(fail(Code::kResourceExhausted, "no room: at all")));
  ASSERT_TRUE(failed && !*failed);
  EXPECT_EQ(failed->error().code(), Code::kResourceExhausted);
  EXPECT_EQ(failed->error().message(), "no room: at all");
  for (const char* text : {"", "0", "x y", "99 y", "-1 y"}) EXPECT_FALSE(decode_answer(text)) << text;
}

}  // namespace
}  // namespace gantry::cri
