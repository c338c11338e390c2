// SPDX-License-Identifier: Apache-2.0
#include "cri/rpc_connection.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <map>
#include <optional>

#include "base/log.h"
#include "cri/idle_resets.h"
#include "cri/text.h"
#include "http/byte_stream.h"
#include "http/grpc.h"

namespace gantry::cri {
namespace {

using http::grpc_framed;
using http::http2_header;
using http::kGrpcPrefixBytes;

constexpr std::size_t kWriteBytes = 64U << 10;
constexpr std::size_t kMaxStatusMessage = 4096;
constexpr std::int32_t kWindowBytes = 1 << 20;

// As grpc-message has it: percent-encoded but for plain ASCII.
std::string status_message(std::string_view message) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (char c : as_utf8(message, kMaxStatusMessage)) {  // a client refuses text that is no UTF-8
    auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '%') {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

// "250m"; nothing when it is no such text. Source: PROTOCOL-HTTP2.md, "Timeout".
std::optional<Duration> parse_timeout(std::string_view text) {
  constexpr std::size_t kMostDigits = 8;
  if (text.size() < 2 || text.size() > kMostDigits + 1) return std::nullopt;
  std::uint32_t count = 0;
  const char* unit = text.data() + text.size() - 1;
  auto [end, error] = std::from_chars(text.data(), unit, count);
  if (error != std::errc() || end != unit) return std::nullopt;
  switch (*unit) {
    case 'H':
      return std::chrono::hours(count);
    case 'M':
      return std::chrono::minutes(count);
    case 'S':
      return std::chrono::seconds(count);
    case 'm':
      return std::chrono::milliseconds(count);
    case 'u':
      return std::chrono::microseconds(count);
    case 'n':
      return std::chrono::nanoseconds(count);
    default:
      return std::nullopt;
  }
}

struct Call final : RpcCall {
  Call(std::weak_ptr<RpcConnection::Impl> connection, std::int32_t number, Loop& loop)
      : impl(std::move(connection)), id(number), done(std::make_shared<Event>(loop)) {}

  const std::shared_ptr<Event>& over() const override { return done; }
  void begin() override;
  bool send(std::string message) override;

  std::weak_ptr<RpcConnection::Impl> impl;
  const std::int32_t id;
  std::string method, path, content_type, encoding, timeout;
  std::size_t header_bytes = 0;
  std::string body;
  bool dispatched = false;
  bool begun = false;              // the headers of the answer are out
  bool answered = false;           // with its last message, and `status`
  std::deque<std::string> answer;  // each with its prefix
  std::size_t sent = 0;            // of the first
  std::size_t unsent = 0;          // of all
  std::string status = "0", sentence;
  std::shared_ptr<Event> done;
};

}  // namespace

struct RpcConnection::Impl : std::enable_shared_from_this<RpcConnection::Impl> {
  Impl(Loop& l, SocketFd socket, Handler h, std::function<void()> c)
      : loop(l),
        stream(http::make_socket_stream(l, std::move(socket))),
        handler(std::move(h)),
        closed(std::move(c)),
        wake(l) {}
  ~Impl() { nghttp2_session_del(session); }

  Status start();
  static Task<> read_all(std::shared_ptr<Impl> self);
  static Task<> write_all(std::shared_ptr<Impl> self);
  static Task<> serve(std::shared_ptr<Impl> self, std::int32_t id, std::shared_ptr<Call> call);
  static Task<> expire(std::shared_ptr<Event> over, Duration limit);
  static Task<> close_soon(std::shared_ptr<Impl> self);
  void received(std::int32_t id);
  void begin(Call& call);
  void resume(const Call& call);
  void answer(std::int32_t id, Call& call, const Error* error);
  void close();

