// SPDX-License-Identifier: Apache-2.0
#include "cri/remote/rpc_client.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <map>

#include "base/text.h"
#include "http/byte_stream.h"
#include "http/grpc.h"
#include "http/query.h"
#include "sys/file.h"
#include "sys/socket.h"

namespace gantry::cri {
namespace {

using http::grpc_framed;
using http::grpc_timeout;
using http::http2_header;
using http::kGrpcPrefixBytes;

constexpr std::size_t kReadBytes = 64U << 10;
constexpr std::int32_t kWindowBytes = 1 << 20;
constexpr std::size_t kMaxHeaderBytes = 16U << 10;
constexpr int kMaxCode = 16;

}  // namespace

struct RpcClient::Call {
  Call(Loop& loop, std::string request, RpcClient::Take taker)
      : left(grpc_framed(request)), take(std::move(taker)), ended(loop) {}

  // What is whole of the answer goes to `take`. False: no more of it is wanted.
  bool add(std::string_view bytes);
  void end(Error error) {
    if (!failure) failure = std::move(error);
    ended.set();
  }

  std::string left;  // of the request
  std::string begun;
  RpcClient::Take take;
  std::string http_status, code, sentence;
  std::size_t header_bytes = 0;
  std::optional<Error> failure;  // ours
  Event ended;
};

bool RpcClient::Call::add(std::string_view bytes) {
  begun += bytes;
  while (begun.size() >= kGrpcPrefixBytes) {
    const std::size_t size = http::grpc_size(begun);
    if (begun.front() != 0 || size > kMaxAnswerBytes) {
      failure = Error(Code::kResourceExhausted, begun.front() != 0
                                                    ? std::string("an answer is compressed, which was not asked for")
                                                    : cat("an answer of ", size, " bytes, more than 16 MiB"));
      return false;
    }
    if (begun.size() < kGrpcPrefixBytes + size) return true;
    std::string message = begun.substr(kGrpcPrefixBytes, size);
    begun.erase(0, kGrpcPrefixBytes + size);
    if (!take(std::move(message))) {
      failure = Error(Code::kCancelled, "no more of the answer is wanted");
      return false;
    }
  }
  return true;
}

Status RpcClient::outcome(const Call& call) {
  if (call.failure) return std::unexpected(*call.failure);
  int code = -1;
  std::from_chars(call.code.data(), call.code.data() + call.code.size(), code);
  if (code == 0) return {};
  if (code < 0 || code > kMaxCode) return fail(Code::kUnknown, cat("HTTP status ", call.http_status, " and no gRPC's"));
  return fail(static_cast<Code>(code), http::decode_percent(call.sentence, false).value_or(call.sentence));
}

struct RpcClient::Connection : std::enable_shared_from_this<Connection> {
  Connection(Loop& l, std::string path, SocketFd socket)
      : loop(l), name(std::move(path)), stream(http::make_socket_stream(l, std::move(socket))), wake(l) {}
  ~Connection() { nghttp2_session_del(session); }

  Status start();
  static Task<> read_all(std::shared_ptr<Connection> self);
  static Task<> write_all(std::shared_ptr<Connection> self);
  std::int32_t submit(const std::string& path, std::shared_ptr<Call> call, std::optional<Duration> limit);
  void drop(std::int32_t id, const std::shared_ptr<Call>& call, Error why);
  void end(Code code, std::string_view why);

  static std::shared_ptr<Call> find(void* user, std::int32_t id);
  static int on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t, const std::uint8_t*,
                       std::size_t, std::uint8_t, void*);
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t*, std::size_t, void*);
  static int on_close(nghttp2_session*, std::int32_t, std::uint32_t, void*);
  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t, std::uint32_t*,
                           nghttp2_data_source*, void*);

  Loop& loop;
  const std::string name;
  std::unique_ptr<http::ByteStream> stream;
  nghttp2_session* session = nullptr;
  std::map<std::int32_t, std::shared_ptr<Call>> calls;
  Event wake;
  bool ended = false;
};

// ---- nghttp2's callbacks

std::shared_ptr<RpcClient::Call> RpcClient::Connection::find(void* user, std::int32_t id) {
  auto& calls = static_cast<Connection*>(user)->calls;
  auto found = calls.find(id);
  return found == calls.end() ? nullptr : found->second;
}

