// SPDX-License-Identifier: Apache-2.0
// An HTTPS server for tests/conformance/http_clients.py: src/http with handlers of a few lines, on several threads.
// http_server FOLDER [THREADS]: writes ca.pem, client.pem and client.key into FOLDER, prints its port, and serves until
// its input ends; then it drains.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "control/pki/authority.h"
#include "http/listen.h"
#include "http/server.h"
#include "http/tls.h"
#include "sys/file.h"
#include "sys/private_file.h"

namespace http = gantry::http;
namespace control = gantry::control;
namespace sys = gantry::sys;
using gantry::cat;
using gantry::Task;
using namespace std::chrono_literals;

namespace {

[[noreturn]] void die(const gantry::Error& error) {
  std::fprintf(stderr, "http_server: %s\n", error.message().c_str());
  std::exit(1);
}
template <typename T>
T must(gantry::Result<T> result) {
  if (!result) die(result.error());
  return std::move(*result);
}

struct State {
  std::shared_ptr<const std::string> large = std::make_shared<const std::string>(10 << 20, 'x');
  std::atomic<int> held = 0;
};

std::size_t number(std::string_view text) {
  std::size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Task<http::Reply> handle(std::shared_ptr<State> state, http::Request request) {
  http::Reply reply;
  std::string_view path = request.path();
  if (path == "/who") {
    std::string text = cat("HTTP/", request.version, " ", request.method);
    if (request.peer.certificate) {
      text += " " + request.peer.certificate->common_name;
      for (const auto& organization : request.peer.certificate->organizations) text += " " + organization;
    }
    reply.response.body = text;
  } else if (path == "/echo") {
    reply.response.body = std::move(request.body);
  } else if (path == "/large") {
    reply.response.shared_body = state->large;
    reply.response.headers = {{"Content-Type", "application/json"}};
  } else if (path == "/lines") {  // ?COUNT
    reply.stream = [count = number(request.query())](http::BodyWriter& body) -> Task<> {
      for (std::size_t i = 0; i < count; ++i) {
        std::string line = cat("line ", i, "\n");
        if (!co_await body.write(line)) co_return;
      }
    };
  } else if (path == "/hold") {
    reply.stream = [state](http::BodyWriter& body) -> Task<> {
      ++state->held;
      (void)co_await body.write("held\n");
      co_await body.closed()->wait();
      --state->held;
    };
  } else if (path == "/cut") {
    reply.stream = [](http::BodyWriter& body) -> Task<> {
      (void)co_await body.write("half");
      body.cut_off();
    };
  } else if (path == "/held") {
    reply.response.body = std::to_string(state->held.load());
  } else if (path == "/upgrade") {
    reply.response.status = 101;
    reply.response.headers = {{"Connection", "Upgrade"}, {"Upgrade", "echo"}};
    reply.upgrade = [](std::unique_ptr<http::ByteStream> stream) -> Task<> {
      auto owned = std::move(stream);
      std::array<char, 4096> buffer;
      for (;;) {
        auto size = co_await owned->read(buffer);
        if (!size || *size == 0) co_return;
        if (!co_await owned->write({buffer.data(), *size})) co_return;
      }
    };
  } else {
    reply.response = http::text_response(404, "not found");
  }
  co_return reply;
}

// One thread's part: a loop and a server on the socket that all share.
class Worker {
 public:
  Worker(const gantry::SocketFd& listener, const std::shared_ptr<State>& state, std::shared_ptr<http::TlsServer> tls)
      : server_(std::make_unique<http::Server>(
            loop_, [state](http::Request request) { return handle(state, std::move(request)); },
            http::Limits{.max_body_bytes = 3 << 20, .max_connections = 20000, .response_time = 5s})) {
    server_->serve(gantry::SocketFd(must(listener.duplicate())), std::move(tls));
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Worker() {
    loop_.post([this] { loop_.spawn(end()); });
    thread_.join();
  }

 private:
  Task<> end() {
    co_await server_->drain(2s);
    server_.reset();
    co_await loop_.sleep_for(50ms);  // handlers of answers that were under way notice
    loop_.stop();
  }

  gantry::Loop loop_;
  std::unique_ptr<http::Server> server_;
  std::thread thread_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  auto dir = must(sys::open_dir(sys::kCwd, argv[1]));
  auto ca = must(control::Authority::make("http_server's CA", 24h));
  auto key = must(control::PrivateKey::generate());
  auto serving = control::order_for(1h), client = control::order_for(1h);
  serving.subject.common_name = "http_server";
  serving.names = {.dns = {"localhost"}, .ips = {"127.0.0.1"}};
  serving.usages = control::serving_usages();
  client.subject = {.common_name = "tester", .organizations = {"one", "two"}};
  client.usages = control::client_usages();
  auto write = [&dir](const char* name, std::string_view text) {
    if (auto written = sys::write_private_file(dir, name, text); !written) die(written.error());
  };
  write("ca.pem", ca.certificate_pem());
  write("client.pem", must(ca.issue(key.public_key(), client)));
  write("client.key", key.pem());
  auto tls = must(http::TlsServer::make({.certificate_pem = must(ca.issue(key.public_key(), serving)),
                                         .key_pem = key.pem(),
                                         .client_ca_pem = ca.certificate_pem()}));
  auto listener = must(http::listen_tcp("127.0.0.1", 0, 4096));
  auto state = std::make_shared<State>();
  std::vector<std::unique_ptr<Worker>> workers;
  for (std::size_t i = 0; i < (argc > 2 ? number(argv[2]) : 2); ++i) {
    workers.push_back(std::make_unique<Worker>(listener.socket, state, tls));
  }
  listener.socket.close();
  std::printf("%u\n", listener.port);
  std::fflush(stdout);
  char byte;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}