  Loop& loop;
  std::unique_ptr<http::ByteStream> stream;
  Handler handler;
  std::function<void()> closed;
  Event wake;  // the writer has something to look at
  nghttp2_session* session = nullptr;
  std::map<std::int32_t, std::shared_ptr<Call>> calls;
  bool stopping = false;
  bool is_closed = false;
  IdleResets idle_resets;
};

// ---- what nghttp2 tells

namespace {

using Impl = RpcConnection::Impl;

Call* call_of(void* user, std::int32_t id) {
  auto& calls = static_cast<Impl*>(user)->calls;
  auto found = calls.find(id);
  return found == calls.end() ? nullptr : found->second.get();
}

int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
    auto* impl = static_cast<Impl*>(user);
    const std::int32_t id = frame->hd.stream_id;
    impl->calls.emplace(id, std::make_shared<Call>(impl->weak_from_this(), id, impl->loop));
  }
  return 0;
}

int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
              const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
  Call* call = call_of(user, frame->hd.stream_id);
  if (call == nullptr) return 0;
  call->header_bytes += name_size + value_size + 32;
  if (call->header_bytes > kMaxHeaderBytes) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
  std::string_view key(reinterpret_cast<const char*>(name), name_size);
  std::string text(reinterpret_cast<const char*>(value), value_size);
  if (key == ":method") call->method = std::move(text);
  if (key == ":path") call->path = std::move(text);
  if (key == "content-type") call->content_type = std::move(text);
  if (key == "grpc-encoding") call->encoding = std::move(text);
  if (key == "grpc-timeout") call->timeout = std::move(text);
  return 0;
}

int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size, void* user) {
  Call* call = call_of(user, id);
  if (call == nullptr || call->answered) return 0;
  if (call->body.size() + size > kMaxMessageBytes + kGrpcPrefixBytes) {
    Error error(Code::kResourceExhausted, cat("the request has more than ", kMaxMessageBytes, " bytes"));
    static_cast<Impl*>(user)->answer(id, *call, &error);
    call->body = {};
    return 0;
  }
  call->body.append(reinterpret_cast<const char*>(bytes), size);
  return 0;
}

int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  bool whole = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (whole) static_cast<Impl*>(user)->received(frame->hd.stream_id);
  return 0;
}

int on_invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int code, void*) {
  log::debug("a CRI client sends a frame that HTTP/2 does not allow", {{"type", std::to_string(frame->hd.type)},
                                                                       {"stream", std::to_string(frame->hd.stream_id)},
                                                                       {"error", nghttp2_strerror(code)}});
  return 0;
}

int on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
  if (Call* call = call_of(user, id)) call->done->set();
  static_cast<Impl*>(user)->calls.erase(id);
  return 0;
}

// The answer's bytes, then, when there will be no more, the trailers: its status.
ssize_t read_answer(nghttp2_session* session, std::int32_t id, std::uint8_t* buffer, std::size_t size,
                    std::uint32_t* flags, nghttp2_data_source* source, void*) {
  auto* call = static_cast<Call*>(source->ptr);
  std::size_t taken = 0;
  while (taken < size && !call->answer.empty()) {
    const std::string& message = call->answer.front();
    std::size_t count = std::min(size - taken, message.size() - call->sent);
    std::copy_n(message.data() + call->sent, count, reinterpret_cast<char*>(buffer) + taken);
    taken += count;
    call->sent += count;
    if (call->sent < message.size()) break;
    call->answer.pop_front();
    call->sent = 0;
  }
  call->unsent -= taken;
  if (!call->answer.empty()) return static_cast<ssize_t>(taken);
  if (!call->answered) return taken == 0 ? NGHTTP2_ERR_DEFERRED : static_cast<ssize_t>(taken);
  *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
  nghttp2_nv trailers[] = {http2_header("grpc-status", call->status), http2_header("grpc-message", call->sentence)};
  const std::size_t count = call->sentence.empty() ? 1 : 2;
  if (nghttp2_submit_trailer(session, id, trailers, count) != 0) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  return static_cast<ssize_t>(taken);
}

std::unexpected<Error> failed(int code, std::string_view what) {
  return fail(Code::kInternal, cat(what, ": ", nghttp2_strerror(code)));
}

}  // namespace

