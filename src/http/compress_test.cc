// SPDX-License-Identifier: Apache-2.0
#include "http/compress.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <span>
#include <string>

namespace gantry::http {
namespace {

Request asking(std::string encodings) {
  Request request;
  request.headers = {{"accept-encoding", std::move(encodings)}};
  return request;
}

TEST(CompressTest, ClientsSayWhatTheyAccept) {
  for (const char* text : {"gzip", "deflate, gzip", "GZIP;q=0.5", "br, gzip ; q=1"})
    EXPECT_TRUE(accepts_gzip(asking(text)));
  for (const char* text : {"", "br", "gzip;q=0", "gzip;q=0.0", "xgzip"})
    EXPECT_FALSE(accepts_gzip(asking(text))) << text;
  EXPECT_FALSE(accepts_gzip({}));
}

class Collector final : public BodyWriter {
 public:
  explicit Collector(Loop& loop) : closed_(std::make_shared<Event>(loop)) {}
  Task<Status> write(std::string_view bytes) override {
    text += bytes;
    ++writes;
    co_return Status();
  }
  Task<Status> write(std::span<const std::string_view> pieces) override {
    for (std::string_view piece : pieces) text += piece;
    co_return Status();
  }
  const std::shared_ptr<Event>& closed() const override { return closed_; }
  void cut_off() override { ADD_FAILURE(); }

  std::string text;
  int writes = 0;

 private:
  std::shared_ptr<Event> closed_;
};

std::string inflated(const std::string& text, std::size_t most) {
  std::string out(most, 0);
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

void collect(Loop& loop, Reply& reply, Collector& collector) {
  loop.spawn([](Loop& on, Reply& of, Collector& into) -> Task<> {
    co_await of.stream(into);
    on.stop();
  }(loop, reply, collector));
  loop.run();
}

TEST(CompressTest, LargeAnswersBecomeStreams) {
  Loop loop;
  std::string body;
  for (int i = 0; i < 100'000; ++i) body += std::to_string(i * 7919);
  for (bool shared : {false, true}) {
    Reply reply;
    if (shared) {
      reply.response.shared_body = std::make_shared<const std::string>(body);
    } else {
      reply.response.body = body;
    }
    compress(loop, reply, 1000);
    ASSERT_TRUE(reply.stream);
    EXPECT_EQ(find_header(reply.response.headers, "Content-Encoding"), "gzip");
    Collector collector(loop);
    collect(loop, reply, collector);
    EXPECT_GT(collector.writes, 1);
    EXPECT_LT(collector.text.size(), body.size());
    EXPECT_EQ(inflated(collector.text, body.size() + 1), body);
  }
}

// What zlib still holds of the pieces before may be more than the last one.
TEST(CompressTest, AShortLastPieceEndsWell) {
  Loop loop;
  std::string body;
  for (unsigned i = 0; body.size() < (256U << 10); ++i) body += std::to_string(i * 2654435761U);
  body.resize(256U << 10);
  for (std::size_t rest = 1; rest < 40'000; rest = rest * 3 + 1) {
    Reply reply;
    reply.response.body = body + std::string(rest, 'x');
    const std::string sent = reply.response.body;
    compress(loop, reply, 1000);
    Collector collector(loop);
    collect(loop, reply, collector);
    EXPECT_EQ(inflated(collector.text, sent.size() + 1), sent) << rest;
  }
}

TEST(CompressTest, OthersStayAsTheyAre) {
  Loop loop;
  auto is_left = [&loop](Reply reply, std::size_t least = 1000) {
    compress(loop, reply, least);
    return !reply.stream;
  };
  Response large{.body = std::string(2000, 'x')};
  EXPECT_FALSE(is_left({large, {}, {}}));
  EXPECT_TRUE(is_left({large, {}, {}}, 2000));
  EXPECT_TRUE(is_left({large, {}, {}}, 0));
  Response encoded = large, error = large;
  encoded.headers = {{"content-encoding", "br"}};
  error.status = 500;
  EXPECT_TRUE(is_left({encoded, {}, {}}));
  EXPECT_TRUE(is_left({error, {}, {}}));
}

}  // namespace
}  // namespace gantry::http
