// SPDX-License-Identifier: Apache-2.0
#include "http/client_connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>

#include "http/connect.h"
#include "http/server_core.h"
#include "http/text.h"
#include "http/timer.h"

namespace gantry::http {

namespace beast = boost::beast::http;

namespace {

constexpr std::size_t kReadBytes = 16U << 10;

// What can't end its line, or a request line's word.
bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::none_of(text, [](unsigned char c) { return c <= 0x20 || c == 0x7f; });
}

Result<std::string> serialize(const ClientRequest& request, const std::string& host) {
  if (!is_word(request.method) || !is_word(request.target)) return invalid_argument("HTTP request: malformed");
  std::string text = cat(request.method, " ", request.target, " HTTP/1.1\r\n");
  if (find_header(request.headers, "Host").empty()) text += cat("Host: ", host, "\r\n");
  for (const auto& [name, value] : request.headers) {
    if (!is_word(name) || !is_one_line(value)) return invalid_argument("HTTP request: malformed header");
    text += cat(name, ": ", value, "\r\n");
  }
  bool has_body =
      !request.body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (has_body) text += cat("Content-Length: ", request.body.size(), "\r\n");
  return text += "\r\n";
}

}  // namespace

struct ClientConnection::Answer {
  beast::response_parser<beast::buffer_body> parser;
};

ClientConnection::ClientConnection(Loop& loop, std::unique_ptr<ByteStream> stream, const ClientOptions& options)
    : loop_(loop),
      stream_(std::move(stream)),
      host_(host_and_port(options.host, options.port)),
      response_time_(options.response_time),
      max_header_bytes_(options.max_header_bytes),
      read_over_(loop) {}

ClientConnection::~ClientConnection() = default;

Task<Result<std::shared_ptr<ClientConnection>>> ClientConnection::open(Loop& loop, const ClientOptions& options) {
  auto socket = co_await connect_tcp(loop, options.host, options.port, options.connect_time);
  if (!socket) co_return std::unexpected(std::move(socket.error()));
  if (!options.tls) {
    co_return std::make_shared<ClientConnection>(loop, make_socket_stream(loop, std::move(*socket)), options);
  }
  const std::string& name = options.server_name.empty() ? options.host : options.server_name;
  auto stream = make_tls_stream(loop, std::move(*socket), *options.tls, name);
  auto session = co_await stream->handshake(options.connect_time);
  const auto what = [&options] { return cat("connect ", host_and_port(options.host, options.port)); };
  if (!session) co_return fail_with(std::move(session.error()), what());
  const std::string& user = options.server_user;
  if (!user.empty() && (!session->certificate || session->certificate->common_name != user)) {
    const std::string found = session->certificate ? session->certificate->common_name : "";
    co_return fail(Code::kUnavailable,
                   cat(what(), ": the server's certificate is of ", quoted(found), ", not of ", quoted(user)));
  }
  co_return std::make_shared<ClientConnection>(loop, std::move(stream), options);
}

// ---- one request

Task<Result<Response>> ClientConnection::ask(const ClientRequest& request) {
  auto self = shared_from_this();
  Timer limit(loop_);
  late_ = false;
  limit.start(response_time_, [this] {
    late_ = true;
    close();
  });
  auto response = co_await exchange(request);
  if (response) co_return response;
  close();
  if (late_) co_return fail(Code::kDeadlineExceeded, cat(host_, ": no answer in time"));
  if (response.error().is_cancelled() || response.error().is_invalid()) co_return response;
  co_return fail_with(std::move(response.error()).with_code(Code::kUnavailable), host_);
}

Task<Result<Response>> ClientConnection::exchange(const ClientRequest& request) {
  answer_.reset();
  got_bytes_ = false;
  auto text = serialize(request, host_);
  if (!text) co_return std::unexpected(std::move(text.error()));
  constexpr std::size_t kTogether = 64U << 10;
  const bool together = request.body.size() <= kTogether;
  if (together) *text += request.body;
  auto sent = co_await stream_->write(*text);
  if (sent && !together) sent = co_await stream_->write(request.body);
  // Who does not take all of a request may still have said why.
  auto head = co_await read_head(request.method == "HEAD");
  if (!head && !sent) co_return std::unexpected(std::move(sent.error()));
  co_return head;
}

