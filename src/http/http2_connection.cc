// SPDX-License-Identifier: Apache-2.0
// HTTP/2 on one connection (server_core.h), by nghttp2, which also holds off floods of pings, settings, resets and
// continuations. Source: RFC 9113.

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/log.h"
#include "http/compress.h"
#include "http/http2_stream.h"
#include "http/server_core.h"
#include "http/text.h"
#include "http/timer.h"

namespace gantry::http {
namespace {

// Requests of one connection at once. Handlers of streams that the client has reset may still run; of both together
// there are no more than twice as many.
constexpr std::uint32_t kMaxStreams = 250;
constexpr std::size_t kMaxHandlers = 2 * kMaxStreams;
constexpr std::int32_t kStreamWindow = 256 << 10, kConnectionWindow = 1 << 20;
constexpr std::size_t kReadBytes = 4096;  // each idle connection has such a buffer
constexpr std::size_t kWriteBytes = 64U << 10;
// Frames that wait to be sent: a client that makes more of them is not listened to until it takes some.
constexpr std::size_t kMaxQueued = 1000;
constexpr auto kCloseTime = std::chrono::seconds(2);
constexpr std::size_t kPerHeaderBytes = 32;  // as SETTINGS_MAX_HEADER_LIST_SIZE counts

std::string_view view(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

nghttp2_nv header(std::string_view name, std::string_view value) {
  auto bytes = [](std::string_view text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data())); };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

// RFC 9113, 8.2.2: what speaks of an HTTP/1.1 connection has no place here.
bool is_of_connection(std::string_view name) {
  return name == "connection" || name == "keep-alive" || name == "proxy-connection" || name == "transfer-encoding" ||
         name == "upgrade" || name == "content-length" || name == "date";
}

struct Connection : std::enable_shared_from_this<Connection> {
  Connection(std::shared_ptr<ServerCore> c, std::unique_ptr<TrackedStream> s, Peer p)
      : core(std::move(c)),
        stream(std::move(s)),
        peer(std::move(p)),
        wake(core->loop),
        wrote(core->loop),
        write_limit(core->loop),
        idle(core->loop) {}
  ~Connection() { nghttp2_session_del(session); }

  std::shared_ptr<ServerCore> core;
  std::unique_ptr<TrackedStream> stream;
  Peer peer;
  Event wake;   // the writer has something to look at
  Event wrote;  // it has sent what there was
  Timer write_limit;
  Timer idle;  // runs while there is no stream
  nghttp2_session* session = nullptr;
  std::map<std::int32_t, std::shared_ptr<Http2Stream>> streams;
  std::size_t handlers = 0;
  std::size_t dispatched = 0;  // of the streams
  bool is_closed = false;

  bool start();
  static Task<> write_all(std::shared_ptr<Connection> self);
  static Task<> serve(std::shared_ptr<Connection> self, std::shared_ptr<Http2Stream> one);
  void await_streams();
  void dispatch(const std::shared_ptr<Http2Stream>& one);
  void answer(Http2Stream& one, Response response, bool over_time = false);
  void resume(const Http2Stream& one);
  void reset(Http2Stream& one, std::uint32_t code);
  void drain();
  void close();
};

// An answer over time, as its handler sees it.
class Http2Body final : public BodyWriter {
 public:
  Http2Body(std::shared_ptr<Connection> connection, std::shared_ptr<Http2Stream> stream)
      : connection_(std::move(connection)), stream_(std::move(stream)) {}

  Task<Status> write(std::string_view bytes) override {
    co_return co_await write(std::span<const std::string_view>(&bytes, 1));
  }
  Task<Status> write(std::span<const std::string_view> pieces) override {
    if (is_over()) co_return fail(Code::kCancelled, "the client is gone");
    bool late = false;
    stream_->send(pieces);
    if (stream_->has_pieces()) {
      stream_->limit.start(connection_->core->limits.response_time, [this, &late] {
        late = true;
        connection_->reset(*stream_, NGHTTP2_CANCEL);
      });
      connection_->resume(*stream_);
      co_await stream_->taken.wait();
      stream_->limit.cancel();
    }
    if (late) co_return fail(Code::kDeadlineExceeded, "the client did not take the answer in time");
    if (is_over()) co_return fail(Code::kCancelled, "the client is gone");
    co_return Status();
  }
  const std::shared_ptr<Event>& closed() const override { return stream_->closed; }
  void cut_off() override { stream_->cut_off = true; }

