// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <functional>
#include <memory>
#include <semaphore>
#include <string>
#include <thread>

#include "http/listen.h"
#include "http/test_client.h"
#include "sys/file.h"
#include "sys/pipe.h"
#include "sys/socket.h"

namespace gantry::http {
namespace {

using namespace std::chrono_literals;

// A server on a port of its own, and clients on a thread.
class ServerTest : public testing::Test {
 protected:
  void serve(Handler handler, Limits limits = {}) {
    auto listener = listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(listener) << listener.error().message();
    port_ = listener->port;
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

Task<Reply> echo(Request request) {
  Reply reply;
  reply.response = text_response(200, request.method + " " + std::string(request.path()) + " " + request.body);
  co_return reply;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_F(ServerTest, AnswersRequestsOneAfterTheOtherOnAConnection) {
  serve(echo);
  with_clients([this] {
    TestClient client(port_);
    client.send("GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nPUT /d HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
    auto first = client.response();
    EXPECT_TRUE(first.starts_with("HTTP/1.1 200 OK\r\n")) << first;
    EXPECT_TRUE(first.ends_with("\r\n\r\nGET /a \n")) << first;
    EXPECT_TRUE(has(first, "Connection: keep-alive\r\n"));
    EXPECT_TRUE(client.response().ends_with("PUT /d body\n"));
    client.send("POST /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.send("2\r\nde\r\n0\r\n\r\n");
    EXPECT_TRUE(client.response().ends_with("POST /e abcde\n"));
    client.send("HEAD /f HTTP/1.1\r\nConnection: close\r\n\r\n");
    auto last = client.rest();
    EXPECT_TRUE(has(last, "Content-Length: 9\r\n") && last.ends_with("\r\n\r\n")) << last;
    EXPECT_TRUE(has(last, "Connection: close\r\n"));
  });
}

TEST_F(ServerTest, ClientsThatWaitForContinueAreToldTo) {
  serve(echo);
  with_clients([this] {
    TestClient client(port_);
    client.send("PUT /a HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(client.response(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ok");
    EXPECT_TRUE(client.response().ends_with("PUT /a ok\n"));
  });
}

TEST_F(ServerTest, WhatIsTooLargeOrMalformedIsRefused) {
  serve(echo, Limits{.max_header_bytes = 2048, .max_body_bytes = 1000});
  with_clients([this] {
    auto answer_to = [this](const std::string& request) {
      TestClient client(port_);
      client.send(request);
      return client.rest();
    };
    auto long_header = answer_to("GET / HTTP/1.1\r\nA: " + std::string(4096, 'x') + "\r\n\r\n");
    EXPECT_TRUE(long_header.starts_with("HTTP/1.1 431 ")) << long_header;
    EXPECT_TRUE(has(long_header, "longer than 2048 bytes"));
    EXPECT_TRUE(answer_to("PUT / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n").starts_with("HTTP/1.1 413 "));
    EXPECT_TRUE(
        answer_to("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + std::string(1024, 'x') + "\r\n")
            .starts_with("HTTP/1.1 413 "));
    EXPECT_TRUE(answer_to("what is this\r\n\r\n").starts_with("HTTP/1.1 400 "));
    EXPECT_TRUE(answer_to("GET / HTTP/1.1\r\nbad header\r\n\r\n").starts_with("HTTP/1.1 400 "));
    EXPECT_TRUE(
        answer_to("PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab").starts_with("HTTP/1.1 400 "));
  });
}

TEST_F(ServerTest, SlowRequestsEndWithTheirConnection) {
  serve(echo, Limits{.request_time = 30ms});
  with_clients([this] {
    TestClient slow(port_);
    slow.send("GET / HTTP/1.1\r\nHost:");
    EXPECT_EQ(slow.rest(), "");
  });
}

TEST_F(ServerTest, IdleConnectionsAreClosed) {
  serve(echo, Limits{.keep_alive_time = 30ms});
  with_clients([this] {
    TestClient idle(port_);
    idle.send("GET / HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(idle.rest().starts_with("HTTP/1.1 200 OK")) << "and then it is closed";
  });
}

TEST_F(ServerTest, OneConnectionTooManyIsToldSo) {
  serve(echo, Limits{.max_connections = 1});
  with_clients([this] {
    TestClient first(port_);
    first.send("GET / HTTP/1.1\r\n\r\n");
    first.response();
    EXPECT_TRUE(TestClient(port_).rest().starts_with("HTTP/1.1 503 "));
    first.send("GET /again HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(has(first.response(), "GET /again"));
  });
}

// 127.0.0.2 and so on are clients of their own.
OwnFd connect_from(const char* address, std::uint16_t port) {
  OwnFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in from{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
  ::inet_pton(AF_INET, address, &from.sin_addr);
  sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&from), sizeof(from)), 0);
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  return socket;
}

TEST_F(ServerTest, WhoHasManyConnectionsMakesRoomForOthers) {
  Event done(loop_);
  std::binary_semaphore begun(0);
  serve(
      [&](Request request) -> Task<Reply> {
        if (request.path() == "/slow") {
          begun.release();
          co_await done.wait();
        }
        co_return co_await echo(std::move(request));
      },
      Limits{.max_connections = 4});
  with_clients([&] {
    TestClient working(connect_from("127.0.0.2", port_));
    TestClient oldest(connect_from("127.0.0.2", port_));
    TestClient half(connect_from("127.0.0.2", port_));
    TestClient other(connect_from("127.0.0.3", port_));
    for (TestClient* one : {&working, &oldest, &half, &other}) {
      one->send("GET / HTTP/1.1\r\n\r\n");
      EXPECT_TRUE(has(one->response(), "GET /"));
    }
    working.send("GET /slow HTTP/1.1\r\n\r\n");
    begun.acquire();
    half.send("GET /half HTTP/1.1\r\n");
    TestClient next(connect_from("127.0.0.4", port_));
    next.send("GET /next HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(has(next.response(), "GET /next"));
    EXPECT_EQ(oldest.rest(), "") << "the oldest of the address that had most";
    TestClient last(connect_from("127.0.0.5", port_));
    last.send("GET /last HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(has(last.response(), "GET /last"));
    EXPECT_EQ(half.rest(), "") << "what is not asked to its end is not at work";
    EXPECT_TRUE(TestClient(connect_from("127.0.0.6", port_)).rest().starts_with("HTTP/1.1 503 ")) << "each has one";
    other.send("GET /again HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(has(other.response(), "GET /again"));
    loop_.post([&done] { done.set(); });
    EXPECT_TRUE(has(working.response(), "GET /slow"));
  });
}

TEST_F(ServerTest, AHandlersHeadersCanNotForgeOthers) {
  serve([](Request request) -> Task<Reply> {
    Reply reply;
    reply.response.headers = {{"X-Echo", std::string(request.path())}, {"X-Bad", "a\r\nSet-Cookie: b"}};
    co_return reply;
  });
  with_clients([this] {
    TestClient client(port_);
    client.send("GET /p HTTP/1.1\r\n\r\n");
    auto response = client.response();
    EXPECT_TRUE(has(response, "X-Echo: /p\r\n"));
    EXPECT_FALSE(has(response, "Set-Cookie"));
  });
}

// Says "hello", then gives back what it reads.
Task<Reply> upgrade_to_echo(Request) {
  Reply reply;
  reply.response.status = 101;
  reply.response.headers = {{"Connection", "Upgrade"}, {"Upgrade", "echo"}};
  reply.upgrade = [](std::unique_ptr<ByteStream> stream) -> Task<> {
    auto owned = std::move(stream);
    (void)co_await owned->write("hello ");
    std::array<char, 3> buffer;
    for (;;) {
      auto size = co_await owned->read(buffer);
      if (!size || *size == 0) co_return;
      (void)co_await owned->write(std::string_view(buffer.data(), *size));
    }
  };
  co_return reply;
}

TEST_F(ServerTest, AnUpgradeTakesTheConnectionWithTheBytesThatFollowed) {
  serve(upgrade_to_echo);
  with_clients([this] {
    TestClient client(port_);
    client.send("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly bytes");
    auto head = client.response();
    EXPECT_TRUE(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n")) << head;
    EXPECT_FALSE(has(head, "Content-Length"));
    client.finish_writing();
    EXPECT_EQ(client.rest(), "hello early bytes");
  });
}

TEST_F(ServerTest, TheEndOfTheServerEndsItsConnections) {
  serve(upgrade_to_echo);
  with_clients([this] {
    TestClient client(port_);
    client.send("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    client.response();
    loop_.post([this] { server_.reset(); });
    client.rest();
    EXPECT_EQ(TestClient(port_).rest(), "");
  });
}

TEST_F(ServerTest, ServesUnixSocketsToo) {
  char folder[] = "/tmp/gantry-http-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  auto dir = sys::open_dir(sys::kCwd, folder);
  ASSERT_TRUE(dir);
  auto listener = sys::listen_unix(*dir, "s", SOCK_STREAM, 8);
  ASSERT_TRUE(listener);
  Server server(loop_, echo);
  server.serve(std::move(*listener));
  with_clients([&] {
    auto socket = sys::connect_unix(*dir, "s", SOCK_STREAM);
    ASSERT_TRUE(socket);
    int flags = ::fcntl(socket->get(), F_GETFL);
    ::fcntl(socket->get(), F_SETFL, flags & ~O_NONBLOCK);
    TestClient client{OwnFd(std::move(*socket))};
    client.send("GET /unix HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(has(client.response(), "GET /unix"));
  });
  EXPECT_TRUE(sys::unlinkat(*dir, "s", 0));
  ::rmdir(folder);
}

TEST(ListenTest, AddressesAreNumericAndLoopbackIsKnown) {
  EXPECT_TRUE(is_loopback("127.0.0.1"));
  EXPECT_TRUE(is_loopback("127.8.9.1"));
  EXPECT_TRUE(is_loopback("::1"));
  EXPECT_TRUE(is_loopback("[::1]"));
  EXPECT_FALSE(is_loopback("0.0.0.0"));
  EXPECT_FALSE(is_loopback("::"));
  EXPECT_FALSE(is_loopback("localhost"));
  auto listener = listen_tcp("localhost", 0);
  ASSERT_FALSE(listener);
  EXPECT_EQ(listener.error().message(), "listen address \"localhost\": expected a numeric IPv4 or IPv6 address");
}

TEST(ListenTest, OneThatListensAlreadyKeepsItsPlace) {
  for (const char* address : {"127.0.0.1", "::1"}) {
    auto first = listen_tcp(address, 0);
    ASSERT_TRUE(first) << first.error().message();
    auto second = adopt_listener(std::move(first->socket));
    ASSERT_TRUE(second) << second.error().message();
    EXPECT_EQ(second->port, first->port);
    EXPECT_EQ(second->host, first->host);
    EXPECT_TRUE(is_loopback(second->host));
  }
  auto pair = sys::stream_pair();
  ASSERT_TRUE(pair);
  EXPECT_TRUE(adopt_listener(std::move(pair->left)).error().is_invalid());
}

TEST(RequestTest, HeadersAreFoundWithoutCaseAndSplitAtCommas) {
  Request request;
  request.target = "/a/b?c";
  request.headers = {{"connection", "keep-alive, Upgrade"}, {"X", "1"}, {"Connection", " ,x"}};
  EXPECT_EQ(request.path(), "/a/b");
  EXPECT_EQ(request.header("x"), "1");
  EXPECT_EQ(request.header("y"), "");
  EXPECT_EQ(request.values("Connection"), (std::vector<std::string_view>{"keep-alive", "Upgrade", "x"}));
  EXPECT_TRUE(request.has_value("CONNECTION", "upgrade"));
  EXPECT_FALSE(request.has_value("CONNECTION", "up"));
}

}  // namespace
}  // namespace gantry::http
