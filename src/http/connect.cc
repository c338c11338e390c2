// SPDX-License-Identifier: Apache-2.0
#include "http/connect.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <vector>

#include "base/loop_asio.h"
#include "base/text.h"
#include "http/timer.h"
#include "sys/socket.h"

namespace gantry::http {

namespace asio = boost::asio;
using Endpoints = std::vector<asio::ip::tcp::endpoint>;

namespace {

constexpr std::size_t kMostAddresses = 8;

// Shared with Asio's thread that asks; its answer may come when nobody waits any more.
struct Lookup {
  explicit Lookup(Loop& loop) : resolver(io_context_of(loop)), done(loop) {}
  asio::ip::tcp::resolver resolver;
  Event done;
  boost::system::error_code error;
  Endpoints found;
};

Task<Result<Endpoints>> look_up(Loop& loop, const std::string& host, std::uint16_t port, Duration limit) {
  boost::system::error_code error;
  auto address = asio::ip::make_address(host, error);
  if (!error) co_return Endpoints{{address, port}};
  auto lookup = std::make_shared<Lookup>(loop);
  lookup->resolver.async_resolve(host, std::to_string(port), [lookup](const auto& failed, const auto& results) {
    lookup->error = failed;
    for (const auto& result : results) {
      if (lookup->found.size() < kMostAddresses) lookup->found.push_back(result.endpoint());
    }
    lookup->done.set();
  });
  if (!co_await lookup->done.wait_for(limit)) {
    lookup->resolver.cancel();
    co_return fail(Code::kDeadlineExceeded, cat("look up ", host, ": it took too long"));
  }
  if (lookup->error) {
    bool unknown = lookup->error == asio::error::host_not_found;
    co_return fail(unknown ? Code::kNotFound : Code::kUnavailable,
                   cat("look up ", host, ": ", lookup->error.message()));
  }
  co_return std::move(lookup->found);
}

Task<Result<SocketFd>> connect_one(Loop& loop, const asio::ip::tcp::endpoint& endpoint, Duration limit) {
  auto socket = sys::tcp_socket(endpoint.protocol().family());
  if (!socket) co_return std::unexpected(std::move(socket.error()));
  const std::string what = "connect " + host_and_port(endpoint.address().to_string(), endpoint.port());
  int on = 1;
  ::setsockopt(socket->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  // Without TCP_USER_TIMEOUT, which also ends a connection whose reader is there and slow (exec, port-forward).
  const int idle = 30, between = 10, most = 3;
  ::setsockopt(socket->get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  ::setsockopt(socket->get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
  ::setsockopt(socket->get(), IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof(between));
  ::setsockopt(socket->get(), IPPROTO_TCP, TCP_KEEPCNT, &most, sizeof(most));
  int code = ::connect(socket->get(), endpoint.data(), static_cast<socklen_t>(endpoint.size()));
  int error = errno;
  if (code == 0) co_return std::move(*socket);
  if (error != EINPROGRESS) co_return std::unexpected(Error::from_errno(error, what).with_code(Code::kUnavailable));
  Watch watch(loop, socket->ref());
  Timer late(loop);
  late.start(limit, [&watch] { watch.cancel(); });
  if (!co_await watch.writable()) co_return fail(Code::kDeadlineExceeded, what + ": it took too long");
  if (auto connected = sys::socket_error(*socket); !connected) {
    co_return fail(Code::kUnavailable, cat(what, ": ", connected.error().message()));
  }
  co_return std::move(*socket);
}

}  // namespace

Task<Result<SocketFd>> connect_tcp(Loop& loop, std::string host, std::uint16_t port, Duration limit) {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + limit;
  auto endpoints = co_await look_up(loop, host, port, limit);
  if (!endpoints) co_return std::unexpected(std::move(endpoints.error()));
  std::optional<Error> first;
  for (const auto& endpoint : *endpoints) {
    auto left = std::chrono::duration_cast<Duration>(until - Clock::now());
    if (left <= Duration::zero()) break;
    auto socket = co_await connect_one(loop, endpoint, left);
    if (socket) co_return std::move(*socket);
    if (!first) first = std::move(socket.error());
  }
  if (first) co_return std::unexpected(std::move(*first));
  const std::string what = "connect " + host_and_port(host, port);
  if (!endpoints->empty()) co_return fail(Code::kDeadlineExceeded, what + ": it took too long");
  co_return fail(Code::kUnavailable, what + ": no address");
}

std::string host_and_port(const std::string& host, std::uint16_t port) {
  bool is_v6 = host.find(':') != std::string::npos;
  return is_v6 ? cat("[", host, "]:", port) : cat(host, ":", port);
}

}  // namespace gantry::http
