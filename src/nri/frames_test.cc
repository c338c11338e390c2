// SPDX-License-Identifier: Apache-2.0
#include "nri/frames.h"

#include <gtest/gtest.h>

#include <vector>

namespace gantry::nri {
namespace {

Message response(std::uint32_t stream, std::string data) {
  return {.channel = Channel::kPlugin, .type = MessageType::kResponse, .stream = stream, .data = std::move(data)};
}

// All that comes, fed in pieces.
Result<std::vector<Message>> read(std::string_view bytes, std::size_t piece) {
  FrameReader reader;
  std::vector<Message> messages;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.feed(bytes.substr(at, piece));
    for (;;) {
      auto message = reader.next();
      if (!message) return std::unexpected(std::move(message.error()));
      if (!*message) break;
      messages.push_back(std::move(**message));
    }
  }
  return messages;
}

std::string number(std::uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}

TEST(FramesTest, AMessageIsAsTheInterfaceHasIt) {
  Message request{.channel = Channel::kRuntime, .stream = 3, .data = "ab"};
  EXPECT_EQ(encode(request), number(2) + number(12) + number(2) + number(3) +
                                 std::string("\x01\x00"
                                             "ab",
                                             4));
}

// A longer one is cut where readers in Go can take it.
TEST(FramesTest, TheFirstFrameHasAtMost4096Bytes) {
  EXPECT_EQ(encode(response(1, std::string(4086, 'x'))).size(), 4096 + kFrameHeaderBytes);
  std::string bytes = encode(response(1, std::string(5000, 'x')));
  EXPECT_EQ(bytes.substr(0, 8), number(1) + number(4096));
  EXPECT_EQ(bytes.substr(8 + 4096, 8), number(1) + number(5010 - 4096));
  EXPECT_EQ(bytes.size(), 5010 + 2 * kFrameHeaderBytes);
}

TEST(FramesTest, WhatIsWrittenIsReadInPiecesOfAnySize) {
  std::string bytes = encode(response(1, "one")) + encode(response(3, "")) +
                      encode({.channel = Channel::kRuntime, .stream = 5, .data = std::string(300, 'x')});
  for (std::size_t piece : {1, 2, 7, 18, 1000}) {
    auto messages = read(bytes, piece);
    ASSERT_TRUE(messages) << messages.error().message();
    ASSERT_EQ(messages->size(), 3U);
    EXPECT_EQ((*messages)[0].data, "one");
    EXPECT_EQ((*messages)[1].stream, 3U);
    EXPECT_EQ((*messages)[2].channel, Channel::kRuntime);
    EXPECT_EQ((*messages)[2].data, std::string(300, 'x'));
  }
}

// As a buffered writer cuts it, with another connection's frame and an empty one between.
TEST(FramesTest, AMessageMayLieInSeveralFrames) {
  std::string inner = encode(response(7, "hello")).substr(kFrameHeaderBytes);
  std::string other = encode({.channel = Channel::kRuntime, .stream = 1, .data = "other"});
  std::string bytes = number(1) + number(4) + inner.substr(0, 4) + other + number(1) + number(0) + number(9) +
                      number(2) + "??" + number(1) + number(11) + inner.substr(4);
  auto messages = read(bytes, bytes.size());
  ASSERT_TRUE(messages) << messages.error().message();
  ASSERT_EQ(messages->size(), 2U);
  EXPECT_EQ((*messages)[0].data, "other");
  EXPECT_EQ((*messages)[1].data, "hello");
}

TEST(FramesTest, SizesAndTypesThatThereAreNotAreRefused) {
  EXPECT_TRUE(read(encode(response(1, std::string(kMaxMessageBytes, 'x'))), 65536));
  for (const std::string& bytes :
       {number(1) + number(kMaxMessageBytes + kMessageHeaderBytes + 1), number(9) + number(0xffffffff),
        number(1) + number(10) + number(kMaxMessageBytes + 1) + number(1) + std::string("\x02\x00", 2),
        number(1) + number(10) + number(0) + number(1) + std::string("\x04\x00", 2)}) {
    auto messages = read(bytes, bytes.size());
    ASSERT_FALSE(messages);
    EXPECT_TRUE(messages.error().is_invalid()) << messages.error().message();
  }
}

TEST(FramesTest, AnErrorStays) {
  FrameReader reader;
  reader.feed(number(1) + number(0xffffffff));
  EXPECT_FALSE(reader.next());
  reader.feed(encode(response(1, "x")));
  EXPECT_FALSE(reader.next());
}

}  // namespace
}  // namespace gantry::nri
