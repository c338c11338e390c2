// SPDX-License-Identifier: Apache-2.0
#include "api/client/remote_transport.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/text.h"
#include "http/listen.h"
#include "http/server.h"
#include "http/test_certificates.h"

namespace gantry::api {
namespace {

using namespace std::chrono_literals;

TEST(ServerAddressTest, IsReadOfAUrl) {
  auto address = parse_server("https://[fd00::1]:6443/");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->host, "fd00::1");
  EXPECT_EQ(address->port, 6443);
  EXPECT_TRUE(address->tls);
  EXPECT_FALSE(parse_server("10.0.0.1:6443"));
}

// Says whom it takes a client for; to who follows, in a line, and then nothing more.
Task<http::Reply> who(http::Request request) {
  const std::string name = request.peer.certificate ? request.peer.certificate->common_name : "nobody";
  http::Reply reply;
  reply.response.body = name;
  if (request.path() != "/watch") co_return reply;
  reply.stream = [name](http::BodyWriter& body) -> Task<> {
    (void)co_await body.write(name + "\n");
    co_await body.closed()->wait();
  };
  co_return reply;
}

class RemoteTransportTest : public testing::Test {
 protected:
  Kubeconfig as(const std::string& name) {
    auto mine = ca_.issue(name, "", nullptr, "clientAuth");
    Kubeconfig config;
    config.server = cat("https://127.0.0.1:", port_);
    config.tls = {.ca_pem = ca_.pem(), .certificate_pem = mine.certificate, .key_pem = mine.key};
    return config;
  }
  void serve() {
    auto listener = http::listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    port_ = listener->port;
    auto pair = ca_.server();
    auto tls =
        http::TlsServer::make({.certificate_pem = pair.certificate, .key_pem = pair.key, .client_ca_pem = ca_.pem()});
    ASSERT_TRUE(tls);
    server_ = std::make_unique<http::Server>(loop_, who, http::Limits{});
    server_->serve(std::move(listener->socket), *tls);
  }
  static Task<std::string> ask(Loop& loop, RemoteTransport& transport) {
    http::Request request;
    request.method = "GET";
    request.target = "/";
    auto answer = co_await transport.call(loop, std::move(request));
    co_return answer ? answer->body : answer.error().message();
  }
  // Notes the line that comes, and in the end how it ended.
  static Task<> follow(Loop& loop, RemoteTransport& transport, std::vector<std::string>& said, Event& event) {
    http::Request request;
    request.method = "GET";
    request.target = "/watch";
    auto answer = co_await transport.follow(loop, std::move(request), [&](std::string_view line) -> Status {
      said.emplace_back(line);
      event.set();
      return {};
    });
    said.push_back(answer ? cat("end ", answer->status) : answer.error().message());
    event.set();
  }

  Loop loop_;
  http::TestAuthority ca_{"ca"};
  std::unique_ptr<http::Server> server_;
  std::uint16_t port_ = 0;
};

TEST_F(RemoteTransportTest, NewCredentialsAreUsedAtOnce) {
  serve();
  auto transport = RemoteTransport::make(loop_, as("before"));
  ASSERT_TRUE(transport);
  loop_.spawn([](auto& self, RemoteTransport& remote) -> Task<> {
    Event event(self.loop_);
    std::vector<std::string> said;
    self.loop_.spawn(follow(self.loop_, remote, said, event));
    EXPECT_TRUE(co_await event.wait_for(30s));
    event.reset();
    EXPECT_EQ(co_await ask(self.loop_, remote), "before");
    const Kubeconfig next = self.as("after");
    EXPECT_TRUE(remote.replace(next));
    EXPECT_TRUE(co_await event.wait_for(30s));
    EXPECT_EQ(said, (std::vector<std::string>{"before", "end 200"}));
    EXPECT_EQ(co_await ask(self.loop_, remote), "after");
    event.reset();
    said.clear();
    self.loop_.spawn(follow(self.loop_, remote, said, event));
    EXPECT_TRUE(co_await event.wait_for(30s));
    EXPECT_TRUE(remote.replace(next));  // the same: nothing ends
    Kubeconfig wrong = next;
    wrong.tls.key_pem = "no key";
    EXPECT_FALSE(remote.replace(wrong));
    EXPECT_EQ(co_await ask(self.loop_, remote), "after");
    EXPECT_EQ(said, std::vector<std::string>{"after"});
    event.reset();
    EXPECT_TRUE(remote.replace(self.as("last")));
    EXPECT_TRUE(co_await event.wait_for(30s));
    // What was asked before and is answered afterwards ends, too.
    event.reset();
    said.clear();
    self.loop_.spawn(follow(self.loop_, remote, said, event));
    EXPECT_TRUE(remote.replace(self.as("another")));
    EXPECT_TRUE(co_await event.wait_for(30s));
    EXPECT_EQ(said, std::vector<std::string>{"end 200"});
    self.server_.reset();
    self.loop_.stop();
  }(*this, **transport));
  loop_.run();
}

}  // namespace
}  // namespace gantry::api
