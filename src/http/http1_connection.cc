// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 on one connection (server_core.h).

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <optional>

#include "http/compress.h"
#include "http/server_core.h"
#include "http/text.h"
#include "http/timer.h"

namespace gantry::http {

namespace beast = boost::beast::http;

namespace {

constexpr auto kCloseTime = std::chrono::seconds(2);
// What is put together to leave at once; more is written piece by piece.
constexpr std::size_t kTogetherBytes = 64U << 10;
constexpr std::size_t kReadBytes = 16U << 10;

enum class Framing { kNone, kLength, kChunked, kUntilClose, kUpgrade };

// What the server says itself; two different ones would be two different requests to some proxy.
bool is_framing(std::string_view name) {
  return equals_ignore_case(name, "content-length") || equals_ignore_case(name, "transfer-encoding") ||
         equals_ignore_case(name, "connection") || equals_ignore_case(name, "date");
}

std::string serialize_head(const Response& response, Framing framing, std::size_t length, bool keep_alive) {
  auto reason = beast::obsolete_reason(static_cast<beast::status>(response.status));
  std::string text = cat("HTTP/1.1 ", response.status, " ", std::string_view(reason.data(), reason.size()), "\r\n");
  for (const auto& [name, value] : response.headers) {
    if (framing != Framing::kUpgrade && is_framing(name)) continue;
    if (is_one_line(name) && is_one_line(value)) text += cat(name, ": ", value, "\r\n");
  }
  text += cat("Date: ", http_date(), "\r\n");
  if (framing == Framing::kLength) text += cat("Content-Length: ", length, "\r\n");
  if (framing == Framing::kChunked) text += "Transfer-Encoding: chunked\r\n";
  if (framing != Framing::kUpgrade) text += cat("Connection: ", keep_alive ? "keep-alive" : "close", "\r\n");
  return text += "\r\n";
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

Request take_request(Parser& parser, const Peer& peer) {
  auto message = parser.release();
  Request request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  for (const auto& field : message) {
    request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  request.body = std::move(message.body());
  request.peer = peer;
  return request;
}

// What the connection's coroutine shares with a read that goes on beside an answer.
struct Connection {
  Connection(std::shared_ptr<ServerCore> c, std::unique_ptr<TrackedStream> s, Peer p)
      : core(std::move(c)), stream(std::move(s)), peer(std::move(p)), write_limit(core->loop), read_over(core->loop) {}

  std::shared_ptr<ServerCore> core;
  std::unique_ptr<TrackedStream> stream;
  Peer peer;
  Timer write_limit;
  bool is_late = false;  // closed because the client took nothing
  // The read beside an answer: under way, and then what came of it.
  bool reading = false;
  bool ended = false;
  Event read_over;
  std::array<char, 256> early;

  // Small when nothing is there yet: many connections wait.
  Task<bool> read_more(std::string& pending);
  Task<Status> write(std::string_view bytes);
};

Task<bool> Connection::read_more(std::string& pending) {
  if (reading) co_await read_over.wait();
  if (ended) co_return false;
  if (pending.empty()) {
    auto size = co_await stream->read(early);
    if (size) pending.append(early.data(), *size);
    co_return size && *size > 0;
  }
  std::size_t have = pending.size();
  pending.resize(have + kReadBytes);
  auto size = co_await stream->read(std::span(pending).subspan(have));
  pending.resize(have + size.value_or(0));
  co_return size && *size > 0;
}

Task<Status> Connection::write(std::string_view bytes) {
  write_limit.start(core->limits.response_time, [this] {
    is_late = true;
    stream->close();
  });
  auto written = co_await stream->write(bytes);
  write_limit.cancel();
  if (is_late) co_return fail(Code::kDeadlineExceeded, "the client did not take the answer in time");
  if (!written && !written.error().is_cancelled()) {
    co_return std::unexpected(std::move(written.error()).with_code(Code::kCancelled));
  }
  co_return written;
}

// Reads beside an answer that comes over time, to see the client leave. One who sends its next request already is
// there; whether it stays is not looked at any more.
Task<> watch_client(std::shared_ptr<Connection> self, std::shared_ptr<Event> closed) {
  auto size = co_await self->stream->read(self->early);
  if (size && *size > 0) {
    self->stream->unread(std::string(self->early.data(), *size));
  } else {
    self->ended = true;
    closed->set();
  }
  self->reading = false;
  self->read_over.set();
}

class Http1Body final : public BodyWriter {
 public:
  Http1Body(Connection& connection, bool chunked)
      : connection_(connection),
        chunked_(chunked),
        closed_(std::make_shared<Event>(connection.core->loop)),
        place_(connection.core->answers.insert(connection.core->answers.end(), closed_)) {
    if (connection.core->draining) closed_->set();
  }
  ~Http1Body() override {
    closed_->set();
    connection_.core->answers.erase(place_);
  }

  Task<Status> write(std::string_view bytes) override {
    co_return co_await write(std::span<const std::string_view>(&bytes, 1));
  }
  Task<Status> write(std::span<const std::string_view> pieces) override {
    std::size_t size = 0;
    for (std::string_view piece : pieces) size += piece.size();
    // A drain alone refuses nothing: what is being sent then would end short with the mark of a whole body.
    if (failed_ || connection_.ended || connection_.core->stopped.is_set()) {
      co_return fail(Code::kCancelled, "the client is gone");
    }
    if (size == 0) co_return Status();  // as a chunk it would be the end
    std::string together = chunked_ ? cat(hex(size), "\r\n") : std::string();
    if (size <= kTogetherBytes) {
      together.reserve(together.size() + size + 2);
      for (std::string_view piece : pieces) together += piece;
    } else {
      if (auto head = co_await send(together); !head) co_return head;
      together.clear();
      for (std::string_view piece : pieces) {
        if (auto sent = co_await send(piece); !sent) co_return sent;
      }
    }
    if (chunked_) together += "\r\n";
    co_return co_await send(together);
  }
  const std::shared_ptr<Event>& closed() const override { return closed_; }
  void cut_off() override { failed_ = true; }

  // The mark of a whole body. False when the connection is of no more use.
  Task<bool> finish() {
    if (failed_ || connection_.ended || !chunked_) co_return false;
    auto sent = co_await send("0\r\n\r\n");
    co_return sent.has_value();
  }
  bool is_whole() const { return !failed_; }

 private:
  static std::string hex(std::size_t value) {
    std::array<char, 20> digits;
    auto* end = std::to_chars(digits.begin(), digits.end(), value, 16).ptr;
    return std::string(digits.begin(), end);
  }
  Task<Status> send(std::string_view bytes) {
    if (bytes.empty()) co_return Status();
    auto sent = co_await connection_.write(bytes);
    if (!sent) {
      failed_ = true;
      closed_->set();
    }
    co_return sent;
  }

  Connection& connection_;
  bool chunked_;
  bool failed_ = false;
  std::shared_ptr<Event> closed_;
  std::list<std::shared_ptr<Event>>::iterator place_;
};

struct Received {
  Request request;
  bool keep_alive = false;
  bool knows_chunks = false;  // HTTP/1.1
};
// Why a connection yielded no request: with a response the client is told.
struct NoRequest {
  std::optional<Response> response;
};

// Reads one request. What came after it stays in the stream.
Task<std::expected<Received, NoRequest>> read_request(Connection& connection, bool first) {
  ServerCore& core = *connection.core;
  ByteStream& stream = *connection.stream;
  const Limits& limits = core.limits;
  UnfinishedBytes unfinished(connection.core);
  std::string pending;
  Timer limit(core.loop);
  auto expire = [&stream] { stream.close(); };
  limit.start(first ? limits.request_time : limits.keep_alive_time, expire);
  {
    DrainWish wish(connection.core, expire);
    if (!co_await connection.read_more(pending)) co_return std::unexpected(NoRequest{});
  }
  if (!first) limit.start(limits.request_time, expire);

  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
  parser.body_limit(limits.max_body_bytes);
  parser.eager(true);
  bool told_to_continue = false;
  std::size_t left = 0;
  for (;;) {
    if (!unfinished.add(pending.size() - left)) {
      co_return std::unexpected(NoRequest{text_response(503, "too many requests are under way; try again later")});
    }
    boost::system::error_code error;
    // put() wants to be asked again with what it left: a header, then each piece of the body.
    while (!pending.empty() && !parser.is_done()) {
      std::size_t used = parser.put(boost::asio::buffer(pending), error);
      pending.erase(0, used);
      if (error || used == 0) break;
    }
    if (error && error != beast::error::need_more) co_return std::unexpected(NoRequest{refusal(error, limits)});
    if (parser.is_done()) break;
    if (parser.is_header_done() && !told_to_continue &&
        equals_ignore_case(std::string_view(parser.get()["Expect"]), "100-continue")) {
      told_to_continue = true;
      auto told = co_await stream.write("HTTP/1.1 100 Continue\r\n\r\n");
      if (!told) co_return std::unexpected(NoRequest{});
    }
    left = pending.size();
    if (!co_await connection.read_more(pending)) co_return std::unexpected(NoRequest{});
  }
  if (!pending.empty()) stream.unread(std::move(pending));
  Received received{.keep_alive = parser.keep_alive(), .knows_chunks = parser.get().version() >= 11};
  received.request = take_request(parser, connection.peer);
  co_return received;
}

// False when the connection is at its end.
Task<bool> answer_whole(Connection& connection, const Response& response, bool keep_alive, bool with_body) {
  std::string_view body = response.body_bytes();
  std::string text =
      serialize_head(response, has_body(response.status) ? Framing::kLength : Framing::kNone, body.size(), keep_alive);
  if (!with_body || !has_body(response.status)) body = {};
  if (body.size() <= kTogetherBytes) text += std::exchange(body, {});
  if (!co_await connection.write(text)) co_return false;
  if (!body.empty() && !co_await connection.write(body)) co_return false;
  co_return keep_alive;
}

Task<bool> answer_over_time(std::shared_ptr<Connection> connection, Reply& reply, const Received& received,
                            bool with_body) {
  const bool keep_alive = received.keep_alive && received.knows_chunks;
  const Framing framing = received.knows_chunks ? Framing::kChunked : Framing::kUntilClose;
  std::string text = serialize_head(reply.response, framing, 0, keep_alive);
  if (!co_await connection->write(text)) co_return false;
  if (!with_body) co_return keep_alive;
  Http1Body body(*connection, received.knows_chunks);
  connection->reading = true;
  connection->read_over.reset();
  connection->core->loop.spawn(watch_client(connection, body.closed()));
  co_await reply.stream(body);
  reply.stream = nullptr;
  bool finished = co_await body.finish();
  if (!body.is_whole()) {
    connection->stream->close();
    co_return false;
  }
  co_return finished&& keep_alive;
}

Task<> close_after_answer(Connection& connection) {
  // Its end is already being waited for.
  if (connection.reading) {
    Timer late(connection.core->loop);
    late.start(kCloseTime, [&connection] { connection.stream->close(); });
    connection.stream->finish_writing();
    co_await connection.read_over.wait();
  }
  co_await close_gently(connection.core->loop, *connection.stream, kCloseTime);
}

}  // namespace

std::string http1_refusal(const Response& response) {
  return serialize_head(response, Framing::kLength, response.body.size(), false) + response.body;
}

Task<> serve_http1(std::shared_ptr<ServerCore> core, std::unique_ptr<TrackedStream> stream, Peer peer) {
  auto connection = std::make_shared<Connection>(core, std::move(stream), std::move(peer));
  for (bool first = true;; first = false) {
    auto received = co_await read_request(*connection, first);
    if (!received) {
      if (received.error().response) {
        (void)co_await answer_whole(*connection, *received.error().response, false, true);
        co_await close_after_answer(*connection);
      }
      co_return;
    }
    connection->stream->set_busy(true);
    const bool head = received->request.method == "HEAD";
    const bool gzip = received->knows_chunks && !head && accepts_gzip(received->request);
    Reply reply = co_await core->handler(std::move(received->request));
    if (core->stopped.is_set()) co_return;
    if (gzip) compress(core->loop, reply, core->limits.gzip_bytes);
    if (reply.upgrade) {
      std::string text = serialize_head(reply.response, Framing::kUpgrade, 0, false);
      if (!co_await connection->write(text)) co_return;
      connection->stream->set_upgraded();
      auto take_over = std::move(reply.upgrade);
      co_await take_over(std::move(connection->stream));
      co_return;
    }
    if (core->draining) received->keep_alive = false;
    bool goes_on;
    if (reply.stream) {
      goes_on = co_await answer_over_time(connection, reply, *received, !head);
    } else {
      goes_on = co_await answer_whole(*connection, reply.response, received->keep_alive, !head);
    }
    if (goes_on) {
      connection->stream->set_busy(false);
      continue;
    }
    co_await close_after_answer(*connection);
    co_return;
  }
}

}  // namespace gantry::http
