// SPDX-License-Identifier: Apache-2.0
// A client of a few lines (rpc_test_client.h), and one that sends what is no HTTP/2. Real clients (grpc-go) are in
// tests/conformance.
#include "cri/rpc_connection.h"

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <random>

#include "cri/rpc_test_client.h"
#include "http/byte_stream.h"

namespace gantry::cri {
namespace {

using ::testing::HasSubstr;
// The service: what the path says.
Task<Result<RpcConnection::Messages>> serve(Loop& loop, Event& never, std::string path, std::string request,
                                            std::shared_ptr<RpcCall> call) {
  using Messages = RpcConnection::Messages;
  if (path == "/echo") co_return Messages{request};
  if (path == "/stream") co_return Messages{request, "", request};
  if (path == "/empty-stream") co_return Messages{};
  if (path == "/slow") {
    co_await never.wait();
    co_return Messages{"late"};
  }
  if (path == "/until-over") {
    co_await call->over()->wait();
    never.set();
    co_return fail(Code::kCancelled, "over");
  }
  if (path == "/over-time") {
    call->begin();
    for (int i = 0; i < 3; ++i) {
      co_await loop.sleep_for(std::chrono::milliseconds(1));
      EXPECT_TRUE(call->send(request));
    }
    if (request == "error") co_return fail(Code::kUnavailable, "it ends");
    co_return Messages{"last"};
  }
  if (path == "/flood") {
    call->begin();
    std::size_t bytes = 0;
    while (call->send(std::string(100'000, 'f'))) bytes += 100'000;
    EXPECT_GT(bytes, kMaxUnsentBytes);
    EXPECT_LT(bytes, kMaxUnsentBytes + 300'000);
    EXPECT_FALSE(call->over()->is_set());
    co_return fail(Code::kResourceExhausted, "too slow");
  }
  if (path == "/large") co_return Messages{"first", std::string(kMaxMessageBytes + 1, 'x')};
  co_return fail(Code::kNotFound, "no \"ü\"\n" + path);
}

struct World {
  World() : never(loop), closed(loop) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    auto opened = RpcConnection::open(
        loop, SocketFd(fds[0]),
        [this](std::string path, std::string request, std::shared_ptr<RpcCall> call) {
          return serve(loop, never, std::move(path), std::move(request), std::move(call));
        },
        [this] { closed.set(); });
    EXPECT_TRUE(opened);
    connection = std::move(*opened);
    ours = SocketFd(fds[1]);
  }
  void run(Task<> task) {
    loop.spawn([](Loop& l, Task<> inner) -> Task<> {
      co_await inner;
      l.stop();
    }(loop, std::move(task)));
    loop.run();
  }
  Loop loop;
  Event never, closed;
  std::shared_ptr<RpcConnection> connection;
  SocketFd ours;
};

TEST(RpcConnection, AnswersMessagesOfAllSizesSideBySide) {
  World world;
  world.run([](World& w) -> Task<> {
    RpcTestClient client(w.loop, std::move(w.ours));
    std::vector<std::pair<std::int32_t, std::string>> sent;
    for (std::size_t size : {0, 1, 70'000, 3'000'000}) {
      std::string text(size, static_cast<char>('a' + size % 20));
      sent.emplace_back(client.send("/echo", http::grpc_framed(text)), text);
    }
    for (auto& [id, text] : sent) {
      co_await client.wait_for(id);
      auto& answer = client.answers.at(id);
      EXPECT_EQ(answer.headers[":status"], "200");
      EXPECT_EQ(answer.headers["content-type"], "application/grpc");
      EXPECT_EQ(answer.headers["grpc-status"], "0");
      EXPECT_TRUE(answer.body == http::grpc_framed(text))
          << text.size() << " bytes sent, " << answer.body.size() << " came";
    }
    for (auto [path, body] : {std::pair<std::string, std::string>(
                                  "/stream", http::grpc_framed("x") + http::grpc_framed("") + http::grpc_framed("x")),
                              {"/empty-stream", ""}}) {
      auto id = client.send(path, http::grpc_framed("x"));
      co_await client.wait_for(id);
      EXPECT_EQ(client.answers.at(id).headers["grpc-status"], "0");
      EXPECT_EQ(client.answers.at(id).body, body) << path;
    }
    co_await client.close();
    co_await w.closed.wait();
  }(world));
}

TEST(RpcConnection, ErrorsAreAStatusAndASentence) {
  World world;
  world.run([](World& w) -> Task<> {
    RpcTestClient client(w.loop, std::move(w.ours));
    struct Case {
      std::string path, body, type, status, text;
    };
    std::string compressed = http::grpc_framed("x"), two = http::grpc_framed("x") + http::grpc_framed("y");
    compressed[0] = 1;
    for (const auto& c : std::vector<Case>{
             {"/nothing", http::grpc_framed(""), "application/grpc+proto", "5", "no \"%C3%BC\"%0A/nothing"},
             {"/echo", http::grpc_framed("x"), "text/html", "3", "gRPC"},
             {"/echo", "", "application/grpc", "3", "no message"},
             {"/echo", compressed, "application/grpc", "12", "compressed"},
             {"/echo", two, "application/grpc", "3", "one whole message"},
             {"/echo", http::grpc_framed(std::string(kMaxMessageBytes + 1, 'x')), "application/grpc", "8", "16777216"},
             {"/large", http::grpc_framed(""), "application/grpc", "8", "ask with a filter"}}) {
      auto id = client.send(c.path, c.body, c.type);
      co_await client.wait_for(id);
      auto& answer = client.answers.at(id);
      EXPECT_EQ(answer.headers["grpc-status"], c.status) << c.text;
      EXPECT_THAT(answer.headers["grpc-message"], HasSubstr(c.text));
      EXPECT_TRUE(answer.body.empty());
    }
    auto id = client.send("/echo", http::grpc_framed("still here"));
    co_await client.wait_for(id);
    EXPECT_EQ(client.answers.at(id).headers["grpc-status"], "0");
    co_await client.close();
  }(world));
}

TEST(RpcConnection, AnAnswerMayComeOverTime) {
  World world;
  world.run([](World& w) -> Task<> {
    RpcTestClient client(w.loop, std::move(w.ours));
    auto whole = client.send("/over-time", http::grpc_framed("x"));
    auto failed = client.send("/over-time", http::grpc_framed("error"));
    co_await client.wait_for(whole);
    co_await client.wait_for(failed);
    EXPECT_EQ(client.answers.at(whole).body,
              http::grpc_framed("x") + http::grpc_framed("x") + http::grpc_framed("x") + http::grpc_framed("last"));
    EXPECT_EQ(client.answers.at(whole).headers["grpc-status"], "0");
    EXPECT_EQ(client.answers.at(failed).body,
              http::grpc_framed("error") + http::grpc_framed("error") + http::grpc_framed("error"));
    EXPECT_EQ(client.answers.at(failed).headers["grpc-status"], "14");
    EXPECT_EQ(client.answers.at(failed).headers["grpc-message"], "it ends");
    // What came before the limit comes to its reader, and then why no more does; others did not wait for it.
    auto flood = client.send("/flood", http::grpc_framed(""));
    auto other = client.send("/echo", http::grpc_framed("x"));
    co_await client.wait_for(other);
    co_await client.wait_for(flood);
    EXPECT_GT(client.answers.at(flood).body.size(), kMaxUnsentBytes);
    EXPECT_EQ(client.answers.at(flood).headers["grpc-status"], "8");
    co_await client.close();
    co_await w.closed.wait();
  }(world));
}

TEST(RpcConnection, StopTellsThoseWhoWait) {
  World world;
  world.run([](World& w) -> Task<> {
    RpcTestClient client(w.loop, std::move(w.ours));
    auto slow = client.send("/slow", http::grpc_framed(""));
    auto quick = client.send("/echo", http::grpc_framed(""));
    co_await client.wait_for(quick);
    w.connection->stop();
    co_await client.wait_for(slow);
    EXPECT_EQ(client.answers.at(slow).headers["grpc-status"], "14");
    co_await w.closed.wait();
    // What the call began comes to its end, and its answer goes nowhere.
    w.never.set();
    Event later(w.loop);
    w.loop.post([&] { w.loop.post([&] { later.set(); }); });
    co_await later.wait();
    co_await client.close();
  }(world));
}

TEST(RpcConnection, ACallIsToldWhenNobodyWaitsForIt) {
  for (std::string way : {"cancel", "timeout", "close", "stop"}) {
    World world;
    world.run([](World& w, std::string end) -> Task<> {
      RpcTestClient client(w.loop, std::move(w.ours));
      auto waits =
          client.send("/until-over", http::grpc_framed(""), "application/grpc", end == "timeout" ? "20m" : "100H");
      auto other = client.send("/echo", http::grpc_framed("x"), "application/grpc", "1u");
      co_await client.wait_for(other);
      EXPECT_EQ(client.answers.at(other).headers["grpc-status"], "0") << "its answer came all the same";
      EXPECT_FALSE(w.never.is_set() && end != "timeout");
      if (end == "cancel") client.cancel(waits);
      if (end == "close") co_await client.close();
      if (end == "stop") w.connection->stop();
      EXPECT_TRUE(co_await w.never.wait_for(std::chrono::seconds(60))) << end;
      if (end == "timeout") {
        co_await client.wait_for(waits);
        EXPECT_EQ(client.answers.at(waits).headers["grpc-status"], "1");
      }
      if (end != "close") co_await client.close();
    }(world, way));
  }
  // A timeout that is none is no limit.
  for (std::string text : {"m", "1", "1x", "123456789S", "-1S", " 1S", "1 S"}) {
    World world;
    world.run([](World& w, std::string timeout) -> Task<> {
      RpcTestClient client(w.loop, std::move(w.ours));
      auto id = client.send("/until-over", http::grpc_framed(""), "application/grpc", timeout);
      auto other = client.send("/echo", http::grpc_framed("x"));
      co_await client.wait_for(other);
      EXPECT_FALSE(w.never.is_set()) << timeout;
      (void)id;
      co_await client.close();
    }(world, text));
  }
}

TEST(RpcConnection, GarbageEndsTheConnection) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    World world;
    std::string bytes = round % 2 == 0 ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : "";
    for (int i = 0; i < 400; ++i) bytes += static_cast<char>(random());
    world.run([](World& w, std::string garbage) -> Task<> {
      auto stream = http::make_socket_stream(w.loop, std::move(w.ours));
      (void)co_await stream->write(garbage);
      stream->close();
      co_await w.closed.wait();
    }(world, bytes));
  }
}

}  // namespace
}  // namespace gantry::cri
