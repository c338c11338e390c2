// SPDX-License-Identifier: Apache-2.0
#include "http/tls.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "http/listen.h"
#include "http/server.h"
#include "http/test_certificates.h"
#include "http/test_client.h"
#include "http/test_connect.h"

namespace gantry::http {
namespace {

using namespace std::chrono_literals;

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";

// A TLS server and its clients on one loop.
class TlsTest : public testing::Test {
 protected:
  TlsTest() : ca_("the CA"), clients_ca_("the clients' CA") {}

  void serve(Handler handler, Limits limits = {}) {
    auto listener = listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(listener) << listener.error().message();
    port_ = listener->port;
    auto tls = TlsServer::make(server_options(ca_.server()));
    ASSERT_TRUE(tls) << tls.error().message();
    tls_ = *tls;
    server_ = std::make_unique<Server>(loop_, std::move(handler), limits);
    server_->serve(std::move(listener->socket), tls_);
  }
  TlsServerOptions server_options(TestAuthority::Pair pair) const {
    return {std::move(pair.certificate), std::move(pair.key), clients_ca_.pem()};
  }
  TlsClientOptions client_options(TestAuthority::Pair pair = {}) const {
    return {ca_.pem(), std::move(pair.certificate), std::move(pair.key)};
  }
  void run(Task<> test) {
    loop_.spawn(then_stop(std::move(test)));
    loop_.run();
  }
  Task<> then_stop(Task<> test) {
    co_await test;
    loop_.stop();
  }
  // Sends `request` and returns all of the answer, or why there is none.
  Task<Result<std::string>> ask(TlsClientOptions options, std::string_view request = kGet,
                                std::string_view name = "localhost") {
    auto client = TlsClient::make(options);
    if (!client) co_return std::unexpected(client.error());
    auto stream = make_tls_stream(loop_, connect_loopback(port_), **client, name);
    auto session = co_await stream->handshake(30s);
    if (!session) co_return std::unexpected(session.error());
    protocol_ = session->protocol;
    if (auto sent = co_await stream->write(request); !sent) co_return std::unexpected(sent.error());
    co_return co_await read_all(*stream);
  }

