// SPDX-License-Identifier: Apache-2.0
#include "http/spdy_frames.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>
#include <string>
#include <vector>

#include "http/spdy_bytes.h"
#include "http/spdy_headers.h"

namespace gantry::http::spdy {
namespace {

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

// What the framer of moby/spdystream 0.5.1 wrote, as a Kubernetes client would: streams for error, stdin, stdout and
// resize, "hello\n" on stdin and its end, PING, RST_STREAM and GOAWAY.
const char* const kGoClient[] = {
    "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff",
    "800300010000001700000003000000000000c22e555c92929907000000ffff",
    "800300010000001900000005000000000000c22ac5565c92925f5a02000000ffff",
    "800300010000001800000007000000000000c22e57945a9c59950a000000ffff",
    "000000030000000668656c6c6f0a",
    "0000000301000000",
    "800300060000000400000001",
    "80030003000000080000000100000005",
    "80030007000000080000000000000000",
};

std::string go_client() {
  std::string bytes;
  for (const char* frame : kGoClient) bytes += from_hex(frame);
  return bytes;
}

std::string show(const Frame& frame) {
  struct {
    std::string operator()(const SynStream& f) const {
      return "SYN " + std::to_string(f.id) + " " + std::string(find_header(f.headers, "streamtype"));
    }
    std::string operator()(const SynReply& f) const { return "REPLY " + std::to_string(f.id); }
    std::string operator()(const HeadersFrame& f) const { return "HEADERS " + std::to_string(f.id); }
    std::string operator()(const RstStream& f) const {
      return "RST " + std::to_string(f.id) + " " + std::to_string(f.status);
    }
    std::string operator()(const Settings& f) const { return "SETTINGS " + std::to_string(f.values.size()); }
    std::string operator()(const Ping& f) const { return "PING " + std::to_string(f.id); }
    std::string operator()(const Goaway& f) const { return "GOAWAY " + std::to_string(f.status); }
    std::string operator()(const WindowUpdate& f) const {
      return "WINDOW " + std::to_string(f.id) + " " + std::to_string(f.delta);
    }
    std::string operator()(const Data& f) const {
      return "DATA " + std::to_string(f.id) + " \"" + std::string(f.bytes) + "\"" + (f.fin ? " FIN" : "");
    }
  } visitor;
  return std::visit(visitor, frame);
}

// All that a reader makes of `bytes`, given in pieces of `piece`; the last entry is the error, if there was one.
std::vector<std::string> read_all(std::string_view bytes, std::size_t piece, FrameLimits limits = {}) {
  FrameReader reader(limits);
  std::vector<std::string> shown;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.feed(bytes.substr(at, piece));
    for (;;) {
      auto frame = reader.next();
      if (!frame) {
        shown.push_back("error: " + frame.error().message());
        return shown;
      }
      if (!*frame) break;
      shown.push_back(show(**frame));
    }
  }
  return shown;
}

std::string last_of(std::string_view bytes, FrameLimits limits = {}) {
  auto shown = read_all(bytes, bytes.size(), limits);
  return shown.empty() ? "" : shown.back();
}

std::string control(std::uint32_t type, std::uint32_t flags, std::string_view payload) {
  std::string out;
  store32(out, 0x80030000u | type);
  store8(out, flags);
  store24(out, static_cast<std::uint32_t>(payload.size()));
  return out.append(payload);
}

std::string words(std::initializer_list<std::uint32_t> values) {
  std::string out;
  for (auto value : values) store32(out, value);
  return out;
}

TEST(SpdyFramesTest, DictionaryIsTheProtocols) {
  const std::string& dictionary = header_dictionary();
  EXPECT_EQ(dictionary.size(), 1423u);
  EXPECT_EQ(::adler32(::adler32(0, nullptr, 0), reinterpret_cast<const Bytef*>(dictionary.data()), 1423), 0xe3c6a7c2u);
}

TEST(SpdyFramesTest, ReadsWhatAKubernetesClientSends) {
  std::vector<std::string> expected = {
      "SYN 1 error",     "SYN 3 stdin", "SYN 5 stdout", "SYN 7 resize", "DATA 3 \"hello\n\"",
      "DATA 3 \"\" FIN", "PING 1",      "RST 1 5",      "GOAWAY 0"};
  EXPECT_EQ(read_all(go_client(), 1 << 20), expected);
}

TEST(SpdyFramesTest, PiecesOfAnySizeGiveTheSameFrames) {
  auto whole = read_all(go_client(), 1 << 20);
  auto single = read_all(go_client(), 1);
  // DATA is passed on in the pieces it came in; gathered, it is the same.
  std::string gathered;
  for (const auto& shown : single) {
    if (shown.starts_with("DATA 3")) gathered += shown.substr(8, shown.size() - 9);
  }
  EXPECT_TRUE(gathered.starts_with("hello\n"));
  for (std::size_t piece : {2, 3, 7, 13, 64}) {
    auto shown = read_all(go_client(), piece);
    EXPECT_EQ(shown.front(), whole.front());
    EXPECT_EQ(shown.back(), whole.back());
  }
}

TEST(SpdyFramesTest, WriterAndReaderAgree) {
  FrameWriter writer;
  std::string out;
  writer.syn_stream(out, SynStream{1, 3, true, true, {{"streamtype", "stdout"}, {"port", "80"}}});
  writer.syn_reply(out, SynReply{1, false, {}});
  writer.headers(out, HeadersFrame{1, true, {{"a", std::string("x\0y", 3)}}});
  FrameWriter::settings(out, Settings{{{kSettingInitialWindow, 1 << 20}}});
  FrameWriter::window_update(out, 1, 77);
  FrameWriter::data(out, 1, "abc", true);
  EXPECT_EQ(read_all(out, out.size()), (std::vector<std::string>{"SYN 1 stdout", "REPLY 1", "HEADERS 1", "SETTINGS 1",
                                                                 "WINDOW 1 77", "DATA 1 \"abc\" FIN"}));
}

TEST(SpdyFramesTest, UnknownControlFramesArePassedOver) {
  EXPECT_EQ(read_all(control(10, 0, "whatever") + control(5, 0, "") + from_hex(kGoClient[6]), 5),
            std::vector<std::string>{"PING 1"});
}

TEST(SpdyFramesTest, MalformedFramesAreErrorsThatNameThem) {
  EXPECT_EQ(last_of(from_hex("8002000100000000")), "error: SPDY version 2: only 3 is spoken");
  EXPECT_EQ(last_of(from_hex("0000000000000000")), "error: DATA frame for stream 0");
  EXPECT_EQ(last_of(control(6, 0, "abc")), "error: PING frame of 3 bytes: expected 4");
  EXPECT_EQ(last_of(control(3, 0, words({0, 1}))), "error: RST_STREAM frame for stream 0");
  EXPECT_EQ(last_of(control(3, 0, words({1, 0}))), "error: RST_STREAM frame with status 0");
  EXPECT_EQ(last_of(control(4, 0, words({0x20000000}))),
            "error: SETTINGS frame of 4 bytes: expected 4 and 8 for each setting that it counts");
  EXPECT_EQ(last_of(control(9, 0, words({1, 0x80000000}))), "error: WINDOW_UPDATE frame of 0 bytes");
  EXPECT_EQ(last_of(control(1, 0, "123")), "error: SYN_STREAM frame of 3 bytes: expected at least 10");
  EXPECT_EQ(last_of(control(1, 0, words({1, 0}) + std::string(2, '\0') + "of another protocol")),
            "error: SYN_STREAM: header block is not a piece of a zlib stream");
  EXPECT_EQ(last_of(from_hex("80030001ffffffff")),
            "error: SYN_STREAM frame of 16777215 bytes: at most 16384 are taken");
}

TEST(SpdyFramesTest, AReaderStaysInError) {
  FrameReader reader;
  std::string bad = control(6, 0, "abc"), good = from_hex(kGoClient[6]);
  reader.feed(bad);
  EXPECT_FALSE(reader.next());
  reader.feed(good);
  EXPECT_FALSE(reader.next());
}

TEST(SpdyFramesTest, HeaderBombsAreCutOff) {
  FrameWriter writer;
  std::string out;
  writer.syn_stream(out, SynStream{1, 0, false, false, {{"a", std::string(10 << 20, 'x')}}});
  ASSERT_LT(out.size(), 128u << 10);
  EXPECT_EQ(last_of(out, FrameLimits{.max_control_frame = 1 << 20}),
            "error: SYN_STREAM: header block inflates to more than the 32768 bytes that are taken");
}

std::string with_block(std::string_view text) {
  z_stream zlib{};
  EXPECT_EQ(::deflateInit(&zlib, 9), Z_OK);
  const std::string& dictionary = header_dictionary();
  ::deflateSetDictionary(&zlib, reinterpret_cast<const Bytef*>(dictionary.data()), dictionary.size());
  std::string block(text.size() + 1024, '\0');
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  zlib.avail_in = text.size();
  zlib.next_out = reinterpret_cast<Bytef*>(block.data());
  zlib.avail_out = block.size();
  ::deflate(&zlib, Z_SYNC_FLUSH);
  block.resize(block.size() - zlib.avail_out);
  ::deflateEnd(&zlib);
  return control(1, 0, words({1, 0}) + std::string(2, '\0') + block);
}

std::string word(std::string_view text) { return words({static_cast<std::uint32_t>(text.size())}).append(text); }

TEST(SpdyFramesTest, HeaderBlocksThatLieAreErrors) {
  EXPECT_EQ(last_of(with_block("")), "error: SYN_STREAM: header block shorter than its count");
  EXPECT_EQ(last_of(with_block(words({0xffffffff}))),
            "error: SYN_STREAM: 4294967295 headers in one block: at most 64 are taken");
  EXPECT_EQ(last_of(with_block(words({1, 0xffffffff}))),
            "error: SYN_STREAM: a header's name of 4294967295 bytes in a block with 0 left");
  EXPECT_EQ(last_of(with_block(words({1}) + word("a"))),
            "error: SYN_STREAM: header block ends before the length of a value");
  EXPECT_EQ(last_of(with_block(words({1}) + word("") + word("x"))), "error: SYN_STREAM: a header without a name");
  EXPECT_EQ(last_of(with_block(words({1}) + word("Abc") + word("x"))),
            "error: SYN_STREAM: a header's name has upper-case letters: SPDY's are in lower case");
  EXPECT_EQ(last_of(with_block(words({2}) + word("a") + word("x") + word("a") + word("y"))),
            "error: SYN_STREAM: a header's name comes twice in one block");
  EXPECT_EQ(last_of(with_block(words({0}) + "more")), "error: SYN_STREAM: 4 bytes after the last header of a block");
  EXPECT_EQ(last_of(with_block(words({1}) + word("streamtype") + word("stdin"))), "SYN 1 stdin");
}

TEST(SpdyFramesTest, ChangedBytesNeverDoWorseThanAnError) {
  std::mt19937 random(7);
  const std::string good = go_client();
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (int i = 0, n = 1 + static_cast<int>(random() % 4); i < n; ++i)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    read_all(bytes, 1 + random() % 40);
  }
}

}  // namespace
}  // namespace gantry::http::spdy