Status RpcConnection::Impl::start() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (int code = nghttp2_session_callbacks_new(&callbacks); code != 0) return failed(code, "nghttp2");
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
  int code = nghttp2_session_server_new(&session, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (code != 0) return failed(code, "nghttp2 session");
  nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMaxCalls},
                                       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes},
                                       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeaderBytes}};
  code = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  if (code == 0) code = nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kWindowBytes);
  if (code != 0) return failed(code, "nghttp2 settings");
  return {};
}

// ---- bytes in, bytes out

Task<> RpcConnection::Impl::read_all(std::shared_ptr<Impl> self) {
  std::array<char, 16384> buffer;
  while (!self->is_closed) {
    auto count = co_await self->stream->read(buffer);
    if (!count || *count == 0 || self->is_closed) break;
    std::string received = self->idle_resets.without({buffer.data(), *count});
    ssize_t taken = nghttp2_session_mem_recv(self->session, reinterpret_cast<const std::uint8_t*>(received.data()),
                                             received.size());
    if (taken < 0) {
      log::debug("a CRI client sends what is no HTTP/2", {{"error", nghttp2_strerror(static_cast<int>(taken))}});
      break;
    }
    self->wake.set();
  }
  self->close();
}

Task<> RpcConnection::Impl::write_all(std::shared_ptr<Impl> self) {
  while (!self->is_closed) {
    self->wake.reset();
    std::string out;
    while (out.size() < kWriteBytes) {
      const std::uint8_t* bytes = nullptr;
      ssize_t size = nghttp2_session_mem_send(self->session, &bytes);
      if (size <= 0) break;
      out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    }
    if (out.empty()) {
      if (!nghttp2_session_want_read(self->session) && !nghttp2_session_want_write(self->session)) break;
      co_await self->wake.wait();
      continue;
    }
    auto written = co_await self->stream->write(out);
    if (!written) break;
  }
  self->close();
}

void RpcConnection::Impl::close() {
  if (is_closed) return;
  is_closed = true;
  for (auto& [id, call] : calls) call->done->set();
  calls.clear();
  stream->close();
  wake.set();
  // By post: the owner drops us in it.
  loop.post([self = shared_from_this()] {
    if (self->closed) self->closed();
  });
}

// ---- calls

void RpcConnection::Impl::received(std::int32_t id) {
  auto found = calls.find(id);
  if (found == calls.end() || found->second->answered || found->second->dispatched) return;
  auto call = found->second;
  call->dispatched = true;
  auto refuse = [&](Code code, std::string message) {
    Error error(code, std::move(message));
    answer(id, *call, &error);
  };
  if (stopping) return refuse(Code::kUnavailable, "gantryd is stopping; ask again");
  if (call->method != "POST" || !call->content_type.starts_with("application/grpc")) {
    return refuse(Code::kInvalidArgument, "this socket speaks gRPC: POST with content-type application/grpc");
  }
  if (call->body.size() < kGrpcPrefixBytes) return refuse(Code::kInvalidArgument, "the request has no message");
  if (call->body[0] != 0) {
    return refuse(Code::kUnimplemented, cat("compressed requests (", quoted(call->encoding), ") are not supported"));
  }
  if (http::grpc_size(call->body) != call->body.size() - kGrpcPrefixBytes)
    return refuse(Code::kInvalidArgument, "the request is not one whole message");
  if (auto limit = parse_timeout(call->timeout)) loop.spawn(expire(call->done, *limit));
  loop.spawn(serve(shared_from_this(), id, std::move(call)));
}

Task<> RpcConnection::Impl::expire(std::shared_ptr<Event> over, Duration limit) {
  if (!co_await over->wait_for(limit)) over->set();
}

Task<> RpcConnection::Impl::serve(std::shared_ptr<Impl> self, std::int32_t id, std::shared_ptr<Call> call) {
  std::string request = call->body.substr(kGrpcPrefixBytes);
  call->body = {};
  auto result = co_await self->handler(call->path, std::move(request), call);
  // The stream's number is not given twice, but the call may be over: reset, or answered by stop().
  if (self->is_closed || call->answered || !self->calls.contains(id)) co_return;
  if (!result) {
    self->answer(id, *call, &result.error());
    co_return;
  }
  for (std::string& message : *result) {
    if (message.size() > kMaxMessageBytes) {
      Error error(Code::kResourceExhausted,
                  cat("the answer has ", message.size(), " bytes; at most ", kMaxMessageBytes, ": ask with a filter"));
      self->answer(id, *call, &error);
      co_return;
    }
    call->answer.push_back(grpc_framed(message));
    call->unsent += call->answer.back().size();
    message = {};
  }
  self->answer(id, *call, nullptr);
}

