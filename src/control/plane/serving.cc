// SPDX-License-Identifier: Apache-2.0
#include "control/plane/serving.h"

#include <future>
#include <thread>
#include <tuple>

#include "base/text.h"
#include "http/server.h"

namespace gantry::control {

namespace {

// Of one thread.
constexpr http::Limits kLimits{.max_body_bytes = 3 << 20, .max_connections = 10'000};

}  // namespace

// One thread that serves connections. All that belongs to its loop is made and ends on it.
class Serving::Worker {
 public:
  Worker(ApiServer& server, SocketFd listener, std::shared_ptr<http::TlsServer> tls) {
    std::promise<std::pair<Loop*, http::Server*>> started;
    auto running = started.get_future();
    thread_ = std::thread([&server, listener = std::move(listener), tls = std::move(tls),
                           started = std::move(started)]() mutable {
      Loop loop;
      http::Server connections(
          loop, [&loop, &server](http::Request request) { return server.handle(loop, std::move(request)); }, kLimits);
      loop.post([&] { connections.serve(std::move(listener), std::move(tls)); });
      started.set_value({&loop, &connections});
      loop.run();
    });
    std::tie(loop_, connections_) = running.get();
  }
  ~Worker() {
    loop_->stop();
    thread_.join();
  }

  // Any thread; `done` is called on the worker's.
  void drain(Duration limit, std::function<void()> done) {
    loop_->post([this, limit, done = std::move(done)] {
      loop_->spawn([](http::Server& connections, Duration limit, std::function<void()> done) -> Task<> {
        co_await connections.drain(limit);
        done();
      }(*connections_, limit, done));
    });
  }

 private:
  Loop* loop_ = nullptr;
  http::Server* connections_ = nullptr;
  std::thread thread_;
};

Serving::Serving() = default;
Serving::~Serving() = default;

Task<> Serving::drain(Loop& here, Duration limit) {
  struct Left {
    explicit Left(Loop& here) : none(here) {}
    Event none;
    std::size_t count = 0;
  };
  auto left = std::make_shared<Left>(here);
  left->count = workers_.size();
  for (const auto& worker : workers_) {
    worker->drain(limit, [&here, left] {
      here.post([left] {
        if (--left->count == 0) left->none.set();
      });
    });
  }
  co_await left->none.wait();
}

Result<std::unique_ptr<Serving>> Serving::start(ApiServer& server, const http::Listener& listener,
                                                std::shared_ptr<http::TlsServer> tls) {
  std::unique_ptr<Serving> serving(new Serving());
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < cores; ++i) {
    Result<OwnFd> copy = listener.socket.duplicate();
    if (!copy) return std::unexpected(std::move(copy.error()));
    serving->workers_.push_back(std::make_unique<Worker>(server, SocketFd(std::move(*copy)), tls));
  }
  return serving;
}

std::string url_of(const http::Listener& listener) {
  std::string host = listener.host;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "[::]") host = "[::1]";
  return cat("https://", host, ":", listener.port);
}

std::string advertised_address(const PlaneOptions& options) {
  if (!options.advertise_address.empty()) return options.advertise_address;
  const std::string& host = options.listen.host;
  if (host != "0.0.0.0" && host != "::" && !http::is_loopback(host)) return host;
  for (const std::string& own : host_addresses()) {
    if (own != "::1" && !own.starts_with("127.")) return own;
  }
  return {};
}

std::string public_url(const PlaneOptions& options) {
  const std::string address = advertised_address(options);
  const bool is_v6 = address.contains(':');
  return cat("https://", is_v6 ? "[" : "", address, is_v6 ? "]" : "", ":", options.listen.port);
}

}  // namespace gantry::control
