// SPDX-License-Identifier: Apache-2.0
#include "agent/probe/grpc_probe.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>

#include "base/duration.h"
#include "base/text.h"
#include "grpc/health/v1/health.pb.h"
#include "http/byte_stream.h"
#include "http/connect.h"
#include "http/grpc.h"
#include "http/timer.h"

namespace gantry::agent {
namespace {

using http::grpc_framed;
using http::grpc_timeout;
using http::http2_header;
using http::kGrpcPrefixBytes;
namespace health = ::grpc::health::v1;
using Clock = std::chrono::steady_clock;
using Verdict = ProbeOutcome::Verdict;

constexpr std::size_t kMaxHeaderBytes = 16U << 10;
// Of all that a server sends until its answer is whole.
constexpr std::size_t kMaxReceived = 256U << 10;
constexpr std::size_t kReadBytes = 4096;
constexpr char kPath[] = "/grpc.health.v1.Health/Check";
constexpr char kUnimplemented[] = "12";
constexpr char kDeadlineExceeded[] = "4";

// The one call of a connection. What the other side sends beyond its bounds ends it.
class Call {
 public:
  explicit Call(std::string request) : request_(std::move(request)) {}
  ~Call() { nghttp2_session_del(session_); }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  Status begin(const std::string& authority, Duration limit);
  // What is to be written now; empty: nothing.
  Result<std::string> to_send();
  Status receive(std::string_view bytes);
  bool is_over() const { return is_over_; }
  // The other side does not speak HTTP/2, or wants no more of it.
  bool is_broken() const {
    return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  }
  const GrpcAnswer& answer() const { return answer_; }

 private:
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                       const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user);
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                     void* user);
  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t, void* user);
  static ssize_t read_request(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size,
                              std::uint32_t* flags, nghttp2_data_source* source, void*);

  nghttp2_session* session_ = nullptr;
  std::string request_;
  std::size_t sent_ = 0;
  std::size_t header_bytes_ = 0;
  std::size_t received_ = 0;
  std::int32_t id_ = 0;
  GrpcAnswer answer_;
  bool is_over_ = false;
};

int Call::on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
  auto* call = static_cast<Call*>(user);
  call->header_bytes_ += name_size + value_size;
  if (call->header_bytes_ > kMaxHeaderBytes) return NGHTTP2_ERR_CALLBACK_FAILURE;
  const std::string_view key(reinterpret_cast<const char*>(name), name_size);
  std::string text(reinterpret_cast<const char*>(value), value_size);
  if (key == ":status") call->answer_.http_status = std::move(text);
  if (key == "grpc-status") call->answer_.grpc_status = std::move(text);
  if (key == "grpc-message") call->answer_.grpc_message = std::move(text);
  return 0;
}

int Call::on_data(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* bytes, std::size_t size,
                  void* user) {
  auto* call = static_cast<Call*>(user);
  if (call->answer_.body.size() + size > kMaxProbeOutput) return NGHTTP2_ERR_CALLBACK_FAILURE;
  call->answer_.body.append(reinterpret_cast<const char*>(bytes), size);
  return 0;
}

int Call::on_close(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
  auto* call = static_cast<Call*>(user);
  if (id == call->id_) call->is_over_ = true;
  return 0;
}

ssize_t Call::read_request(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size, std::uint32_t* flags,
                           nghttp2_data_source* source, void*) {
  auto* call = static_cast<Call*>(source->ptr);
  const std::size_t count = std::min(size, call->request_.size() - call->sent_);
  std::copy_n(call->request_.data() + call->sent_, count, reinterpret_cast<char*>(buffer));
  call->sent_ += count;
  if (call->sent_ == call->request_.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(count);
}

Status Call::begin(const std::string& authority, Duration limit) {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return fail(Code::kResourceExhausted, "no memory");
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  const int made = nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) return fail(Code::kInternal, nghttp2_strerror(made));
  const nghttp2_settings_entry no_push{NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
  const std::string timeout = grpc_timeout(limit);
  const std::array headers{http2_header(":method", "POST"),
                           http2_header(":scheme", "http"),
                           http2_header(":path", kPath),
                           http2_header(":authority", authority),
                           http2_header("content-type", "application/grpc"),
                           http2_header("te", "trailers"),
                           http2_header("user-agent", kProbeUserAgent),
                           http2_header("grpc-timeout", timeout)};
  nghttp2_data_provider body{.source = {.ptr = this}, .read_callback = read_request};
  int done = nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &no_push, 1);
  if (done == 0) done = id_ = nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &body, nullptr);
  if (done < 0) return fail(Code::kInternal, nghttp2_strerror(done));
  return {};
}

