// SPDX-License-Identifier: Apache-2.0
#include "http/spdy_session.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "http/spdy_bytes.h"

namespace gantry::http::spdy {
namespace {

// A session and the client that it talks to, byte for byte.
class SpdySessionTest : public testing::Test {
 protected:
  void open(StreamId id, bool fin = false) {
    client_.syn_stream(sent_, SynStream{id, 0, fin, false, {{"streamtype", "x"}}});
  }

  // Gives the session what the client wrote; the events, or "error".
  std::vector<std::string> exchange() {
    std::vector<std::string> events;
    std::string bytes = std::exchange(sent_, {});
    session_.feed(bytes);
    for (;;) {
      auto event = session_.next();
      if (!event) {
        events.push_back("error");
        break;
      }
      if (!*event) break;
      events.push_back(show(**event));
    }
    return events;
  }

  // What the session has to say, as frames by name.
  std::vector<std::string> answers() {
    std::vector<std::string> frames;
    std::string bytes = std::exchange(session_.output(), {});
    answers_.feed(bytes);
    for (;;) {
      auto frame = answers_.next();
      EXPECT_TRUE(frame) << (frame ? "" : frame.error().message());
      if (!frame || !*frame) return frames;
      if (auto* f = std::get_if<SynReply>(&**frame)) frames.push_back("REPLY " + std::to_string(f->id));
      if (auto* f = std::get_if<RstStream>(&**frame))
        frames.push_back("RST " + std::to_string(f->id) + " " + std::to_string(f->status));
      if (auto* f = std::get_if<Ping>(&**frame)) frames.push_back("PING " + std::to_string(f->id));
      if (auto* f = std::get_if<Goaway>(&**frame))
        frames.push_back("GOAWAY " + std::to_string(f->last_good) + " " + std::to_string(f->status));
      if (auto* f = std::get_if<WindowUpdate>(&**frame))
        frames.push_back("WINDOW " + std::to_string(f->id) + " " + std::to_string(f->delta));
      if (auto* f = std::get_if<Data>(&**frame))
        frames.push_back("DATA " + std::to_string(f->id) + " " + std::to_string(f->bytes.size()) +
                         (f->fin ? " FIN" : ""));
    }
  }

  static std::string show(const Event& event) {
    if (auto* e = std::get_if<StreamOpened>(&event)) return "opened " + std::to_string(e->id) + (e->fin ? " fin" : "");
    if (auto* e = std::get_if<DataReceived>(&event))
      return "data " + std::to_string(e->id) + " " + std::string(e->bytes);
    if (auto* e = std::get_if<StreamFinished>(&event)) return "finished " + std::to_string(e->id);
    if (auto* e = std::get_if<StreamReset>(&event)) return "reset " + std::to_string(e->id);
    return "going away";
  }