 private:
  // Not when the server is drained: what is being sent then would end short with the mark of a whole body.
  bool is_over() const { return stream_->is_gone || stream_->cut_off || connection_->is_closed; }

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Http2Stream> stream_;
};

// ---- what nghttp2 tells

Connection& connection_of(void* user) { return *static_cast<Connection*>(user); }

std::shared_ptr<Http2Stream> stream_of(void* user, std::int32_t id) {
  auto& streams = connection_of(user).streams;
  auto found = streams.find(id);
  return found == streams.end() ? nullptr : found->second;
}

int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  Connection& self = connection_of(user);
  auto one = std::make_shared<Http2Stream>(self.core, frame->hd.stream_id);
  one->limit.start(self.core->limits.request_time, [weak = self.weak_from_this(), raw = one.get()] {
    if (auto connection = weak.lock()) connection->reset(*raw, NGHTTP2_CANCEL);
  });
  self.idle.cancel();
  self.streams.emplace(one->id, std::move(one));
  return 0;
}

int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
              const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
  auto one = stream_of(user, frame->hd.stream_id);
  if (!one || one->answered || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;  // trailers say nothing to us
  Connection& self = connection_of(user);
  one->header_bytes += name_size + value_size + kPerHeaderBytes;
  if (one->header_bytes > self.core->limits.max_header_bytes) {
    self.answer(*one, text_response(431, cat("the request's headers are longer than ",
                                             self.core->limits.max_header_bytes, " bytes")));
    return 0;
  }
  // A few bytes of HPACK can stand for kilobytes: what is decoded counts as a body does.
  if (!one->unfinished.add(name_size + value_size + kPerHeaderBytes)) {
    one->request = {};
    one->unfinished.release();
    self.answer(*one, text_response(503, "too many requests are under way; try again later"));
    return 0;
  }
  std::string_view key = view(name, name_size);
  std::string text(view(value, value_size));
  if (key == ":method") {
    one->request.method = std::move(text);
  } else if (key == ":path") {
    one->request.target = std::move(text);
  } else if (key == ":authority") {
    one->request.headers.emplace_back("host", std::move(text));
  } else if (!key.starts_with(':')) {
    one->request.headers.emplace_back(std::string(key), std::move(text));
  }
  return 0;
}

int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size, void* user) {
  auto one = stream_of(user, id);
  if (!one || one->answered || one->dispatched) return 0;
  Connection& self = connection_of(user);
  const Limits& limits = self.core->limits;
  if (one->request.body.size() + size > limits.max_body_bytes) {
    self.answer(*one, text_response(413, cat("the request's body is longer than ", limits.max_body_bytes, " bytes")));
  } else if (!one->unfinished.add(size)) {
    self.answer(*one, text_response(503, "too many requests are under way; try again later"));
  } else {
    one->request.body.append(view(bytes, size));
    return 0;
  }
  one->request.body = {};
  one->unfinished.release();
  return 0;
}

int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  const bool whole = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
                     (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (!whole) return 0;
  auto one = stream_of(user, frame->hd.stream_id);
  if (one && !one->answered && !one->dispatched) connection_of(user).dispatch(one);
  return 0;
}

int on_invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int code, void*) {
  log::debug("an HTTP/2 client sends a frame that is not allowed", {{"type", std::to_string(frame->hd.type)},
                                                                    {"stream", std::to_string(frame->hd.stream_id)},
                                                                    {"error", nghttp2_strerror(code)}});
  return 0;
}

int on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
  auto one = stream_of(user, id);
  if (!one) return 0;
  Connection& self = connection_of(user);
  one->limit.cancel();
  one->is_gone = true;
  one->closed->set();
  one->taken.set();
  one->unfinished.release();
  if (one->dispatched) --self.dispatched;
  self.streams.erase(id);
  if (self.streams.empty()) self.await_streams();
  return 0;
}

