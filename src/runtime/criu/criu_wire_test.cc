// SPDX-License-Identifier: Apache-2.0
#include "runtime/criu/criu_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::runtime {
namespace {

using std::string_literals::operator""s;

TEST(CriuWire, RequestHasTheFieldsOfRpcProto) {
  CriuRequest request{.call = CriuCall::kRestore, .images_fd = 7, .log_file = "l"};
  request.work_fd = 300;
  request.mounts = {{"/a", "/b"}};
  request.cgroup_root = "/c";
  request.inherited = {{"pipe:[1]", 1}};
  request.externals = {"net[5]:n"};
  request.empty_namespaces = 0x40000000;
  request.joined = {{"uts", "/u"}};
  std::string options =
      "\x08\x07"
      "\x30\x01"
      "\x48\x04"
      "\x52\x01l"
      "\x60\x01"
      "\x88\x01\xac\x02"
      "\xba\x01\x08\x0a\x02/a\x12\x02/b"
      "\xc0\x01\x01"
      "\xca\x01\x06\x0a\x00\x12\x02/c"
      "\xd0\x01\x01"
      "\xda\x01\x0c\x0a\x08pipe:[1]\x10\x01"
      "\x90\x02\x03"
      "\xaa\x02\x08net[5]:n"
      "\xb0\x02\x80\x80\x80\x80\x04"
      "\xba\x02\x09\x0a\x03uts\x12\x02/u"
      "\x90\x03\x01"s;
  std::string wanted = "\x08\x02\x12"s + static_cast<char>(options.size()) + options;
  ASSERT_LT(options.size(), 128U);
  EXPECT_EQ(encode(request), wanted);
}

TEST(CriuWire, Consent) {
  EXPECT_EQ(encode_consent(true), "\x08\x06\x18\x01"s);
  EXPECT_EQ(encode_consent(false), "\x08\x06\x18\x00"s);
}

TEST(CriuWire, ReadsReplies) {
  auto restored = decode_reply("\x08\x02\x10\x01\x22\x03\x08\x85\x02"s);
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->call, CriuCall::kRestore);
  EXPECT_TRUE(restored->success);
  EXPECT_EQ(restored->pid, 261);

  auto notified = decode_reply("\x08\x06\x10\x01\x2a\x09\x0a\x05hello\x10\x07"s);
  ASSERT_TRUE(notified);
  EXPECT_EQ(notified->call, CriuCall::kNotify);
  EXPECT_EQ(notified->script, "hello");
  EXPECT_EQ(notified->pid, 7);

  auto failed = decode_reply("\x08\x01\x10\x00\x38\x16\x4a\x03why"s);
  ASSERT_TRUE(failed);
  EXPECT_FALSE(failed->success);
  EXPECT_EQ(failed->error, 22);
  EXPECT_EQ(failed->message, "why");
}

TEST(CriuWire, SkipsFieldsOfOthers) {
  auto reply =
      decode_reply("\x08\x01\x10\x01\x32\x02\x08\x01\x79\x01\x02\x03\x04\x05\x06\x07\x08\x7d\x01\x02\x03\x04"s);
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_TRUE(reply->success);
}

TEST(CriuWire, BrokenRepliesAreErrors) {
  for (const std::string& bytes :
       {""s, "\x10\x01"s, "\x08"s, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s, "\x08\x01\x4a\x05why"s,
        "\x08\x06\x2a\x03\x0a\x05h"s, "\x08\x02\x22\x01\x08"s, "\x08\x01\x0b"s, "\x08\x01\x7d\x01"s}) {
    auto reply = decode_reply(bytes);
    ASSERT_FALSE(reply) << testing::PrintToString(bytes);
    EXPECT_EQ(reply.error().code(), Code::kDataLoss);
  }
}

}  // namespace
}  // namespace gantry::runtime
