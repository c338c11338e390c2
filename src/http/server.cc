// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <list>
#include <optional>

#include "http/text.h"
#include "http/timer.h"
#include "sys/socket.h"

namespace gantry::http {

namespace beast = boost::beast::http;

namespace {

constexpr auto kCloseTime = std::chrono::seconds(2);

std::string date_now() {
  time_t now = ::time(nullptr);
  tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 64> text;
  std::size_t size = ::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text.data(), size);
}

bool has_line_break(std::string_view text) { return text.find_first_of("\r\n") != std::string_view::npos; }

// A header whose name or value could end its line is left out: what a handler echoes can't forge another one.
std::string serialize(const Response& response, bool keep_alive, bool head, bool upgrade) {
  auto reason = beast::obsolete_reason(static_cast<beast::status>(response.status));
  std::string text = cat("HTTP/1.1 ", response.status, " ", std::string_view(reason.data(), reason.size()), "\r\n");
  for (const auto& [name, value] : response.headers) {
    if (has_line_break(name) || has_line_break(value)) continue;
    text += cat(name, ": ", value, "\r\n");
  }
  text += cat("Date: ", date_now(), "\r\n");
  if (!upgrade) {
    text += cat("Content-Length: ", response.body.size(), "\r\n");
    text += cat("Connection: ", keep_alive ? "keep-alive" : "close", "\r\n");
  }
  text += "\r\n";
  if (!head && !upgrade) text += response.body;
  return text;
}

Response refusal(const boost::system::error_code& error, const Limits& limits) {
  if (error == beast::error::header_limit) {
    return text_response(431, cat("the request's headers are longer than ", limits.max_header_bytes, " bytes"));
  }
  if (error == beast::error::body_limit) {
    return text_response(413, cat("the request's body is longer than ", limits.max_body_bytes, " bytes"));
  }
  return text_response(400, cat("malformed request: ", error.message()));
}

using Parser = beast::request_parser<beast::string_body>;

Request take_request(Parser& parser) {
  auto message = parser.release();
  Request request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  for (const auto& field : message) {
    request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  request.body = std::move(message.body());
  return request;
}

}  // namespace

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(Loop& l, Handler h, Limits lim) : loop(l), handler(std::move(h)), limits(lim), stopped(l) {}

  Loop& loop;
  Handler handler;
  Limits limits;
  Event stopped;
  std::size_t connections = 0;
  struct Accepting {
    Accepting(Loop& loop, SocketFd s) : socket(std::move(s)), watch(loop, socket.ref()) {}
    SocketFd socket;
    Watch watch;
  };
  std::list<std::shared_ptr<Accepting>> listeners;
  // Of every live connection, upgraded ones too; taken out by Place's destructor.
  std::list<ByteStream*> live;

  void stop();
  static Task<> accept_all(std::shared_ptr<Impl> self, std::shared_ptr<Accepting> listener);
  static Task<> serve_connection(std::shared_ptr<Impl> self, std::unique_ptr<ByteStream> stream);
};

namespace {

// Why a connection yielded no request: with a response the client is told.
struct NoRequest {
  std::optional<Response> response;
};

// A connection's stream under way through the server, and its place in the server's list, for as long as anyone holds
// it.
template <typename Impl>
class Tracked final : public ByteStream {
 public:
  Tracked(std::shared_ptr<Impl> server, std::unique_ptr<ByteStream> inner)
      : server_(std::move(server)), inner_(std::move(inner)), place_(server_->live.insert(server_->live.end(), this)) {
    ++server_->connections;
  }
  ~Tracked() override {
    server_->live.erase(place_);
    --server_->connections;
  }
  Task<Result<std::size_t>> read(std::span<char> buffer) override { return inner_->read(buffer); }
  Task<Status> write(std::string_view bytes) override { return inner_->write(bytes); }
  void finish_writing() override { inner_->finish_writing(); }
  void unread(std::string bytes) override { inner_->unread(std::move(bytes)); }
  void set_idle_limit(Duration limit) override { inner_->set_idle_limit(limit); }
  void close() override { inner_->close(); }