int RpcClient::Connection::on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                                     std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                                     std::uint8_t, void* user) {
  auto call = find(user, frame->hd.stream_id);
  if (!call) return 0;
  call->header_bytes += name_size + value_size;
  if (call->header_bytes > kMaxHeaderBytes) {
    call->failure = Error(Code::kResourceExhausted, "an answer's headers are of more than 16 KiB");
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  const std::string_view key(reinterpret_cast<const char*>(name), name_size);
  const std::string_view text(reinterpret_cast<const char*>(value), value_size);
  if (key == ":status") call->http_status = text;
  if (key == "grpc-status") call->code = text;
  if (key == "grpc-message") call->sentence = text;
  return 0;
}

int RpcClient::Connection::on_data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                                   std::size_t size, void* user) {
  auto call = find(user, id);
  if (call && !call->add({reinterpret_cast<const char*>(bytes), size})) {
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    static_cast<Connection*>(user)->calls.erase(id);
    call->ended.set();
  }
  return 0;
}

int RpcClient::Connection::on_close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
  auto call = find(user, id);
  if (!call) return 0;
  auto* self = static_cast<Connection*>(user);
  self->calls.erase(id);
  if (error != NGHTTP2_NO_ERROR && call->code.empty()) {
    call->end(Error(Code::kUnavailable, cat(self->name, ": ", nghttp2_http2_strerror(error))));
  }
  call->ended.set();
  return 0;
}

ssize_t RpcClient::Connection::read_body(nghttp2_session*, std::int32_t id, std::uint8_t* buffer, std::size_t size,
                                         std::uint32_t* flags, nghttp2_data_source*, void* user) {
  auto call = find(user, id);
  if (!call) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const std::size_t count = std::min(size, call->left.size());
  std::copy_n(call->left.data(), count, reinterpret_cast<char*>(buffer));
  call->left.erase(0, count);
  if (call->left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(count);
}

// ---- the connection

Status RpcClient::Connection::start() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return fail(Code::kInternal, "nghttp2");
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  const int made = nghttp2_session_client_new(&session, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) return fail(Code::kInternal, "nghttp2");
  const std::array<nghttp2_settings_entry, 2> settings = {
      {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes}}};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kWindowBytes);
  loop.spawn(read_all(shared_from_this()));
  loop.spawn(write_all(shared_from_this()));
  return {};
}

Task<> RpcClient::Connection::read_all(std::shared_ptr<Connection> self) {
  auto buffer = std::make_unique<std::array<char, kReadBytes>>();
  while (!self->ended) {
    auto count = co_await self->stream->read(*buffer);
    if (!count || *count == 0) {
      self->end(Code::kUnavailable, "the connection has ended");
      break;
    }
    const auto taken =
        nghttp2_session_mem_recv(self->session, reinterpret_cast<const std::uint8_t*>(buffer->data()), *count);
    if (taken < 0) self->end(Code::kUnavailable, nghttp2_strerror(static_cast<int>(taken)));
    self->wake.set();
    if (nghttp2_session_want_read(self->session) == 0) self->end(Code::kUnavailable, "the connection has ended");
  }
}

