// SPDX-License-Identifier: Apache-2.0
// Answers that come over time, over HTTP/1.1 (message.h).
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "http/listen.h"
#include "http/server.h"
#include "http/test_client.h"

namespace gantry::http {
namespace {

using namespace std::chrono_literals;

class StreamTest : public testing::Test {
 protected:
  void serve(std::function<Task<>(BodyWriter&)> produce, Limits limits = {}) {
    auto listener = listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(listener) << listener.error().message();
    port_ = listener->port;
    Handler handler = [produce](Request) -> Task<Reply> {
      Reply reply;
      reply.response.headers = {{"Content-Type", "application/json"}};
      reply.stream = [produce](BodyWriter& body) -> Task<> { co_await produce(body); };
      co_return reply;
    };
    server_ = std::make_unique<Server>(loop_, std::move(handler), limits);
    server_->serve(std::move(listener->socket));
  }
  void with_clients(std::function<void()> clients) {
    std::jthread thread([this, &clients] {
      clients();
      loop_.post([this] { loop_.stop(); });
    });
    loop_.run();
  }

  Loop loop_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

constexpr std::string_view kGet = "GET /watch HTTP/1.1\r\nHost: x\r\n\r\n";

Task<> write_three(BodyWriter& body) {
  EXPECT_TRUE(co_await body.write("one"));
  EXPECT_TRUE(co_await body.write(""));
  std::string_view pieces[] = {"{", "two", "}"};
  EXPECT_TRUE(co_await body.write(pieces));
}

TEST_F(StreamTest, EachWriteIsAChunkAndTheConnectionGoesOn) {
  serve(write_three);
  with_clients([this] {
    TestClient client(port_);
    for (int i = 0; i < 3; ++i) {
      client.send(kGet);
      std::string head = client.response();
      EXPECT_TRUE(has(head, "Transfer-Encoding: chunked\r\n") && !has(head, "Content-Length")) << head;
      EXPECT_TRUE(has(head, "Connection: keep-alive\r\n"));
      EXPECT_EQ(client.exactly(8 + 10 + 5), "3\r\none\r\n5\r\n{two}\r\n0\r\n\r\n");
    }
    client.send(std::string(kGet) + std::string(kGet));  // one is ahead of its time
    client.response();
    client.exactly(23);
    client.response();
    client.exactly(23);
    client.send("HEAD /watch HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(has(client.response(), "chunked"));
    EXPECT_TRUE(client.rest().ends_with("{two}\r\n0\r\n\r\n"));
  });
}

TEST_F(StreamTest, OldClientsReadToTheEnd) {
  serve(write_three);
  with_clients([this] {
    TestClient client(port_);
    client.send("GET / HTTP/1.0\r\n\r\n");
    auto text = client.rest();
    EXPECT_TRUE(text.ends_with("\r\n\r\none{two}")) << text;
    EXPECT_TRUE(has(text, "Connection: close\r\n") && !has(text, "chunked"));
  });
}

TEST_F(StreamTest, AClientThatLeavesIsNoticedWithoutAWrite) {
  std::atomic<bool> left = false;
  Event done(loop_);
  serve([&](BodyWriter& body) -> Task<> {
    co_await body.closed()->wait();
    left = true;
    auto written = co_await body.write("late");
    EXPECT_TRUE(!written && written.error().is_cancelled());
    loop_.stop();
  });
  std::jthread thread([this] {
    TestClient client(port_);
    client.send(kGet);
    client.response();
    client.close();
  });
  loop_.run();
  EXPECT_TRUE(left);
}

TEST_F(StreamTest, ASlowClientMakesTheWriterWaitAndThenLosesItsAnswer) {
  std::atomic<std::size_t> taken = 0;
  serve(
      [&](BodyWriter& body) -> Task<> {
        std::string piece(200 << 10, 'x');
        for (;;) {
          auto written = co_await body.write(piece);
          if (!written) {
            EXPECT_TRUE(written.error().is_deadline());
            loop_.stop();
            co_return;
          }
          taken += piece.size();
        }
      },
      Limits{.response_time = 50ms});
  TestClient client(port_, 4096);
  client.send(kGet);
  loop_.run();
  EXPECT_LT(taken.load(), 64U << 20);
}

TEST_F(StreamTest, WhatIsCutOffHasNoEnd) {
  serve([](BodyWriter& body) -> Task<> {
    (void)co_await body.write("half");
    body.cut_off();
  });
  with_clients([this] {
    TestClient client(port_);
    client.send(kGet);
    EXPECT_TRUE(client.rest().ends_with("4\r\nhalf\r\n"));
  });
}

TEST_F(StreamTest, TheEndOfTheServerEndsAnswers) {
  serve([&](BodyWriter& body) -> Task<> {
    (void)co_await body.write("begun");
    co_await body.closed()->wait();
    loop_.stop();
  });
  std::jthread thread([this] {
    TestClient client(port_);
    client.send(std::string(kGet) + "G");  // more has come: its end is not read for any more
    client.response();
    EXPECT_EQ(client.exactly(10), "5\r\nbegun\r\n");
    loop_.post([this] { server_.reset(); });
    EXPECT_EQ(client.rest(), "");
  });
  loop_.run();
}

TEST_F(StreamTest, WhatIsBeingWrittenWhenTheServerIsDrainedComesWhole) {
  serve([](BodyWriter& body) -> Task<> {
    EXPECT_TRUE(co_await body.write("begun"));
    co_await body.closed()->wait();
    EXPECT_TRUE(co_await body.write("ended"));
  });
  with_clients([this] {
    TestClient client(port_);
    client.send(kGet);
    client.response();
    EXPECT_EQ(client.exactly(10), "5\r\nbegun\r\n");
    loop_.post([this] { loop_.spawn([](Server& server) -> Task<> { co_await server.drain(10s); }(*server_)); });
    EXPECT_EQ(client.rest(), "5\r\nended\r\n0\r\n\r\n");
  });
}

TEST_F(StreamTest, SharedBodiesAreSentWhole) {
  auto listener = listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  auto shared = std::make_shared<const std::string>(300 << 10, 'y');
  Server server(loop_, [shared](Request request) -> Task<Reply> {
    EXPECT_EQ(request.peer.address, "127.0.0.1");
    EXPECT_NE(request.peer.port, 0);
    EXPECT_FALSE(request.peer.is_tls);
    EXPECT_EQ(request.query(), "limit=1");
    Reply reply;
    reply.response.status = request.path() == "/none" ? 204 : 200;
    reply.response.shared_body = shared;
    co_return reply;
  });
  std::uint16_t port = listener->port;
  server.serve(std::move(listener->socket));
  with_clients([&] {
    TestClient client(port);
    client.send("GET /?limit=1 HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(client.response().ends_with("\r\n\r\n" + *shared));
    client.send("GET /none?limit=1 HTTP/1.1\r\n\r\n");
    EXPECT_FALSE(has(client.response(), "Content-Length"));
  });
}

TEST_F(StreamTest, BodiesThatAreBeingReceivedAreBoundedForAllClientsTogether) {
  serve(write_three, Limits{.max_unfinished_bytes = 50 << 10});
  with_clients([this] {
    TestClient client(port_);
    client.send("PUT / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + std::string(90 << 10, 'x'));
    EXPECT_TRUE(client.rest().starts_with("HTTP/1.1 503 "));
    TestClient next(port_);
    next.send("PUT / HTTP/1.1\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody");
    EXPECT_TRUE(next.rest().starts_with("HTTP/1.1 200 "));
  });
}

}  // namespace
}  // namespace gantry::http