  Loop loop_;
  TestAuthority ca_, clients_ca_;
  std::shared_ptr<TlsServer> tls_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
  std::string protocol_;
};

// Who asks, as the server sees it.
Task<Reply> who(Request request) {
  Reply reply;
  std::string text = request.peer.is_tls ? "tls" : "plain";
  if (const auto& certificate = request.peer.certificate) {
    text += cat(" ", certificate->common_name, " of");
    for (const auto& organization : certificate->organizations) text += cat(" ", organization);
    text += cat(" number ", certificate->serial);
  }
  if (!request.peer.certificate_error.empty()) text += cat(" refused: ", request.peer.certificate_error);
  reply.response.body = text;
  co_return reply;
}

TEST_F(TlsTest, ClientsAreKnownByTheirCertificates) {
  serve(who);
  run([](auto& self, const TestAuthority& ca, const TestAuthority& clients) -> Task<> {
    auto body = [](Result<std::string> answer) {
      return answer ? answer->substr(answer->find("\r\n\r\n") + 4) : answer.error().message();
    };
    EXPECT_EQ(body(co_await self.ask(self.client_options())), "tls");
    EXPECT_EQ(self.protocol_, "http/1.1");
    auto good = clients.issue("system:node:a", "system:nodes", nullptr, "clientAuth");
    EXPECT_EQ(body(co_await self.ask(self.client_options(good))),
              "tls system:node:a of system:nodes number 1234567890123");
    auto expired = clients.issue("b", "", nullptr, "clientAuth", -60);
    EXPECT_EQ(body(co_await self.ask(self.client_options(expired))), "tls refused: certificate has expired");
    auto server = clients.issue("c", "", nullptr, "serverAuth");
    auto answer = body(co_await self.ask(self.client_options(server)));
    EXPECT_TRUE(answer.starts_with("tls refused: ")) << answer;
    auto foreign = ca.issue("d", "", nullptr, "clientAuth");
    answer = body(co_await self.ask(self.client_options(foreign)));
    EXPECT_TRUE(answer.starts_with("tls refused: ")) << answer;
  }(*this, ca_, clients_ca_));
}

TEST_F(TlsTest, ServersAreKnownByTheirCertificates) {
  serve(who);
  run([](auto& self, const TestAuthority& other) -> Task<> {
    EXPECT_TRUE(co_await self.ask(self.client_options(), kGet, "127.0.0.1"));
    auto wrong_name = co_await self.ask(self.client_options(), kGet, "example.org");
    EXPECT_TRUE(!wrong_name && has(wrong_name.error().message(), "hostname mismatch")) << wrong_name.error().message();
    EXPECT_FALSE(co_await self.ask(self.client_options(), kGet, "127.0.0.2"));
    auto stranger = co_await self.ask(TlsClientOptions{.ca_pem = other.pem()});
    EXPECT_TRUE(!stranger && has(stranger.error().message(), "TLS handshake")) << stranger.error().message();
    EXPECT_TRUE(co_await self.ask(TlsClientOptions{.ca_pem = other.pem(), .verify = false}));
    EXPECT_FALSE(co_await self.ask(TlsClientOptions{.ca_pem = "no certificate"}));
  }(*this, clients_ca_));
}

TEST_F(TlsTest, CertificatesAreReplacedWhileItServes) {
  serve(who);
  run([](auto& self) -> Task<> {
    TestAuthority next("another CA");
    auto before = TlsClient::make(self.client_options());
    auto old = make_tls_stream(self.loop_, connect_loopback(self.port_), **before, "localhost");
    EXPECT_TRUE(co_await old->handshake(30s));
    EXPECT_FALSE(self.tls_->replace({.certificate_pem = "x", .key_pem = "y"}));
    EXPECT_TRUE(co_await self.ask(self.client_options()));
    auto mixed = self.server_options(next.server());
    mixed.key_pem = self.ca_.server().key;
    EXPECT_FALSE(self.tls_->replace(mixed));
    EXPECT_TRUE(self.tls_->replace(self.server_options(next.server())));
    EXPECT_FALSE(co_await self.ask(self.client_options()));
    EXPECT_TRUE(co_await self.ask(TlsClientOptions{.ca_pem = next.pem()}));
    EXPECT_TRUE(co_await old->write(kGet));
    auto answer = co_await read_all(*old);
    EXPECT_TRUE(answer && answer->ends_with("tls"));
  }(*this));
}

TEST_F(TlsTest, WhatIsSpokenCanBeNarrowed) {
  serve(who);
  run([](auto& self) -> Task<> {
    auto options = self.server_options(self.ca_.server());
    options.rules = {.only_tls13 = true, .tls12_ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256", .groups = "P-384"};
    EXPECT_TRUE(self.tls_->replace(options));
    EXPECT_TRUE(co_await self.ask(self.client_options()));
    options.rules = {.only_tls13 = false, .tls12_ciphers = "NONE-OF-OURS", .groups = ""};
    EXPECT_FALSE(self.tls_->replace(options));
    options.rules = {.only_tls13 = false, .tls12_ciphers = "", .groups = "P-0"};
    EXPECT_FALSE(self.tls_->replace(options));
  }(*this));
}

TEST_F(TlsTest, LargeBodiesGoBothWays) {
  std::string large(3 << 20, 'z');
  for (std::size_t i = 0; i < large.size(); i += 1000) large[i] = static_cast<char>('a' + i / 1000 % 26);
  serve(
      [](Request request) -> Task<Reply> {
        Reply reply;
        reply.response.shared_body = std::make_shared<const std::string>(std::move(request.body));
        co_return reply;
      },
      Limits{.max_body_bytes = 3 << 20});
  run([](auto& self, const std::string& body) -> Task<> {
    std::string request = cat("PUT / HTTP/1.1\r\nConnection: close\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
    auto answer = co_await self.ask(self.client_options(), request);
    EXPECT_TRUE(answer && answer->ends_with("\r\n\r\n" + body));
  }(*this, large));
}

TEST_F(TlsTest, UpgradesAndEndsOfStreamsWorkOverIt) {
  serve([](Request) -> Task<Reply> {
    Reply reply;
    reply.response.status = 101;
    reply.response.headers = {{"Connection", "Upgrade"}, {"Upgrade", "echo"}};
    reply.upgrade = [](std::unique_ptr<ByteStream> stream) -> Task<> {
      auto owned = std::move(stream);
      auto all = co_await read_all(*owned);
      (void)co_await owned->write("heard " + all.value_or("an error"));
      owned->finish_writing();
      (void)co_await read_all(*owned);
    };
    co_return reply;
  });
  run([](auto& self) -> Task<> {
    auto client = TlsClient::make(self.client_options());
    auto stream = make_tls_stream(self.loop_, connect_loopback(self.port_), **client, "localhost");
    EXPECT_TRUE(co_await stream->handshake(30s));
    EXPECT_TRUE(co_await stream->write("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly, "));
    EXPECT_TRUE(co_await stream->write("late"));
    stream->finish_writing();
    auto answer = co_await read_all(*stream);
    EXPECT_TRUE(answer && answer->ends_with("\r\n\r\nheard early, late")) << answer.value_or("");
  }(*this));
}

TEST_F(TlsTest, WhoSpeaksNoTlsEndsWithTheirConnection) {
  serve(who);
  std::jthread thread([this] {
    TestClient plain(port_), garbage(port_), leaving(port_);
    plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    auto told = plain.rest();
    EXPECT_TRUE(has(told, "Client sent an HTTP request to an HTTPS server.")) << told;
    garbage.send(std::string(300, '\x16'));
    EXPECT_FALSE(has(garbage.rest(), "HTTP"));
    leaving.close();
    loop_.post([this] { loop_.stop(); });
  });
  loop_.run();
}

TEST_F(TlsTest, WhoIsSilentEndsWithTheirConnection) {
  serve(who, Limits{.handshake_time = 40ms});
  std::jthread thread([this] {
    TestClient silent(port_);
    EXPECT_EQ(silent.rest(), "");
    loop_.post([this] { loop_.stop(); });
  });
  loop_.run();
}

TEST_F(TlsTest, AClientThatLeavesAnAnswerIsNoticed) {
  Event left(loop_);
  serve([&left](Request) -> Task<Reply> {
    Reply reply;
    reply.stream = [&left](BodyWriter& body) -> Task<> {
      EXPECT_TRUE(co_await body.write("begun"));
      co_await body.closed()->wait();
      left.set();
    };
    co_return reply;
  });
  run([](auto& self, Event& over) -> Task<> {
    auto client = TlsClient::make(self.client_options());
    auto stream = make_tls_stream(self.loop_, connect_loopback(self.port_), **client, "localhost");
    EXPECT_TRUE(co_await stream->handshake(30s));
    EXPECT_TRUE(co_await stream->write(kGet));
    std::array<char, 4096> buffer;
    EXPECT_TRUE(co_await stream->read(buffer));
    stream->close();
    EXPECT_TRUE(co_await over.wait_for(30s));
  }(*this, left));
}

}  // namespace
}  // namespace gantry::http
