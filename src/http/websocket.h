// SPDX-License-Identifier: Apache-2.0
// The server's side of WebSocket (RFC 6455, version 13, no extensions) as bytes, without sockets: WebSocketReader takes
// a client's bytes as they come and yields pieces of messages and control frames; the writers append frames to a
// string. A message is passed on in pieces and never gathered, so its length has no bound and needs none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace gantry::http {

// The handshake. A response of status 101, or the refusal to send. `protocol`, when not empty, is the chosen one of
// those that the client offered (request.values("Sec-WebSocket-Protocol")).
bool asks_for_websocket(const Request& request);
Response accept_websocket(const Request& request, std::string_view protocol);

struct WebSocketEvent {
  enum class Kind { kMessage, kPing, kPong, kClose };
  Kind kind = Kind::kMessage;
  // A piece of a message, or the whole payload of a control frame. It lies in the reader until the next call.
  std::string_view bytes;
  // Of a message: this piece begins it, ends it.
  bool first = false;
  bool last = false;
};

class WebSocketReader {
 public:
  // Gives bytes. They must stay until next() returned nothing, and all must be taken before the next feed().
  void feed(std::string_view bytes) { input_ = bytes; }
  // kInvalidArgument for what RFC 6455 forbids a client: the connection ends with close code 1002. Every later call
  // repeats it.
  Result<std::optional<WebSocketEvent>> next();

 private:
  using Step = Result<std::optional<WebSocketEvent>>;

  bool collect_head();
  Status check_head();
  Step take_payload();

  std::string_view input_;
  std::string head_;
  bool in_payload_ = false;
  bool in_message_ = false;    // a message has begun and not ended
  bool piece_begins_ = false;  // the next piece is its first
  std::uint8_t opcode_ = 0;
  bool final_ = false;
  std::uint64_t left_ = 0;
  std::array<char, 4> mask_{};
  std::size_t mask_at_ = 0;
  std::string payload_;
  std::optional<Error> broken_;
};

// A whole binary message of two parts.
void write_websocket_message(std::string& out, std::string_view first, std::string_view second);
// At most 125 bytes.
void write_websocket_pong(std::string& out, std::string_view payload);
void write_websocket_ping(std::string& out);
inline constexpr std::uint16_t kWebSocketNormal = 1000;
inline constexpr std::uint16_t kWebSocketProtocolError = 1002;
void write_websocket_close(std::string& out, std::uint16_t code);

}  // namespace gantry::http
