// SPDX-License-Identifier: Apache-2.0
// Against the server that this node's own clients are given (rpc_connection.h), on a real socket.
#include "cri/remote/rpc_client.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>

#include "cri/rpc_connection.h"
#include "http/grpc.h"
#include "sys/file.h"
#include "sys/socket.h"

namespace gantry::cri {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Messages = RpcConnection::Messages;

struct World {
  World() {
    char name[] = "/tmp/gantry-rpc-client-XXXXXX";
    folder = ::mkdtemp(name);
    auto dir = sys::open_dir(sys::kCwd, folder.c_str());
    listener = *sys::listen_unix(*dir, "socket", SOCK_STREAM, 8);
    loop.spawn(accept());
  }
  ~World() { std::filesystem::remove_all(folder); }

  Task<> accept() {
    Watch watch(loop, listener);
    while (co_await watch.readable()) {
      auto socket = sys::accept(listener);
      if (!socket) continue;
      ++accepted;
      connections.push_back(*RpcConnection::open(
          loop, std::move(*socket),
          [this](std::string path, std::string request, std::shared_ptr<RpcCall> call) {
            return serve(std::move(path), std::move(request), std::move(call));
          },
          [] {}));
    }
  }
  Task<Result<Messages>> serve(std::string path, std::string request, std::shared_ptr<RpcCall> call) {
    if (path == "/echo") co_return Messages{request};
    if (path == "/twice") co_return Messages{request, request};
    if (path == "/none") co_return Messages{};
    if (path == "/hangs") {
      co_await call->over()->wait();
      ++given_up;
      co_return fail(Code::kCancelled, "over");
    }
    if (path == "/feed") {
      call->begin();
      for (int i = 0; i < 3; ++i) call->send(std::to_string(i));
      co_await call->over()->wait();
      ++given_up;
      co_return fail(Code::kCancelled, "over");
    }
    co_return fail(Code::kNotFound, "no \"ü\"\n100 %");
  }
  void run(Task<> story) {
    loop.spawn(std::move(story));
    loop.run();
  }

  Loop loop;
  std::string folder;
  SocketFd listener;
  std::vector<std::shared_ptr<RpcConnection>> connections;
  int accepted = 0, given_up = 0;
};

TEST(RpcClientTest, CallsGoSideBySideOnOneConnection) {
  World world;
  RpcClient client(world.loop, world.folder + "/socket");
  world.run([](World& world, RpcClient& client) -> Task<> {
    for (const std::size_t size : {0U, 5U, 300'000U}) {
      const std::string text(size, 'x');
      auto answer = co_await client.call("/echo", text, {});
      EXPECT_TRUE(answer && *answer == text) << size;
    }
    auto missing = co_await client.call("/other", "", {});
    EXPECT_TRUE(!missing && missing.error().is_not_found());
    EXPECT_EQ(missing.error().message(), "no \"ü\"\n100 %");
    EXPECT_EQ(world.accepted, 1);
    world.loop.stop();
  }(world, client));
}

TEST(RpcClientTest, AnAnswerIsOneMessage) {
  World world;
  RpcClient client(world.loop, world.folder + "/socket");
  world.run([](World& world, RpcClient& client) -> Task<> {
    EXPECT_FALSE(co_await client.call("/none", "", {}));
    EXPECT_FALSE(co_await client.call("/twice", "a", {}));
    auto good = co_await client.call("/echo", "a", {});
    EXPECT_TRUE(good && *good == "a");
    world.loop.stop();
  }(world, client));
}

TEST(RpcClientTest, ACallEndsAtItsLimitAndWhenNobodyWaits) {
  World world;
  RpcClient client(world.loop, world.folder + "/socket");
  world.run([](World& world, RpcClient& client) -> Task<> {
    auto late = co_await client.call("/hangs", "", {.limit = std::chrono::milliseconds(20), .over = {}});
    EXPECT_TRUE(!late && late.error().code() == Code::kDeadlineExceeded);
    auto over = std::make_shared<Event>(world.loop);
    world.loop.post([over] { over->set(); });
    auto given_up = co_await client.call("/hangs", "", {.limit = {}, .over = over});
    EXPECT_TRUE(!given_up && given_up.error().code() == Code::kCancelled);
    while (world.given_up < 2) co_await world.loop.sleep_for(std::chrono::milliseconds(1));
    world.loop.stop();
  }(world, client));
}

TEST(RpcClientTest, WhatComesOverTimeIsTakenUntilItIsEnough) {
  World world;
  RpcClient client(world.loop, world.folder + "/socket");
  world.run([](World& world, RpcClient& client) -> Task<> {
    std::vector<std::string> taken;
    auto done = co_await client.follow(
        "/feed", "",
        [&taken](std::string one) {
          taken.push_back(std::move(one));
          return taken.size() < 2;
        },
        nullptr);
    EXPECT_TRUE(!done && done.error().code() == Code::kCancelled);
    EXPECT_THAT(taken, ElementsAre("0", "1"));
    while (world.given_up < 1) co_await world.loop.sleep_for(std::chrono::milliseconds(1));
    world.loop.stop();
  }(world, client));
}

TEST(RpcClientTest, AServerThatEndsIsConnectedToAnew) {
  World world;
  RpcClient client(world.loop, world.folder + "/socket");
  world.run([](World& world, RpcClient& client) -> Task<> {
    EXPECT_TRUE(co_await client.call("/echo", "a", {}));
    world.loop.post([&world] { world.connections.front()->stop(); });
    auto cut = co_await client.call("/hangs", "", {});
    EXPECT_TRUE(!cut && cut.error().code() == Code::kUnavailable);
    // Until the connection's end has come here, too.
    while (!co_await client.call("/echo", "b", {})) co_await world.loop.sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(world.accepted, 2);
    world.loop.stop();
  }(world, client));
}

// gRPC's servers refuse more than eight digits.
TEST(RpcClientTest, LongLimitsAreSaidInCoarserUnits) {
  using namespace std::chrono_literals;
  EXPECT_EQ(http::grpc_timeout(1us), "1m");
  EXPECT_EQ(http::grpc_timeout(2500ms), "2500m");
  EXPECT_EQ(http::grpc_timeout(99'999'999ms), "99999999m");
  EXPECT_EQ(http::grpc_timeout(100'000'000ms), "100000S");
  EXPECT_EQ(http::grpc_timeout(24h * 365 * 10), "5256000M");
}

TEST(RpcClientTest, NobodyThereIsSaidWithTheSocketsName) {
  Loop loop;
  RpcClient client(loop, "/nowhere/runtime.sock");
  loop.spawn([](Loop& loop, RpcClient& client) -> Task<> {
    auto answer = co_await client.call("/echo", "", {});
    EXPECT_TRUE(!answer && answer.error().code() == Code::kUnavailable);
    EXPECT_THAT(answer.error().message(), HasSubstr("/nowhere/runtime.sock"));
    loop.stop();
  }(loop, client));
  loop.run();
}

}  // namespace
}  // namespace gantry::cri