Result<std::string> Call::to_send() {
  std::string all;
  for (;;) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) return fail(Code::kUnavailable, nghttp2_strerror(static_cast<int>(size)));
    if (size == 0) return all;
    all.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  }
}

Status Call::receive(std::string_view bytes) {
  received_ += bytes.size();
  if (received_ > kMaxReceived) return fail(Code::kResourceExhausted, "the answer is too large");
  const ssize_t taken =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) return fail(Code::kUnavailable, nghttp2_strerror(static_cast<int>(taken)));
  return {};
}

Task<Status> converse(Call& call, http::ByteStream& stream) {
  std::array<char, kReadBytes> buffer;
  for (;;) {
    auto out = call.to_send();
    if (!out) co_return std::unexpected(std::move(out.error()));
    if (!out->empty()) {
      auto written = co_await stream.write(*out);
      if (!written) co_return written;
    }
    if (call.is_over()) co_return Status();
    if (call.is_broken()) co_return fail(Code::kUnavailable, "the server does not go on with HTTP/2");
    auto size = co_await stream.read(buffer);
    if (!size) co_return std::unexpected(std::move(size.error()));
    if (*size == 0) co_return fail(Code::kUnavailable, "the server closed the connection");
    auto taken = call.receive({buffer.data(), *size});
    if (!taken) co_return taken;
  }
}

ProbeOutcome failure(std::string why) { return {Verdict::kFailure, std::move(why)}; }

}  // namespace

ProbeOutcome judge_health(const GrpcAnswer& answer) {
  const std::string said = as_utf8(answer.grpc_message);
  if (answer.grpc_status == kUnimplemented) {
    return failure(
        cat("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ", said));
  }
  if (answer.grpc_status != "0") {
    return failure(cat("error: health rpc probe failed: ", answer.grpc_status.empty() ? "no gRPC status" : "code ",
                       as_utf8(answer.grpc_status), ", HTTP status ", as_utf8(answer.http_status), " ", said));
  }
  health::HealthCheckResponse response;
  // One message, all of it, behind its prefix; a compressed one was not asked for.
  const std::string message = answer.body.substr(std::min(answer.body.size(), kGrpcPrefixBytes));
  const bool is_whole = answer.body == grpc_framed(message) && response.ParseFromString(message);
  if (!is_whole) return failure("error: health rpc probe failed: malformed answer");
  if (response.status() == health::HealthCheckResponse::SERVING) return {Verdict::kSuccess, "service healthy"};
  const std::string& name = health::HealthCheckResponse::ServingStatus_Name(response.status());
  return failure(
      cat("service unhealthy (responded with \"", name.empty() ? std::to_string(response.status()) : name, "\")"));
}

Task<ProbeOutcome> ask_grpc(ProbeMeans& means, GrpcProbe probe, Duration limit) {
  const auto until = Clock::now() + limit;
  const std::string where = http::host_and_port(probe.host, probe.port);
  auto socket = co_await http::connect_tcp(means.loop(), probe.host, probe.port, limit);
  if (!socket) {
    const std::string why = as_utf8(socket.error().message());
    if (!socket.error().is_deadline())
      co_return failure(cat("error: failed to connect service at \"", where, "\": ", why));
    co_return failure(
        cat("timeout: failed to connect service \"", where, "\" within ", format_duration(limit), ": ", why));
  }
  health::HealthCheckRequest request;
  request.set_service(probe.service);
  Call call(grpc_framed(request.SerializeAsString()));
  const Duration left = std::max<Duration>(until - Clock::now(), Duration(1));
  Status done = call.begin(where, left);
  auto stream = http::make_socket_stream(means.loop(), std::move(*socket));
  http::Timer late(means.loop());
  bool is_late = false;
  late.start(left, [&is_late, raw = stream.get()] {
    is_late = true;
    raw->close();
  });
  if (done) done = co_await converse(call, *stream);
  stream->close();
  if (is_late || call.answer().grpc_status == kDeadlineExceeded) {
    co_return failure(cat("timeout: health rpc did not complete within ", format_duration(limit)));
  }
  if (!done) co_return failure(cat("error: health rpc probe failed: ", as_utf8(done.error().message())));
  co_return judge_health(call.answer());
}

}  // namespace gantry::agent
