// SPDX-License-Identifier: Apache-2.0
// HTTP/2, on a connection that is not TLS: what a server serves once a handshake has chosen it.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <string>

#include "http/http2_test_client.h"
#include "http/server_core.h"
#include "http/test_connect.h"

namespace gantry::http {
namespace {

using namespace std::chrono_literals;

class Http2Test : public testing::Test {
 public:
  // Runs `test` with a client whose connection serves `handler`.
  template <typename Test>
  void run(Handler handler, Test test, Limits limits = {}, std::uint32_t window = 65535) {
    core_ = std::make_shared<ServerCore>(loop_, std::move(handler), limits);
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    auto served = std::make_unique<TrackedStream>(core_, make_socket_stream(loop_, SocketFd(ends[0])));
    Http2TestClient client(loop_, make_socket_stream(loop_, SocketFd(ends[1])), window);
    loop_.spawn(serve_http2(core_, std::move(served), Peer{.address = "192.0.2.1", .is_tls = true}));
    loop_.spawn(then_stop(test(*this, client), client));
    loop_.run();
  }
  Task<> then_stop(Task<> test, Http2TestClient& client) {
    co_await test;
    co_await client.close();
    loop_.stop();
  }

  Loop loop_;
  std::shared_ptr<ServerCore> core_;
};

Task<Reply> echo(Request request) {
  Reply reply;
  reply.response.headers = {{"X-Seen", std::string(request.header("Host")) + " " + request.peer.address},
                            {"Connection", "close"},
                            {"X-Bad", "a\r\nb: c"}};
  reply.response.status = request.path() == "/none" ? 204 : 200;
  reply.response.body = request.method + " " + request.target + " " + request.body;
  co_return reply;
}

TEST_F(Http2Test, RequestsAreAnsweredSideBySide) {
  run(echo, [](auto&, Http2TestClient& client) -> Task<> {
    std::string body(300 << 10, 'b');
    auto first = client.send("GET", "/a?b"), second = client.send("PUT", "/c", body),
         none = client.send("GET", "/none"), head = client.send("HEAD", "/a");
    for (const auto& answer : {first, second, none, head}) co_await answer->closed.wait();
    EXPECT_EQ(first->headers[":status"], "200");
    EXPECT_EQ(first->body, "GET /a?b ");
    EXPECT_EQ(first->headers["content-length"], "9");
    EXPECT_EQ(first->headers["x-seen"], "localhost 192.0.2.1");
    EXPECT_TRUE(first->headers.contains("date"));
    EXPECT_FALSE(first->headers.contains("connection") || first->headers.contains("x-bad"));
    EXPECT_EQ(second->body, "PUT /c " + body);
    EXPECT_EQ(none->headers[":status"], "204");
    EXPECT_EQ(none->body, "");
    EXPECT_FALSE(none->headers.contains("content-length"));
    EXPECT_EQ(head->headers["content-length"], "8");
    EXPECT_EQ(head->body, "");
  });
}

TEST_F(Http2Test, WhatIsTooLargeIsRefused) {
  run(
      echo,
      [](auto&, Http2TestClient& client) -> Task<> {
        auto body = client.send("PUT", "/", std::string(1001, 'x'));
        auto header = client.send("GET", "/", "", {{"x-long", std::string(3000, 'y')}});
        co_await body->closed.wait();
        co_await header->closed.wait();
        EXPECT_EQ(body->headers[":status"], "413");
        EXPECT_EQ(header->headers[":status"], "431");
        auto good = client.send("PUT", "/", std::string(1000, 'x'));
        co_await good->closed.wait();
        EXPECT_EQ(good->headers[":status"], "200");
      },
      Limits{.max_header_bytes = 2000, .max_body_bytes = 1000});
}

TEST_F(Http2Test, AnAnswerOverTimeWaitsForItsClient) {
  auto written = std::make_shared<std::size_t>(0);
  run(
      [written](Request) -> Task<Reply> {
        Reply reply;
        reply.stream = [written](BodyWriter& body) -> Task<> {
          std::string_view pieces[] = {"{", "", "object", "}"};
          EXPECT_TRUE(co_await body.write(pieces));
          EXPECT_TRUE(co_await body.write(""));
          std::string large(1000, 'x');
          for (;;) {
            auto taken = co_await body.write(large);
            if (!taken) {
              EXPECT_TRUE(taken.error().is_deadline()) << taken.error().message();
              co_return;
            }
            *written += large.size();
          }
        };
        co_return reply;
      },
      [written](auto&, Http2TestClient& client) -> Task<> {
        auto answer = client.send("GET", "/");
        co_await answer->closed.wait();  // the client gives no more room than it had at first
        EXPECT_EQ(answer->error, static_cast<std::uint32_t>(NGHTTP2_CANCEL));
        EXPECT_TRUE(answer->body.starts_with("{object}xxx"));
        EXPECT_EQ(answer->body.size(), 5000U);
        EXPECT_LE(*written, 5000U);
      },
      Limits{.response_time = 2s}, 5000);
}

TEST_F(Http2Test, ClientsThatLeaveAreNoticed) {
  auto gone = std::make_shared<Event>(loop_);
  run(
      [gone](Request) -> Task<Reply> {
        Reply reply;
        reply.stream = [gone](BodyWriter& body) -> Task<> {
          EXPECT_TRUE(co_await body.write("begun"));
          co_await body.closed()->wait();
          auto late = co_await body.write("late");
          EXPECT_TRUE(!late && late.error().is_cancelled());
          gone->set();
        };
        co_return reply;
      },
      [gone](auto&, Http2TestClient& client) -> Task<> {
        auto answer = client.send("GET", "/");
        co_await answer->changed.wait();
        client.reset(client.last_id);
        EXPECT_TRUE(co_await gone->wait_for(30s)) << "of one request";
        gone->reset();
        auto next = client.send("GET", "/");
        co_await next->changed.wait();
        co_await client.close();
        EXPECT_TRUE(co_await gone->wait_for(30s)) << "with the connection";
      });
}

TEST_F(Http2Test, WhatIsCutOffIsReset) {
  run(
      [](Request) -> Task<Reply> {
        Reply reply;
        reply.stream = [](BodyWriter& body) -> Task<> {
          EXPECT_TRUE(co_await body.write("half"));
          body.cut_off();
        };
        co_return reply;
      },
      [](auto&, Http2TestClient& client) -> Task<> {
        auto answer = client.send("GET", "/");
        co_await answer->closed.wait();
        EXPECT_EQ(answer->error, static_cast<std::uint32_t>(NGHTTP2_INTERNAL_ERROR));
        EXPECT_EQ(answer->body, "half");
      });
}

TEST_F(Http2Test, ResetsInQuickSuccessionEndTheConnection) {
  auto running = std::make_shared<int>(0), most = std::make_shared<int>(0);
  auto release = std::make_shared<Event>(loop_);
  run(
      [=](Request) -> Task<Reply> {
        *most = std::max(*most, ++*running);
        co_await release->wait();
        --*running;
        co_return Reply{};
      },
      [=](auto&, Http2TestClient& client) -> Task<> {
        for (int i = 0; i < 1000; ++i) {
          client.send("GET", "/");
          co_await client.flushed();
          client.reset(client.last_id);
        }
        co_await client.wait_for_end();
        release->set();
        EXPECT_LE(*most, 500);
        EXPECT_GT(*most, 0);
      });
}

TEST_F(Http2Test, WhoIsIdleOrDrainedIsSentAway) {
  run(
      echo,
      [](auto&, Http2TestClient& client) -> Task<> {
        co_await client.goaway.wait();
        co_await client.wait_for_end();
      },
      Limits{.keep_alive_time = 20ms});
  auto begun = std::make_shared<Event>(loop_), release = std::make_shared<Event>(loop_);
  run(
      [begun, release](Request) -> Task<Reply> {
        begun->set();
        co_await release->wait();
        Reply reply;
        reply.response.body = "all the same";
        co_return reply;
      },
      [begun, release](auto& self, Http2TestClient& client) -> Task<> {
        auto answer = client.send("GET", "/");
        co_await begun->wait();
        for (const auto& wish : self.core_->drain_wishes) wish();
        co_await client.goaway.wait();
        release->set();
        co_await answer->closed.wait();
        EXPECT_EQ(answer->body, "all the same");
        co_await client.wait_for_end();
      });
  auto writing = std::make_shared<Event>(loop_);
  run(
      [writing](Request) -> Task<Reply> {
        Reply reply;
        reply.stream = [writing](BodyWriter& body) -> Task<> {
          EXPECT_TRUE(co_await body.write("some"));
          writing->set();
          co_await body.closed()->wait();
          EXPECT_TRUE(co_await body.write(" more"));
        };
        co_return reply;
      },
      [writing](auto& self, Http2TestClient& client) -> Task<> {
        auto answer = client.send("GET", "/");
        co_await writing->wait();
        for (const auto& wish : self.core_->drain_wishes) wish();
        co_await answer->closed.wait();
        EXPECT_EQ(answer->body, "some more");
        EXPECT_EQ(answer->error, NGHTTP2_NO_ERROR);
        co_await client.wait_for_end();
      });
}

TEST_F(Http2Test, GarbageEndsTheConnection) {
  core_ = std::make_shared<ServerCore>(loop_, echo, Limits{});
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  auto stream = make_socket_stream(loop_, SocketFd(ends[1]));
  auto tracked = std::make_unique<TrackedStream>(core_, make_socket_stream(loop_, SocketFd(ends[0])));
  loop_.spawn(serve_http2(core_, std::move(tracked), {}));
  loop_.spawn([](Loop& loop, ByteStream& client) -> Task<> {
    EXPECT_TRUE(co_await client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    auto answer = co_await read_all(client);
    EXPECT_TRUE(answer);
    loop.stop();
  }(loop_, *stream));
  loop_.run();
}

}  // namespace
}  // namespace gantry::http
