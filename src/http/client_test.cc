// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <set>
#include <string>

#include "http/connect.h"
#include "http/listen.h"
#include "http/server.h"
#include "http/test_certificates.h"
#include "http/test_connect.h"

namespace gantry::http {
namespace {

using namespace std::chrono_literals;

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// A server and a client on one loop; with TLS when `secure`.
class ClientTest : public testing::TestWithParam<bool> {
 public:
  template <typename Test>
  void run(Handler handler, Test test, Limits limits = {}, ClientOptions options = {}) {
    auto listener = listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    options.host = "127.0.0.1";
    options.port = listener->port;
    std::shared_ptr<TlsServer> tls;
    if (GetParam()) {
      TestAuthority ca("ca");
      auto pair = ca.server();
      tls = *TlsServer::make({.certificate_pem = pair.certificate, .key_pem = pair.key, .client_ca_pem = ca.pem()});
      auto mine = ca.issue("me", "", nullptr, "clientAuth");
      options.tls = *TlsClient::make({.ca_pem = ca.pem(), .certificate_pem = mine.certificate, .key_pem = mine.key});
    }
    server_ = std::make_unique<Server>(loop_, std::move(handler), limits);
    server_->serve(std::move(listener->socket), tls);
    client_ = std::make_unique<Client>(loop_, options);
    loop_.spawn(then_stop(test(*this)));
    loop_.run();
  }
  Task<> then_stop(Task<> test) {
    co_await test;
    client_.reset();
    server_.reset();
    loop_.stop();
  }
  Task<Result<Response>> get(std::string target) {
    ClientRequest request;
    request.target = std::move(target);
    return client_->send(std::move(request));
  }

