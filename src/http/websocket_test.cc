// SPDX-License-Identifier: Apache-2.0
#include "http/websocket.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace gantry::http {
namespace {

// A client's frame, masked.
std::string frame(int first_byte, std::string_view payload, std::string_view mask = "\x01\x02\x03\x04") {
  std::string out(1, static_cast<char>(first_byte));
  std::size_t size = payload.size();
  if (size <= 125) {
    out += static_cast<char>(0x80 | size);
  } else {
    out += static_cast<char>(0x80 | 127);
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xff);
  }
  out += mask;
  for (std::size_t i = 0; i < size; ++i) out += static_cast<char>(payload[i] ^ mask[i % 4]);
  return out;
}

// Messages gathered, control frames by name, "error: ..." at the end if there was one.
std::vector<std::string> read_all(std::string_view bytes, std::size_t piece) {
  WebSocketReader reader;
  std::vector<std::string> shown;
  std::string message;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.feed(bytes.substr(at, piece));
    for (;;) {
      auto event = reader.next();
      if (!event) {
        shown.push_back("error: " + event.error().message());
        return shown;
      }
      if (!*event) break;
      std::string text((*event)->bytes);
      switch ((*event)->kind) {
        case WebSocketEvent::Kind::kMessage:
          if ((*event)->first) message.clear();
          message += text;
          if ((*event)->last) shown.push_back(message);
          break;
        case WebSocketEvent::Kind::kPing:
          shown.push_back("ping " + text);
          break;
        case WebSocketEvent::Kind::kPong:
          shown.push_back("pong " + text);
          break;
        case WebSocketEvent::Kind::kClose:
          shown.push_back("close " + std::to_string(text.size()));
          break;
      }
    }
  }
  return shown;
}

TEST(WebSocketTest, MessagesAreReadWholeOrInParts) {
  std::string long_message(70000, 'q');
  std::string bytes = frame(0x82, "one") + frame(0x02, "tw") + frame(0x89, "beat") + frame(0x00, "") +
                      frame(0x80, "o") + frame(0x81, "") + frame(0x82, long_message) + frame(0x8a, "") +
                      frame(0x88, "\x03\xe8");
  std::vector<std::string> expected = {"one", "ping beat", "two", "", long_message, "pong ", "close 2"};
  for (std::size_t piece : {1, 2, 3, 5, 1000, 100000}) EXPECT_EQ(read_all(bytes, piece), expected) << piece;
}

TEST(WebSocketTest, WhatAClientMustNotSendIsAnError) {
  auto error = [](const std::string& bytes) { return read_all(bytes, bytes.size()).back(); };
  EXPECT_EQ(error(std::string("\x82\x01x", 3) + "more"), "error: WebSocket frame from a client without a mask");
  EXPECT_EQ(error(frame(0xc2, "x")), "error: WebSocket frame with reserved bits");
  EXPECT_EQ(error(frame(0x83, "x")), "error: WebSocket frame of unknown kind 3");
  EXPECT_EQ(error(frame(0x09, "x")), "error: WebSocket control frame in parts, or longer than 125 bytes");
  EXPECT_EQ(error(frame(0x89, std::string(126, 'x'))),
            "error: WebSocket control frame in parts, or longer than 125 bytes");
  EXPECT_EQ(error(frame(0x80, "x")),
            "error: WebSocket message that begins within another, or goes on without a beginning");
  EXPECT_EQ(error(frame(0x02, "x") + frame(0x02, "x")),
            "error: WebSocket message that begins within another, or goes on without a beginning");
  EXPECT_EQ(error("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                  "abcd"),
            "error: WebSocket frame longer than 2^63 bytes");
}

TEST(WebSocketTest, FramesAreWrittenWithTheShortestLength) {
  std::string out;
  write_websocket_message(out, "\1", "abc");
  EXPECT_EQ(out,
            "\x82\x04\x01"
            "abc");
  out.clear();
  write_websocket_message(out, "", std::string(126, 'x'));
  EXPECT_EQ(out.substr(0, 4), std::string("\x82\x7e\x00\x7e", 4));
  out.clear();
  write_websocket_message(out, "", std::string(65536, 'x'));
  EXPECT_EQ(out.substr(0, 10), std::string("\x82\x7f\0\0\0\0\0\1\0\0", 10));
  out.clear();
  write_websocket_close(out, kWebSocketNormal);
  write_websocket_pong(out, "p");
  EXPECT_EQ(out, "\x88\x02\x03\xe8\x8a\x01p");
}

TEST(WebSocketTest, TheHandshakeOfTheRfcsExample) {
  Request request;
  request.method = "GET";
  request.headers = {{"Upgrade", "websocket"},
                     {"Connection", "Upgrade"},
                     {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                     {"Sec-WebSocket-Version", "13"}};
  EXPECT_TRUE(asks_for_websocket(request));
  auto response = accept_websocket(request, "chat");
  EXPECT_EQ(response.status, 101);
  EXPECT_EQ(response.headers[2].second, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(response.headers[3].second, "chat");
  request.headers.back().second = "8";
  EXPECT_EQ(accept_websocket(request, "").status, 426);
  request.headers = {{"Sec-WebSocket-Version", "13"}};
  EXPECT_EQ(accept_websocket(request, "").status, 400);
  request.method = "POST";
  EXPECT_EQ(accept_websocket(request, "").status, 405);
}

TEST(WebSocketTest, ChangedBytesNeverDoWorseThanAnError) {
  std::mt19937 random(3);
  std::string good = frame(0x82, "one") + frame(0x02, std::string(300, 'x')) + frame(0x80, "end") + frame(0x88, "");
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    read_all(bytes, 1 + random() % 50);
  }
}

}  // namespace
}  // namespace gantry::http