  using Strings = std::vector<std::string>;
  ServerSession session_{SessionLimits{.max_streams = 3}};
  FrameWriter client_;
  FrameReader answers_;
  std::string sent_;
};

TEST_F(SpdySessionTest, AStreamFromItsOpeningToItsEnd) {
  open(1);
  FrameWriter::data(sent_, 1, "hi", true);
  EXPECT_EQ(exchange(), (Strings{"opened 1", "data 1 hi", "finished 1"}));
  session_.reply(1);
  session_.send(1, "yes", false);
  EXPECT_TRUE(session_.is_open(1));
  session_.send(1, {}, true);
  EXPECT_FALSE(session_.is_open(1));
  session_.send(1, "too late", false);
  EXPECT_EQ(answers(), (Strings{"REPLY 1", "DATA 1 3", "DATA 1 0 FIN"}));
}

TEST_F(SpdySessionTest, NumbersMustBeOddAndGrow) {
  open(5);
  EXPECT_EQ(exchange(), Strings{"opened 5"});
  open(3);
  EXPECT_EQ(exchange(), Strings{"error"});
  EXPECT_EQ(answers(), Strings{"GOAWAY 5 1"});
  open(7);
  EXPECT_EQ(exchange(), Strings{"error"});
  EXPECT_EQ(answers(), Strings{}) << "GOAWAY is said once";
}

TEST_F(SpdySessionTest, EvenNumbersAreOurs) {
  open(2);
  EXPECT_EQ(exchange(), Strings{"error"});
}

TEST_F(SpdySessionTest, TooManyStreamsAreRefusedAndTheOthersGoOn) {
  for (StreamId id : {1, 3, 5, 7}) open(id);
  FrameWriter::data(sent_, 5, "x", false);
  EXPECT_EQ(exchange(), (Strings{"opened 1", "opened 3", "opened 5", "data 5 x"}));
  EXPECT_EQ(answers(), Strings{"RST 7 3"});
}

TEST_F(SpdySessionTest, PingsAreAnsweredAndAnswersAreNot) {
  FrameWriter::ping(sent_, 1);
  FrameWriter::ping(sent_, 2);
  EXPECT_EQ(exchange(), Strings{});
  session_.ping();
  EXPECT_EQ(answers(), (Strings{"PING 1", "PING 2"}));
}

TEST_F(SpdySessionTest, DataWhereNoneMayBe) {
  FrameWriter::data(sent_, 9, "x", false);
  open(11, true);
  FrameWriter::data(sent_, 11, "x", false);
  FrameWriter::data(sent_, 11, "again, after the reset", false);
  EXPECT_EQ(exchange(), (Strings{"opened 11 fin", "reset 11"}));
  EXPECT_EQ(answers(), (Strings{"RST 9 2", "RST 11 9"}));
}

TEST_F(SpdySessionTest, AResetEndsBothHalves) {
  open(1);
  FrameWriter::rst_stream(sent_, 1, RstStatus::kCancel);
  FrameWriter::rst_stream(sent_, 1, RstStatus::kCancel);
  FrameWriter::goaway(sent_, 0, GoawayStatus::kOk);
  EXPECT_EQ(exchange(), (Strings{"opened 1", "reset 1", "going away"}));
  EXPECT_FALSE(session_.is_writable(1));
  EXPECT_EQ(session_.sendable(1), 0u);
}

TEST_F(SpdySessionTest, WindowsBindOnlyPeersThatKeepThem) {
  open(1);
  exchange();
  EXPECT_EQ(session_.sendable(1), std::numeric_limits<std::size_t>::max());
  session_.send(1, std::string(60000, 'x'), false);
  FrameWriter::settings(sent_, Settings{{{kSettingInitialWindow, 70000}}});
  exchange();
  EXPECT_EQ(session_.sendable(1), 65536u - 60000) << "the session's window is not changed by SETTINGS";
  FrameWriter::window_update(sent_, 0, 1 << 20);
  exchange();
  EXPECT_EQ(session_.sendable(1), 10000u);
  FrameWriter::settings(sent_, Settings{{{kSettingInitialWindow, 0}}});
  exchange();
  EXPECT_EQ(session_.sendable(1), 0u);
  FrameWriter::window_update(sent_, 1, 60001);
  exchange();
  EXPECT_EQ(session_.sendable(1), 1u);
}

TEST_F(SpdySessionTest, WindowsDoNotOverflow) {
  open(1);
  FrameWriter::window_update(sent_, 1, 0x7fffffff);
  EXPECT_EQ(exchange(), (Strings{"opened 1", "reset 1"}));
  EXPECT_EQ(answers(), Strings{"RST 1 7"});
  FrameWriter::window_update(sent_, 0, 0x7fffffff);
  EXPECT_EQ(exchange(), Strings{"error"});
}

TEST_F(SpdySessionTest, WhatIsConsumedIsGivenBack) {
  open(1);
  exchange();
  for (int i = 0; i < 3; ++i) session_.consumed(1, 16 << 10);
  EXPECT_EQ(answers(), (Strings{"WINDOW 0 32768", "WINDOW 1 32768"}));
}

TEST_F(SpdySessionTest, ChangedBytesNeverDoWorseThanAnError) {
  std::mt19937 random(11);
  FrameWriter writer;
  std::string good;
  for (StreamId id : {1, 3, 5}) writer.syn_stream(good, SynStream{id, 0, false, false, {{"streamtype", "stdin"}}});
  FrameWriter::data(good, 1, "some input", false);
  FrameWriter::window_update(good, 1, 4096);
  FrameWriter::settings(good, Settings{{{kSettingInitialWindow, 1000}}});
  writer.headers(good, HeadersFrame{3, true, {{"more", "headers"}}});
  FrameWriter::data(good, 1, {}, true);
  FrameWriter::rst_stream(good, 5, RstStatus::kCancel);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (int i = 0, n = static_cast<int>(random() % 4); i < n; ++i)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    ServerSession session;
    for (std::size_t at = 0, piece; at < bytes.size(); at += piece) {
      piece = 1 + random() % 60;
      session.feed(std::string_view(bytes).substr(at, piece));
      auto event = session.next();
      while (event && *event) {
        if (auto* opened = std::get_if<StreamOpened>(&**event)) session.reply(opened->id);
        if (auto* data = std::get_if<DataReceived>(&**event)) session.consumed(data->id, data->bytes.size());
        event = session.next();
      }
      if (!event) break;
    }
    ASSERT_LT(session.output().size(), 4096u);
  }
}

}  // namespace
}  // namespace gantry::http::spdy
