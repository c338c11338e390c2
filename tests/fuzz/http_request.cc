// SPDX-License-Identifier: Apache-2.0
// Requests of a client, as bytes on one connection to a server, which is the shipped one on a loop of its own.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "http/server.h"
#include "http/websocket.h"
#include "tests/fuzz/fuzz.h"

namespace http = gantry::http;
using gantry::fuzz::expect;

namespace {

gantry::Task<http::Reply> handle(http::Request request) {
  http::Reply reply;
  expect(!request.method.empty() && !request.target.empty(), "a request has a method and a target");
  expect(request.target.starts_with(request.path()), "a path is the target's begin");
  for (std::string_view value : request.values("Connection")) expect(!value.empty(), "values are not empty");
  if (http::asks_for_websocket(request)) {
    auto protocols = request.values("Sec-WebSocket-Protocol");
    reply.response = http::accept_websocket(request, protocols.empty() ? "" : protocols[0]);
    if (reply.response.status == 101) {
      reply.upgrade = [](std::unique_ptr<http::ByteStream> stream) -> gantry::Task<> {
        stream->close();
        co_return;
      };
    }
    co_return reply;
  }
  reply.response = http::text_response(200, std::to_string(request.body.size()));
  co_return reply;
}

// Where it listens: a name that the kernel gave.
struct Serving {
  sockaddr_un address{};
  socklen_t size = sizeof(sa_family_t);
  gantry::Loop loop;
  std::unique_ptr<http::Server> server;

  Serving() {
    gantry::SocketFd listener(gantry::OwnFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
    address.sun_family = AF_UNIX;
    expect(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
    size = sizeof(address);
    expect(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
    expect(::listen(listener.get(), 16) == 0, "listen");
    http::Limits limits;
    limits.max_header_bytes = 4096;
    limits.max_body_bytes = 4096;
    server = std::make_unique<http::Server>(loop, handle, limits);
    server->serve(std::move(listener));
    std::thread([this] { loop.run(); }).detach();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  // Of the process, as its thread is: neither ends before it.
  static Serving& serving = *new Serving();
  std::string_view input = gantry::fuzz::text_of(bytes, size).substr(0, 64 << 10);
  gantry::OwnFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int connected = ::connect(client.get(), reinterpret_cast<sockaddr*>(&serving.address), serving.size);
  expect(connected == 0, "connect");
  while (!input.empty()) {
    ssize_t sent = ::send(client.get(), input.data(), input.size(), MSG_NOSIGNAL);
    if (sent <= 0) break;  // it has heard enough
    input.remove_prefix(static_cast<std::size_t>(sent));
  }
  ::shutdown(client.get(), SHUT_WR);
  std::string answer;
  char buffer[16384];
  for (ssize_t got; (got = ::recv(client.get(), buffer, sizeof(buffer), 0)) > 0;)
    answer.append(buffer, static_cast<std::size_t>(got));
  expect(answer.empty() || answer.starts_with("HTTP/1."), "an answer is one of HTTP");
  return 0;
}