  Loop loop_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Plain, ClientTest, testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Tls, ClientTest, testing::Values(true));

TEST_P(ClientTest, ConnectionsAreUsedAgain) {
  auto ports = std::make_shared<std::set<int>>();
  run(
      [ports](Request request) -> Task<Reply> {
        ports->insert(request.peer.port);
        Reply reply;
        reply.response = text_response(request.path() == "/none" ? 404 : 200,
                                       cat(request.method, " ", request.target, " ", request.header("X-A"), " ",
                                           request.body.size(), " ", request.header("Host").substr(0, 10)));
        if (request.peer.certificate)
          reply.response.headers.emplace_back("X-Me", request.peer.certificate->common_name);
        co_return reply;
      },
      [ports](auto& self) -> Task<> {
        auto first = co_await self.get("/a?b=c");
        EXPECT_TRUE(first && first->status == 200);
        EXPECT_EQ(first->body, "GET /a?b=c  0 127.0.0.1:\n");
        EXPECT_EQ(find_header(first->headers, "X-Me"), self.GetParam() ? "me" : "");
        EXPECT_EQ((co_await self.get("/none"))->status, 404);
        ClientRequest request{"PUT", "/put", {{"X-A", "1"}}, std::string(200 << 10, 'x')};
        EXPECT_EQ((co_await self.client_->send(request))->body, "PUT /put 1 204800 127.0.0.1:\n");
        auto head = co_await self.client_->send({.method = "HEAD"});
        EXPECT_TRUE(head && head->body.empty());
        EXPECT_EQ(find_header(head->headers, "content-length"), "21");
        EXPECT_TRUE(co_await self.get("/again"));
        EXPECT_EQ(ports->size(), 1U);
        EXPECT_FALSE(co_await self.client_->send({.target = "/a b"}));
        EXPECT_FALSE(co_await self.client_->send({.headers = {{"A", "b\r\nc: d"}}}));
      });
}

TEST_P(ClientTest, AnswersOverTimeAreReadAsTheyCome) {
  auto next = std::make_shared<Event>(loop_), gone = std::make_shared<Event>(loop_);
  run(
      [next, gone](Request request) -> Task<Reply> {
        Reply reply;
        reply.stream = [next, gone, path = std::string(request.path())](BodyWriter& body) -> Task<> {
          (void)co_await body.write("one");
          co_await next->wait();
          (void)co_await body.write("two");
          if (path == "/whole") co_return;
          if (path == "/cut") co_return body.cut_off();
          co_await body.closed()->wait();
          gone->set();
        };
        co_return reply;
      },
      [next, gone](auto& self) -> Task<> {
        for (std::string path : {"/whole", "/whole", "/cut", "/left"}) {
          next->reset();
          auto answer = co_await self.client_->open({.target = path});
          EXPECT_TRUE(answer && answer->status == 200);
          if (!answer) co_return;
          EXPECT_EQ(*co_await answer->body->read(), "one");
          next->set();
          EXPECT_EQ(*co_await answer->body->read(), "two");
          if (path == "/whole") {
            EXPECT_EQ(*co_await answer->body->read(), "");
            EXPECT_EQ(*co_await answer->body->read(), "");
          } else if (path == "/cut") {
            EXPECT_EQ((co_await answer->body->read()).error().code(), Code::kUnavailable);
          } else {
            answer->body = nullptr;
            EXPECT_TRUE(co_await gone->wait_for(30s));
          }
        }
      });
}

TEST_P(ClientTest, UpgradesGiveTheConnection) {
  run(
      [](Request request) -> Task<Reply> {
        Reply reply;
        if (request.path() != "/up") co_return Reply{text_response(403, "no"), {}, {}};
        reply.response.status = 101;
        reply.response.headers = {{"Connection", "Upgrade"}, {"Upgrade", "x"}};
        reply.upgrade = [](std::unique_ptr<ByteStream> stream) -> Task<> {
          auto owned = std::move(stream);
          (void)co_await owned->write("early ");
          auto all = co_await read_all(*owned);
          (void)co_await owned->write(all.value_or("broken"));
          owned->finish_writing();
          (void)co_await read_all(*owned);
        };
        co_return reply;
      },
      [](auto& self) -> Task<> {
        HeaderList headers = {{"Connection", "Upgrade"}, {"Upgrade", "x"}};
        auto refused = co_await self.client_->upgrade({.target = "/no", .headers = headers});
        EXPECT_TRUE(refused && !refused->stream && refused->response.status == 403);
        EXPECT_EQ(refused->response.body, "no\n");
        auto upgraded = co_await self.client_->upgrade({.method = "POST", .target = "/up", .headers = headers});
        EXPECT_TRUE(upgraded && upgraded->stream);
        EXPECT_EQ(find_header(upgraded->response.headers, "upgrade"), "x");
        EXPECT_TRUE(co_await upgraded->stream->write("late"));
        upgraded->stream->finish_writing();
        EXPECT_EQ(*co_await read_all(*upgraded->stream), "early late");
      });
}

TEST_P(ClientTest, WhatIsForgottenIsNotUsedAgain) {
  auto ports = std::make_shared<std::set<int>>();
  run(
      [ports](Request request) -> Task<Reply> {
        ports->insert(request.peer.port);
        Reply reply;
        reply.stream = [](BodyWriter& body) -> Task<> { (void)co_await body.write("all"); };
        co_return reply;
      },
      [ports](auto& self) -> Task<> {
        EXPECT_TRUE(co_await self.get("/"));
        self.client_->forget_kept();
        auto in_use = co_await self.client_->open({});
        EXPECT_EQ(ports->size(), 2U);
        self.client_->forget_kept();
        EXPECT_TRUE(in_use);
        if (!in_use) co_return;
        EXPECT_EQ(*co_await in_use->body->read(), "all");
        EXPECT_EQ(*co_await in_use->body->read(), "");
        EXPECT_TRUE(co_await self.get("/"));
        EXPECT_EQ(ports->size(), 3U);
        EXPECT_TRUE(co_await self.get("/"));
        EXPECT_EQ(ports->size(), 3U);
      });
}

// Whether it is noticed before the next request or by it.
TEST_P(ClientTest, WhatTheServerClosedIsNotUsed) {
  auto count = std::make_shared<int>(0);
  run(
      [count](Request) -> Task<Reply> {
        ++*count;
        co_return Reply{};
      },
      [count](auto& self) -> Task<> {
        EXPECT_TRUE(co_await self.get("/"));
        co_await self.loop_.sleep_for(2ms);  // the server closes it after one
        auto again = co_await self.get("/");
        EXPECT_TRUE(again) << again.error().message();
        EXPECT_EQ(*count, 2);
      },
      Limits{.keep_alive_time = 1ms});
}

TEST_P(ClientTest, WhatIsSlowIsAnError) {
  run(
      [](Request) -> Task<Reply> {
        Reply reply;
        reply.stream = [](BodyWriter& body) -> Task<> { co_await body.closed()->wait(); };
        co_return reply;
      },
      [](auto& self) -> Task<> {
        auto slow = co_await self.get("/");
        EXPECT_EQ(slow.error().code(), Code::kDeadlineExceeded);
      },
      {}, ClientOptions{.response_time = 50ms});
}

TEST_P(ClientTest, WhatIsTooLargeIsAnError) {
  run(
      [](Request) -> Task<Reply> {
        Reply reply;
        reply.response.body = std::string(2000, 'x');
        co_return reply;
      },
      [](auto& self) -> Task<> {
        auto large = co_await self.get("/");
        EXPECT_EQ(large.error().code(), Code::kResourceExhausted);
        EXPECT_TRUE(has(large.error().message(), "more than 1000 bytes"));
      },
      {}, ClientOptions{.max_body_bytes = 1000});
}

TEST(ConnectTest, WhoIsNotThereIsNamed) {
  Loop loop;
  // Bound and never listening: refused, and nobody else's.
  const SocketFd held(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(held.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::getsockname(held.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::uint16_t port = ntohs(address.sin_port);
  loop.spawn([](Loop& on, std::uint16_t closed) -> Task<> {
    auto refused = co_await connect_tcp(on, "127.0.0.1", closed, 30s);
    EXPECT_TRUE(!refused && refused.error().code() == Code::kUnavailable);
    EXPECT_TRUE(has(refused.error().message(), cat("connect 127.0.0.1:", closed))) << refused.error().message();
    auto named = co_await connect_tcp(on, "localhost", closed, 30s);
    EXPECT_FALSE(named);
    Client client(on, {.host = "127.0.0.1", .port = closed});
    EXPECT_EQ((co_await client.send({})).error().code(), Code::kUnavailable);
    on.stop();
  }(loop, port));
  loop.run();
  EXPECT_EQ(host_and_port("fd00::1", 80), "[fd00::1]:80");
}

TEST(ConnectTest, WhoIsGoneWithoutAWordIsNoticedWithinAMinute) {
  auto listener = listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  Loop loop;
  loop.spawn([](Loop& on, std::uint16_t port) -> Task<> {
    auto socket = co_await connect_tcp(on, "127.0.0.1", port, 30s);
    EXPECT_TRUE(socket);
    on.stop();
    if (!socket) co_return;
    const auto option = [&socket](int level, int name) {
      int value = 0;
      socklen_t size = sizeof(value);
      return ::getsockopt(socket->get(), level, name, &value, &size) == 0 ? value : -1;
    };
    EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_LE(option(IPPROTO_TCP, TCP_KEEPIDLE) + option(IPPROTO_TCP, TCP_KEEPINTVL) * option(IPPROTO_TCP, TCP_KEEPCNT),
              60);
  }(loop, listener->port));
  loop.run();
}

}  // namespace
}  // namespace gantry::http