Task<Status> ClientConnection::read_more() {
  auto self = shared_from_this();
  if (reading_) {
    co_await read_over_.wait();
    if (!pending_.empty()) {
      got_bytes_ = true;
      co_return Status();
    }
  }
  if (ended_) co_return fail(Code::kUnavailable, "the server closed the connection");
  // Not cleared first: who follows a watch waits here for a few bytes at a time.
  if (!room_) room_ = std::make_unique_for_overwrite<char[]>(kReadBytes);
  auto size = co_await stream_->read(std::span(room_.get(), kReadBytes));
  pending_.append(room_.get(), size.value_or(0));
  if (!size) co_return std::unexpected(std::move(size.error()));
  if (*size == 0) {
    ended_ = true;
    co_return fail(Code::kUnavailable, "the server closed the connection");
  }
  got_bytes_ = true;
  co_return Status();
}

Task<Result<Response>> ClientConnection::read_head(bool has_no_body) {
  for (;;) {
    auto answer = std::make_unique<Answer>();
    auto& parser = answer->parser;
    parser.header_limit(static_cast<std::uint32_t>(max_header_bytes_));
    parser.body_limit(boost::none);
    parser.skip(has_no_body);
    while (!parser.is_header_done()) {
      boost::system::error_code error = beast::error::need_more;
      if (!pending_.empty()) pending_.erase(0, parser.put(boost::asio::buffer(pending_), error));
      if (error && error != beast::error::need_more) {
        co_return fail(Code::kUnavailable, cat("malformed answer: ", error.message()));
      }
      if (parser.is_header_done()) break;
      if (auto more = co_await read_more(); !more) co_return std::unexpected(std::move(more.error()));
    }
    int status = static_cast<int>(parser.get().result_int());
    // Others before the real one say nothing to us (RFC 9110, 15.2).
    if (status < 200 && status != 101) continue;
    Response response;
    response.status = status;
    for (const auto& field : parser.get()) {
      response.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    }
    answer_ = std::move(answer);
    co_return response;
  }
}

Task<Result<std::string>> ClientConnection::read_body() {
  auto self = shared_from_this();
  auto& parser = answer_->parser;
  std::string body;
  while (body.empty() && !parser.is_done()) {
    boost::system::error_code error;
    if (pending_.empty()) {
      auto more = co_await read_more();
      if (!more && ended_ && parser.need_eof()) {
        parser.put_eof(error);
        break;
      }
      if (!more) co_return fail_with(std::move(more.error()), host_);
    }
    std::string buffer(pending_.size(), 0);
    auto& into = parser.get().body();
    into.data = buffer.data();
    into.size = buffer.size();
    into.more = true;
    std::size_t used = parser.put(boost::asio::buffer(pending_), error);
    pending_.erase(0, used);
    if (error && error != beast::error::need_more && error != beast::error::need_buffer) {
      close();
      co_return fail(Code::kUnavailable, cat(host_, ": malformed answer: ", error.message()));
    }
    buffer.resize(buffer.size() - into.size);
    body = std::move(buffer);
    if (body.empty() && used == 0 && !parser.is_done()) {
      if (auto more = co_await read_more(); !more) co_return fail_with(std::move(more.error()), host_);
    }
  }
  co_return body;
}

bool ClientConnection::is_reusable() const {
  return answer_ && answer_->parser.is_done() && answer_->parser.keep_alive() && !ended_ && pending_.empty();
}

bool ClientConnection::is_unanswered() const { return !got_bytes_ && !late_; }

std::unique_ptr<ByteStream> ClientConnection::take_stream() {
  if (!pending_.empty()) stream_->unread(std::exchange(pending_, {}));
  return std::move(stream_);
}

// ---- between requests

Task<> ClientConnection::watch(std::shared_ptr<ClientConnection> self) {
  auto size = co_await self->stream_->read(self->early_);
  if (size && *size > 0) {
    self->pending_.append(self->early_.data(), *size);
  } else {
    self->ended_ = true;
  }
  self->reading_ = false;
  self->read_over_.set();
  // Also what comes unasked makes it useless.
  if (auto gone = std::exchange(self->gone_, nullptr)) gone();
}

void ClientConnection::rest(Duration limit, std::function<void()> gone) {
  gone_ = std::move(gone);
  stream_->set_idle_limit(limit);
  if (std::exchange(reading_, true)) return;
  read_over_.reset();
  loop_.spawn(watch(shared_from_this()));
}

void ClientConnection::wake() {
  gone_ = nullptr;
  stream_->set_idle_limit(Duration::zero());
}

void ClientConnection::close() {
  if (stream_) stream_->close();
}

}  // namespace gantry::http
