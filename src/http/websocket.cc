// SPDX-License-Identifier: Apache-2.0
#include "http/websocket.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "http/text.h"

namespace gantry::http {
namespace {

enum Opcode : std::uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

constexpr std::size_t kMaxControl = 125;

void write_head(std::string& out, Opcode opcode, std::size_t size) {
  out += static_cast<char>(0x80 | opcode);
  if (size <= 125) {
    out += static_cast<char>(size);
    return;
  }
  int bytes = size <= 0xffff ? 2 : 8;
  out += static_cast<char>(bytes == 2 ? 126 : 127);
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xff);
}

void write_control(std::string& out, Opcode opcode, std::string_view payload) {
  payload = payload.substr(0, kMaxControl);
  write_head(out, opcode, payload.size());
  out += payload;
}

// RFC 6455, section 4.2.2.
std::string accept_key(std::string_view key) {
  std::string text = cat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::array<unsigned char, 32> encoded;
  int size = ::EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(digest.size()));
  return std::string(reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(size));
}

}  // namespace

bool asks_for_websocket(const Request& request) {
  return request.has_value("Connection", "upgrade") && request.has_value("Upgrade", "websocket");
}

Response accept_websocket(const Request& request, std::string_view protocol) {
  if (request.method != "GET") return text_response(405, "a WebSocket begins with GET");
  if (request.header("Sec-WebSocket-Version") != "13") {
    Response response = text_response(426, "only WebSocket version 13 is spoken");
    response.headers.emplace_back("Sec-WebSocket-Version", "13");
    return response;
  }
  std::string_view key = request.header("Sec-WebSocket-Key");
  if (key.size() != 24) return text_response(400, "the Sec-WebSocket-Key header is missing, or not 16 bytes in base64");
  Response response{101, {{"Connection", "Upgrade"}, {"Upgrade", "websocket"}}, {}};
  response.headers.emplace_back("Sec-WebSocket-Accept", accept_key(key));
  if (!protocol.empty()) response.headers.emplace_back("Sec-WebSocket-Protocol", protocol);
  return response;
}

// ---- reading

// The head is two bytes, a length of 0, 2 or 8, and the mask. True when it is whole.
bool WebSocketReader::collect_head() {
  for (;;) {
    std::size_t want = 2;
    if (head_.size() >= 2) {
      int length = static_cast<unsigned char>(head_[1]) & 0x7f;
      bool masked = (static_cast<unsigned char>(head_[1]) & 0x80) != 0;
      want += (length == 126 ? 2U : length == 127 ? 8U : 0U) + (masked ? 4U : 0U);
    }
    if (head_.size() == want) return true;
    if (input_.empty()) return false;
    std::string_view piece = input_.substr(0, want - head_.size());
    head_ += piece;
    input_.remove_prefix(piece.size());
  }
}

Status WebSocketReader::check_head() {
  auto byte = [this](std::size_t at) { return static_cast<unsigned char>(head_[at]); };
  opcode_ = byte(0) & 0x0f;
  final_ = (byte(0) & 0x80) != 0;
  if ((byte(0) & 0x70) != 0) return invalid_argument("WebSocket frame with reserved bits");
  if ((byte(1) & 0x80) == 0) return invalid_argument("WebSocket frame from a client without a mask");
  std::size_t length_size = head_.size() - 6;
  left_ = length_size == 0 ? byte(1) & 0x7f : 0;
  for (std::size_t i = 0; i < length_size; ++i) left_ = left_ << 8 | byte(2 + i);
  if ((left_ >> 63) != 0) return invalid_argument("WebSocket frame longer than 2^63 bytes");
  std::ranges::copy(head_.substr(head_.size() - 4), mask_.begin());
  mask_at_ = 0;
  if (opcode_ == kClose || opcode_ == kPing || opcode_ == kPong) {
    if (!final_ || left_ > kMaxControl)
      return invalid_argument("WebSocket control frame in parts, or longer than 125 bytes");
    payload_.clear();
    return {};
  }
  if (opcode_ > kBinary) return invalid_argument(cat("WebSocket frame of unknown kind ", static_cast<int>(opcode_)));
  if ((opcode_ == kContinuation) != in_message_) {
    return invalid_argument("WebSocket message that begins within another, or goes on without a beginning");
  }
  piece_begins_ = opcode_ != kContinuation;
  in_message_ = true;
  return {};
}

WebSocketReader::Step WebSocketReader::take_payload() {
  bool control = opcode_ >= kClose;
  std::string_view piece = input_.substr(0, std::min<std::uint64_t>(left_, input_.size()));
  if (piece.empty() && left_ > 0) return std::nullopt;
  input_.remove_prefix(piece.size());
  left_ -= piece.size();
  if (!control) payload_.clear();
  for (char c : piece) payload_ += static_cast<char>(c ^ mask_[mask_at_++ % mask_.size()]);
  if (left_ == 0) {
    in_payload_ = false;
    head_.clear();
  }
  if (control) {
    if (left_ > 0) return std::nullopt;
    using Kind = WebSocketEvent::Kind;
    return WebSocketEvent{opcode_ == kClose  ? Kind::kClose
                          : opcode_ == kPing ? Kind::kPing
                                             : Kind::kPong,
                          payload_, true, true};
  }
  WebSocketEvent event{WebSocketEvent::Kind::kMessage, payload_, std::exchange(piece_begins_, false),
                       left_ == 0 && final_};
  if (event.last) in_message_ = false;
  return event;
}

Result<std::optional<WebSocketEvent>> WebSocketReader::next() {
  while (!broken_) {
    if (!in_payload_) {
      if (!collect_head()) return std::nullopt;
      if (auto good = check_head(); !good) {
        broken_ = std::move(good.error());
        break;
      }
      in_payload_ = true;
    }
    auto event = take_payload();
    if (event && !*event && !input_.empty()) continue;
    return event;
  }
  return std::unexpected(*broken_);
}

// ---- writing

void write_websocket_message(std::string& out, std::string_view first, std::string_view second) {
  write_head(out, kBinary, first.size() + second.size());
  out += first;
  out += second;
}

void write_websocket_pong(std::string& out, std::string_view payload) { write_control(out, kPong, payload); }
void write_websocket_ping(std::string& out) { write_control(out, kPing, {}); }

void write_websocket_close(std::string& out, std::uint16_t code) {
  const char bytes[2] = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  write_control(out, kClose, std::string_view(bytes, 2));
}

}  // namespace gantry::http