 private:
  std::shared_ptr<Impl> server_;
  std::unique_ptr<ByteStream> inner_;
  typename std::list<ByteStream*>::iterator place_;
};

// Reads one request. What came after it stays in the stream.
Task<std::expected<std::pair<Request, bool>, NoRequest>> read_request(Loop& loop, ByteStream& stream,
                                                                      const Limits& limits, bool first) {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
  parser.body_limit(limits.max_body_bytes);
  parser.eager(true);
  std::string pending;
  std::array<char, 8192> buffer;
  bool started = false;
  bool told_to_continue = false;
  Timer limit(loop);
  auto expire = [&stream] { stream.close(); };
  limit.start(first ? limits.request_time : limits.keep_alive_time, expire);
  while (!parser.is_done()) {
    auto size = co_await stream.read(buffer);
    if (!size || *size == 0) co_return std::unexpected(NoRequest{});
    if (!std::exchange(started, true) && !first) limit.start(limits.request_time, expire);
    pending.append(buffer.data(), *size);
    boost::system::error_code error;
    // put() wants to be asked again with what it left: a header, then each piece of the body.
    while (!pending.empty() && !parser.is_done()) {
      std::size_t used = parser.put(boost::asio::buffer(pending), error);
      pending.erase(0, used);
      if (error || used == 0) break;
    }
    if (error && error != beast::error::need_more) co_return std::unexpected(NoRequest{refusal(error, limits)});
    if (parser.is_header_done() && !parser.is_done() && !told_to_continue &&
        equals_ignore_case(std::string_view(parser.get()["Expect"]), "100-continue")) {
      told_to_continue = true;
      auto told = co_await stream.write("HTTP/1.1 100 Continue\r\n\r\n");
      if (!told) co_return std::unexpected(NoRequest{});
    }
  }
  if (!pending.empty()) stream.unread(std::move(pending));
  bool keep_alive = parser.keep_alive();
  co_return std::pair(take_request(parser), keep_alive);
}

// False when the client did not take it in time.
Task<bool> write_limited(Loop& loop, ByteStream& stream, std::string_view bytes, Duration time) {
  Timer limit(loop);
  limit.start(time, [&stream] { stream.close(); });
  auto written = co_await stream.write(bytes);
  co_return written.has_value();
}

}  // namespace

Task<> Server::Impl::serve_connection(std::shared_ptr<Impl> self, std::unique_ptr<ByteStream> stream) {
  for (bool first = true;; first = false) {
    auto read = co_await read_request(self->loop, *stream, self->limits, first);
    if (!read) {
      if (read.error().response) {
        std::string text = serialize(*read.error().response, false, false, false);
        if (co_await write_limited(self->loop, *stream, text, self->limits.response_time)) {
          co_await close_gently(self->loop, *stream, kCloseTime);
        }
      }
      co_return;
    }
    auto& [request, keep_alive] = *read;
    bool head = request.method == "HEAD";
    Reply reply = co_await self->handler(std::move(request));
    if (self->stopped.is_set()) co_return;
    bool upgrade = static_cast<bool>(reply.upgrade);
    std::string text = serialize(reply.response, keep_alive, head, upgrade);
    if (!co_await write_limited(self->loop, *stream, text, self->limits.response_time)) co_return;
    if (upgrade) {
      auto take_over = std::move(reply.upgrade);
      co_await take_over(std::move(stream));
      co_return;
    }
    if (!keep_alive) {
      co_await close_gently(self->loop, *stream, kCloseTime);
      co_return;
    }
  }
}

Task<> Server::Impl::accept_all(std::shared_ptr<Impl> self, std::shared_ptr<Accepting> listener) {
  while (!self->stopped.is_set()) {
    auto accepted = sys::accept(listener->socket);
    if (!accepted) {
      if (accepted.error().is_would_block()) {
        if (!co_await listener->watch.readable()) co_return;
      } else if (co_await self->stopped.wait_for(std::chrono::milliseconds(100))) {
        // Out of descriptors or memory (accept(2)), which gives no event when it is over; or the client already left,
        // which is rare enough for the same.
        co_return;
      }
      continue;
    }
    int on = 1;
    // Both are TCP's alone; on a unix socket they fail and are not needed. Keepalive finds a peer whose machine is
    // gone.
    ::setsockopt(accepted->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ::setsockopt(accepted->get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    bool full = self->connections >= self->limits.max_connections;
    if (full) {
      // Whole or not at all: the socket is fresh and its buffer empty.
      std::string text = serialize(text_response(503, "too many connections"), false, false, false);
      ::send(accepted->get(), text.data(), text.size(), MSG_NOSIGNAL);
      continue;
    }
    auto stream = std::make_unique<Tracked<Impl>>(self, make_socket_stream(self->loop, std::move(*accepted)));
    self->loop.spawn(serve_connection(self, std::move(stream)));
  }
}

void Server::Impl::stop() {
  stopped.set();
  for (auto& listener : listeners) {
    listener->watch.cancel();
    listener->socket.close();
  }
  listeners.clear();
  for (ByteStream* stream : live) stream->close();
}

Server::Server(Loop& loop, Handler handler, Limits limits)
    : impl_(std::make_shared<Impl>(loop, std::move(handler), limits)) {}

Server::~Server() { impl_->stop(); }

void Server::serve(SocketFd listener) {
  auto accepting = std::make_shared<Impl::Accepting>(impl_->loop, std::move(listener));
  impl_->listeners.push_back(accepting);
  impl_->loop.spawn(Impl::accept_all(impl_, accepting));
}

}  // namespace gantry::http