void RpcConnection::Impl::begin(Call& call) {
  if (call.begun) return;
  call.begun = true;
  nghttp2_nv headers[] = {http2_header(":status", "200"), http2_header("content-type", "application/grpc")};
  nghttp2_data_provider provider{.source = {.ptr = &call}, .read_callback = read_answer};
  int code = nghttp2_submit_response(session, call.id, headers, std::size(headers), &provider);
  if (code != 0) log::debug("answering a CRI call", {{"error", nghttp2_strerror(code)}});
  wake.set();
}

// There is something to send again.
void RpcConnection::Impl::resume(const Call& call) {
  // An error: it has not been put off. Then it is read anyway.
  (void)nghttp2_session_resume_data(session, call.id);
  wake.set();
}

// What is in `call.answer` and then its end; of an answer that has not begun an error is all. The call stays in `calls`
// until its stream is closed.
void RpcConnection::Impl::answer(std::int32_t id, Call& call, const Error* error) {
  call.answered = true;
  call.done->set();
  if (error != nullptr) {
    call.status = std::to_string(static_cast<int>(error->code()));
    call.sentence = status_message(error->message());
  }
  if (call.begun) return resume(call);
  if (error == nullptr) return begin(call);
  nghttp2_nv headers[] = {http2_header(":status", "200"), http2_header("content-type", "application/grpc"),
                          http2_header("grpc-status", call.status), http2_header("grpc-message", call.sentence)};
  int code = nghttp2_submit_response(session, id, headers, std::size(headers), nullptr);
  if (code != 0) log::debug("answering a CRI call", {{"error", nghttp2_strerror(code)}});
  wake.set();
}

namespace {

void Call::begin() {
  auto connection = impl.lock();
  if (connection && !connection->is_closed && !done->is_set()) connection->begin(*this);
}

bool Call::send(std::string message) {
  auto connection = impl.lock();
  if (!connection || connection->is_closed || done->is_set() || unsent > kMaxUnsentBytes) return false;
  answer.push_back(grpc_framed(message));
  unsent += answer.back().size();
  connection->resume(*this);
  return true;
}

}  // namespace

// ---- the connection's end

Task<> RpcConnection::Impl::close_soon(std::shared_ptr<Impl> self) {
  co_await self->loop.sleep_for(std::chrono::seconds(1));
  self->close();
}

Result<std::shared_ptr<RpcConnection>> RpcConnection::open(Loop& loop, SocketFd socket, Handler handler,
                                                           std::function<void()> closed) {
  auto impl = std::make_shared<Impl>(loop, std::move(socket), std::move(handler), std::move(closed));
  if (auto started = impl->start(); !started) return std::unexpected(std::move(started.error()));
  loop.spawn(Impl::read_all(impl));
  loop.spawn(Impl::write_all(impl));
  return std::make_shared<RpcConnection>(std::move(impl));
}

void RpcConnection::stop() {
  if (impl_->stopping || impl_->is_closed) return;
  impl_->stopping = true;
  Error error(Code::kUnavailable, "gantryd is stopping; ask again");
  for (auto& [id, call] : impl_->calls) {
    if (!call->answered) impl_->answer(id, *call, &error);
  }
  // Not terminate_session(), which would drop these answers. The writer ends when all streams are closed.
  nghttp2_submit_goaway(impl_->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(impl_->session),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  impl_->wake.set();
  impl_->loop.spawn(Impl::close_soon(impl_));
}

RpcConnection::~RpcConnection() {
  impl_->closed = nullptr;
  impl_->close();
}

}  // namespace gantry::cri