ssize_t read_answer(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size, std::uint32_t* flags,
                    nghttp2_data_source* source, void*) {
  auto* one = static_cast<Http2Stream*>(source->ptr);
  std::size_t filled = one->fill({reinterpret_cast<char*>(buffer), size});
  if (!one->has_pieces() && one->at_end) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
  } else if (filled == 0) {
    return NGHTTP2_ERR_DEFERRED;
  }
  return static_cast<ssize_t>(filled);
}

bool Connection::start() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return false;
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
  int code = nghttp2_session_server_new(&session, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (code != 0) return false;
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMaxStreams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(core->limits.max_header_bytes)}};
  return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0 &&
         nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) == 0;
}

// ---- requests and answers

// The connection ends when for that long no stream comes.
void Connection::await_streams() {
  idle.start(core->limits.keep_alive_time, [this] { drain(); });
}

void Connection::dispatch(const std::shared_ptr<Http2Stream>& one) {
  one->dispatched = true;
  ++dispatched;
  stream->set_busy(true);
  one->limit.cancel();
  one->unfinished.release();
  if (one->request.target.empty()) return answer(*one, text_response(405, "CONNECT has nowhere to go here"));
  if (handlers >= kMaxHandlers) {
    // Only who resets streams as fast as it opens them comes here (CVE-2023-44487).
    nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    wake.set();
    return;
  }
  core->loop.spawn(serve(shared_from_this(), one));
}

Task<> Connection::serve(std::shared_ptr<Connection> self, std::shared_ptr<Http2Stream> one) {
  ++self->handlers;
  one->request.version = 2;
  one->request.peer = self->peer;
  const bool head = one->request.method == "HEAD";
  const bool gzip = !head && accepts_gzip(one->request);
  Reply reply = co_await self->core->handler(std::move(one->request));
  if (one->is_gone || self->is_closed) {
    --self->handlers;
    co_return;
  }
  if (gzip) compress(self->core->loop, reply, self->core->limits.gzip_bytes);
  if (reply.upgrade) reply = {text_response(400, "HTTP/2 has no upgrades: ask by HTTP/1.1"), {}, {}};
  const bool over_time = reply.stream && !head;
  if (head) {
    one->at_end = true;
    reply.response.headers.emplace_back("content-length", std::to_string(reply.response.body_bytes().size()));
    if (reply.stream) reply.response.headers.pop_back();
    reply.response.body.clear();
    reply.response.shared_body = nullptr;
  }
  self->answer(*one, std::move(reply.response), over_time || head);
  if (over_time) {
    Http2Body body(self, one);
    one->is_streaming = true;
    if (self->core->draining) one->closed->set();
    co_await reply.stream(body);
    reply.stream = nullptr;
    if (one->cut_off) self->reset(*one, NGHTTP2_INTERNAL_ERROR);
    one->at_end = true;
    self->resume(*one);
  }
  --self->handlers;
}

// With `over_time` the headers alone; the body is what comes into the stream later.
void Connection::answer(Http2Stream& one, Response response, bool over_time) {
  one.answered = true;
  one.response = std::move(response);
  const std::string status = std::to_string(one.response.status);
  const std::string date = http_date();
  const std::string_view body = over_time ? std::string_view() : one.response.body_bytes();
  const std::string length = std::to_string(body.size());
  std::vector<nghttp2_nv> headers = {header(":status", status), header("date", date)};
  if (!over_time && has_body(one.response.status)) headers.push_back(header("content-length", length));
  for (auto& [name, value] : one.response.headers) {
    std::ranges::transform(name, name.begin(), ascii_lower);
    const bool counted = over_time && one.at_end && name == "content-length";  // of a HEAD's answer
    if ((counted || !is_of_connection(name)) && is_one_line(name) && is_one_line(value)) {
      headers.push_back(header(name, value));
    }
  }
  if (!over_time) {
    one.send(std::span(&body, 1));
    one.at_end = true;
    if (one.has_pieces()) {
      one.limit.start(core->limits.response_time, [weak = weak_from_this(), raw = &one] {
        if (auto self = weak.lock()) self->reset(*raw, NGHTTP2_CANCEL);
      });
    }
  }
  nghttp2_data_provider provider{.source = {.ptr = &one}, .read_callback = read_answer};
  const bool bare = one.at_end && !one.has_pieces();
  if (int code = nghttp2_submit_response(session, one.id, headers.data(), headers.size(), bare ? nullptr : &provider);
      code != 0) {
    log::debug("answering an HTTP/2 request", {{"error", nghttp2_strerror(code)}});
    reset(one, NGHTTP2_INTERNAL_ERROR);
  }
  wake.set();
}