// One writer at a time: the reader wakes it for what it owes the server (acknowledgements, windows).
Task<> RpcClient::Connection::write_all(std::shared_ptr<Connection> self) {
  while (!self->ended) {
    self->wake.reset();
    const std::uint8_t* bytes = nullptr;
    const auto size = nghttp2_session_mem_send(self->session, &bytes);
    if (size == 0) {
      co_await self->wake.wait();
      continue;
    }
    if (size < 0) {
      self->end(Code::kUnavailable, nghttp2_strerror(static_cast<int>(size)));
      break;
    }
    // A copy: calls that come meanwhile change the session.
    const std::string piece(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    if (auto written = co_await self->stream->write(piece); !written) {
      self->end(Code::kUnavailable, written.error().message());
    }
  }
}

// -1 when the session takes no more.
std::int32_t RpcClient::Connection::submit(const std::string& path, std::shared_ptr<Call> call,
                                           std::optional<Duration> limit) {
  std::vector<nghttp2_nv> headers = {http2_header(":method", "POST"),
                                     http2_header(":scheme", "http"),
                                     http2_header(":path", path),
                                     http2_header(":authority", "localhost"),
                                     http2_header("te", "trailers"),
                                     http2_header("content-type", "application/grpc"),
                                     http2_header("user-agent", "gantryd/1")};
  std::string timeout;
  if (limit) {
    timeout = grpc_timeout(*limit);
    headers.push_back(http2_header("grpc-timeout", timeout));
  }
  const nghttp2_data_provider body{.source = {}, .read_callback = read_body};
  const std::int32_t id = nghttp2_submit_request(session, nullptr, headers.data(), headers.size(), &body, nullptr);
  if (id < 0) return -1;
  calls[id] = std::move(call);
  wake.set();
  return id;
}

void RpcClient::Connection::drop(std::int32_t id, const std::shared_ptr<Call>& call, Error why) {
  if (call->ended.is_set()) return;
  calls.erase(id);
  if (!ended) nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  wake.set();
  call->end(std::move(why));
}

void RpcClient::Connection::end(Code code, std::string_view why) {
  if (std::exchange(ended, true)) return;
  stream->close();
  wake.set();
  for (auto& [id, call] : std::exchange(calls, {})) call->end(Error(code, cat(name, ": ", why)));
}

// ---- RpcClient

RpcClient::RpcClient(Loop& loop, std::string socket) : loop_(loop), socket_(std::move(socket)) {}

RpcClient::~RpcClient() {
  if (connection_) connection_->end(Code::kCancelled, "stopped");
}

Result<std::shared_ptr<RpcClient::Connection>> RpcClient::connect() {
  if (connection_ && !connection_->ended && nghttp2_session_check_request_allowed(connection_->session) != 0) {
    return connection_;
  }
  const std::size_t slash = socket_.rfind('/');
  auto folder = sys::open_dir(sys::kCwd, socket_.substr(0, slash + 1).c_str());
  if (!folder) return fail(Code::kUnavailable, cat(socket_, ": ", folder.error().message()));
  auto socket = sys::connect_unix(*folder, socket_.c_str() + slash + 1, SOCK_STREAM);
  if (!socket) return fail(Code::kUnavailable, cat(socket_, ": ", socket.error().message()));
  auto made = std::make_shared<Connection>(loop_, socket_, std::move(*socket));
  if (auto started = made->start(); !started) return std::unexpected(std::move(started.error()));
  // One that takes no more calls goes on with those that it has.
  connection_ = made;
  return made;
}

Task<> RpcClient::cancel_when(std::shared_ptr<Event> over, std::weak_ptr<Connection> connection, std::int32_t id,
                              std::weak_ptr<Call> call) {
  co_await over->wait();
  auto live = connection.lock();
  auto under_way = call.lock();
  if (live && under_way) live->drop(id, under_way, Error(Code::kCancelled, "nobody waits for the answer any more"));
}

// Nothing of this object is used after the call was made: it may be gone by then.
Task<Status> RpcClient::run(std::string path, std::string message, Take take, Terms terms) {
  auto connection = connect();
  if (!connection) co_return std::unexpected(std::move(connection.error()));
  auto call = std::make_shared<Call>(loop_, message, std::move(take));
  const std::int32_t id = (*connection)->submit(path, call, terms.limit);
  if (id < 0) co_return fail(Code::kUnavailable, cat(socket_, ": no more calls can be made"));
  if (terms.over) loop_.spawn(cancel_when(terms.over, *connection, id, call));
  if (!terms.limit) {
    co_await call->ended.wait();
  } else if (!co_await call->ended.wait_for(*terms.limit)) {
    (*connection)->drop(id, call, Error(Code::kDeadlineExceeded, cat(path, ": no answer in time")));
  }
  co_return outcome(*call);
}

Task<Status> RpcClient::follow(std::string path, std::string message, Take take, std::shared_ptr<Event> over) {
  co_return co_await run(std::move(path), std::move(message), std::move(take), {.limit = {}, .over = std::move(over)});
}

Task<Result<std::string>> RpcClient::call(std::string path, std::string message, Terms terms) {
  // Shared: the task may be dropped before its call is.
  auto answer = std::make_shared<std::optional<std::string>>();
  auto done = co_await run(
      std::move(path), std::move(message),
      [answer](std::string one) {
        const bool is_first = !*answer;
        *answer = std::move(one);
        return is_first;
      },
      std::move(terms));
  if (!done) co_return std::unexpected(std::move(done.error()));
  if (!*answer) co_return fail(Code::kInternal, "an answer without a message");
  co_return std::move(**answer);
}

}  // namespace gantry::cri
