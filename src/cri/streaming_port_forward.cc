// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming_port_forward.h"

#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "base/text.h"
#include "http/spdy_connection.h"
#include "runtime/plan/text.h"

namespace gantry::cri {
namespace {

namespace spdy = http::spdy;

constexpr std::size_t kPiece = 16 << 10;

// The two streams of one connection; a stream that has not come is 0.
struct Pair {
  explicit Pair(Loop& loop) : complete(loop) {}
  std::uint16_t port = 0;
  spdy::StreamId error = 0, data = 0;
  Event complete;
};

struct Forwarder {
  Forwarder(Loop& l, std::unique_ptr<http::ByteStream> stream, std::shared_ptr<PortForwardSession> s, Duration limit)
      : loop(l),
        connection(l, std::move(stream), {.frames = {}, .max_streams = 2 * kMaxForwarded}),
        session(std::move(s)),
        stream_creation(limit) {}
  Loop& loop;
  spdy::Connection connection;
  std::shared_ptr<PortForwardSession> session;
  Duration stream_creation;
  std::map<std::string, std::shared_ptr<Pair>, std::less<>> incomplete;  // by request
};
using ForwarderPtr = std::shared_ptr<Forwarder>;

Task<> to_pod(ForwarderPtr self, spdy::StreamId id, std::shared_ptr<http::ByteStream> pod) {
  std::array<char, kPiece> buffer;
  for (;;) {
    auto size = co_await self->connection.read(id, buffer);
    if (!size) co_return pod->close();  // it was reset: the client wants nothing more of it
    if (*size == 0) co_return pod->finish_writing();
    if (!co_await pod->write(std::string_view(buffer.data(), *size))) {
      self->connection.reset(id, spdy::RstStatus::kCancel);
      co_return;
    }
  }
}

Task<> to_client(ForwarderPtr self, spdy::StreamId id, std::shared_ptr<http::ByteStream> pod) {
  std::array<char, kPiece> buffer;
  for (;;) {
    auto size = co_await pod->read(buffer);
    if (!size || *size == 0) co_return;
    if (!co_await self->connection.write(id, std::string_view(buffer.data(), *size))) co_return pod->close();
  }
}

Task<> forward(ForwarderPtr self, std::shared_ptr<Pair> pair) {
  auto socket = co_await self->session->connect(pair->port);
  if (socket) {
    std::shared_ptr<http::ByteStream> pod = http::make_socket_stream(self->loop, SocketFd(std::move(*socket)));
    self->loop.spawn(to_pod(self, pair->data, pod));
    co_await to_client(self, pair->data, pod);
  } else {
    std::string why = cat("error forwarding port ", pair->port, ": ", socket.error().message());
    (void)co_await self->connection.write(pair->error, why);
  }
  self->connection.finish(pair->data);
  self->connection.finish(pair->error);
}

Task<> serve_pair(ForwarderPtr self, std::string request, std::shared_ptr<Pair> pair) {
  bool is_complete = co_await pair->complete.wait_for(self->stream_creation);
  self->incomplete.erase(request);
  if (is_complete) co_return co_await forward(self, pair);
  for (spdy::StreamId id : {pair->error, pair->data}) {
    if (id != 0) self->connection.reset(id, spdy::RstStatus::kCancel);
  }
}

// The clients before requestID open the error stream first and the data stream right after it.
std::string request_of(const spdy::StreamOpened& opened, bool is_data) {
  std::string_view given = spdy::find_header(opened.headers, "requestid");
  return given.empty() ? std::to_string(is_data ? opened.id - 2 : opened.id) : std::string(given);
}

// False: a stream that makes no sense.
bool take_stream(const ForwarderPtr& self, const spdy::StreamOpened& opened) {
  std::string_view type = spdy::find_header(opened.headers, "streamtype");
  auto port = runtime::parse_number<std::uint16_t>(spdy::find_header(opened.headers, "port"));
  bool is_data = type == "data";
  if ((!is_data && type != "error") || !port || *port == 0) return false;
  std::string request = request_of(opened, is_data);
  auto& pair = self->incomplete[request];
  bool is_new = !pair;
  if (is_new) {
    pair = std::make_shared<Pair>(self->loop);
    pair->port = *port;
  }
  spdy::StreamId& place = is_data ? pair->data : pair->error;
  if (place != 0 || pair->port != *port) return false;
  place = opened.id;
  auto held = pair;
  if (is_new) self->loop.spawn(serve_pair(self, std::move(request), held));
  if (held->error != 0 && held->data != 0) held->complete.set();
  return true;
}

}  // namespace

Task<> serve_port_forward(Loop& loop, std::unique_ptr<http::ByteStream> stream,
                          std::shared_ptr<PortForwardSession> session, StreamingOptions options) {
  stream->set_idle_limit(options.idle);
  auto self = std::make_shared<Forwarder>(loop, std::move(stream), std::move(session), options.stream_creation);
  for (;;) {
    auto opened = co_await self->connection.accept(options.idle);
    if (!opened && opened.error().is_deadline()) continue;
    if (!opened) break;
    if (!take_stream(self, *opened)) self->connection.reset(opened->id, spdy::RstStatus::kProtocolError);
  }
  co_await self->connection.ended();
}

}  // namespace gantry::cri