// There is something to send again.
void Connection::resume(const Http2Stream& one) {
  if (is_closed || one.is_gone) return;
  // An error: it has not been put off. Then it is read anyway.
  (void)nghttp2_session_resume_data(session, one.id);
  wake.set();
}

void Connection::reset(Http2Stream& one, std::uint32_t code) {
  if (is_closed || one.is_gone) return;
  nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, one.id, code);
  one.send({});  // whose bytes these are takes them back
  one.is_gone = true;
  one.closed->set();
  wake.set();
}

// ---- bytes

Task<> Connection::write_all(std::shared_ptr<Connection> self) {
  while (!self->is_closed) {
    self->wake.reset();
    std::string out;
    while (out.size() < kWriteBytes) {
      const std::uint8_t* bytes = nullptr;
      ssize_t size = nghttp2_session_mem_send(self->session, &bytes);
      if (size <= 0) break;
      out.append(view(bytes, static_cast<std::size_t>(size)));
    }
    if (out.empty()) {
      self->stream->set_busy(self->dispatched > 0);
      self->wrote.set();
      if (!nghttp2_session_want_read(self->session) && !nghttp2_session_want_write(self->session)) break;
      co_await self->wake.wait();
      continue;
    }
    self->wrote.reset();
    self->write_limit.start(self->core->limits.response_time, [raw = self.get()] { raw->close(); });
    auto written = co_await self->stream->write(out);
    self->write_limit.cancel();
    if (!written) self->close();
  }
  if (self->is_closed) co_return;
  // The reader waits for the client's end, so that what was sent last is not lost to a reset.
  self->stream->finish_writing();
  self->idle.start(kCloseTime, [raw = self.get()] { raw->close(); });
}

void Connection::drain() {
  if (is_closed) return;
  // Streams that are open come to their end; the writer closes when there is none left.
  nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  for (const auto& [id, one] : streams) {
    if (one->is_streaming) one->closed->set();
  }
  wake.set();
}

void Connection::close() {
  if (std::exchange(is_closed, true)) return;
  idle.cancel();
  for (auto& [id, one] : streams) {
    one->limit.cancel();
    one->is_gone = true;
    one->closed->set();
    one->taken.set();
  }
  streams.clear();
  stream->close();
  wake.set();
  wrote.set();
}

}  // namespace

Task<> serve_http2(std::shared_ptr<ServerCore> core, std::unique_ptr<TrackedStream> stream, Peer peer) {
  auto self = std::make_shared<Connection>(core, std::move(stream), std::move(peer));
  if (!self->start()) co_return;
  self->await_streams();
  DrainWish wish(core, [&self] { self->drain(); });
  core->loop.spawn(Connection::write_all(self));
  std::array<char, kReadBytes> buffer;
  bool dropping = false;
  while (!self->is_closed) {
    auto size = co_await self->stream->read(buffer);
    if (!size || *size == 0 || self->is_closed) break;
    if (dropping) continue;
    ssize_t taken =
        nghttp2_session_mem_recv(self->session, reinterpret_cast<const std::uint8_t*>(buffer.data()), *size);
    self->wake.set();
    if (taken < 0) {
      // What nghttp2 wants to say about it (GOAWAY) is still sent.
      log::debug("an HTTP/2 client breaks the protocol", {{"error", nghttp2_strerror(static_cast<int>(taken))}});
      nghttp2_session_terminate_session(self->session, NGHTTP2_PROTOCOL_ERROR);
      dropping = true;
    }
    while (!self->is_closed && nghttp2_session_get_outbound_queue_size(self->session) > kMaxQueued) {
      self->wrote.reset();
      co_await self->wrote.wait();
    }
  }
  self->close();
}

}  // namespace gantry::http
