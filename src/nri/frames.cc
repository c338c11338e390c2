// SPDX-License-Identifier: Apache-2.0
#include "nri/frames.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace gantry::nri {
namespace {

void put(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

std::uint32_t get(std::string_view bytes) {
  std::uint32_t value = 0;
  for (char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<std::uint8_t>(byte);
  return value;
}

bool is_known(std::uint32_t connection) {
  return connection == static_cast<std::uint32_t>(Channel::kPlugin) ||
         connection == static_cast<std::uint32_t>(Channel::kRuntime);
}

}  // namespace

std::string encode(const Message& message) {
  // What their readers (bufio) hold of a message that has not begun.
  constexpr std::size_t kFirstFrame = 4096;
  std::string_view data = message.data;
  std::string_view first = data.substr(0, kFirstFrame - kMessageHeaderBytes), rest = data.substr(first.size());
  std::string out;
  out.reserve(2 * kFrameHeaderBytes + kMessageHeaderBytes + data.size());
  put(out, static_cast<std::uint32_t>(message.channel));
  put(out, static_cast<std::uint32_t>(kMessageHeaderBytes + first.size()));
  put(out, static_cast<std::uint32_t>(data.size()));
  put(out, message.stream);
  out += static_cast<char>(message.type);
  out += static_cast<char>(message.flags);
  out += first;
  if (rest.empty()) return out;
  put(out, static_cast<std::uint32_t>(message.channel));
  put(out, static_cast<std::uint32_t>(rest.size()));
  out += rest;
  return out;
}

void FrameReader::feed(std::string_view bytes) {
  input_.erase(0, std::exchange(at_, 0));
  input_ += bytes;
}

Result<std::optional<Message>> FrameReader::next() {
  for (;;) {
    if (failed_) return std::unexpected(*failed_);
    for (Channel channel : {Channel::kPlugin, Channel::kRuntime}) {
      auto message = take(channel);
      if (!message) failed_ = message.error();
      if (!message || *message) return message;
    }
    if (left_ == 0) {
      if (input_.size() - at_ < kFrameHeaderBytes) return std::nullopt;
      if (auto read = read_header(); !read) failed_ = std::move(read.error());
      continue;
    }
    std::string_view bytes = std::string_view(input_).substr(at_, left_);
    if (bytes.empty()) return std::nullopt;
    if (is_known(connection_)) begun_[connection_ - 1] += bytes;
    at_ += bytes.size();
    left_ -= bytes.size();
  }
}

Status FrameReader::read_header() {
  std::string_view header = std::string_view(input_).substr(at_);
  connection_ = get(header);
  left_ = get(header.substr(4));
  at_ += kFrameHeaderBytes;
  if (left_ <= kMessageHeaderBytes + kMaxMessageBytes) return {};
  return invalid_argument(
      cat("a frame of ", left_, " bytes: at most ", kMessageHeaderBytes + kMaxMessageBytes, " were expected"));
}

Result<std::optional<Message>> FrameReader::take(Channel channel) {
  std::string& bytes = begun_[static_cast<std::size_t>(channel) - 1];
  if (bytes.size() < kMessageHeaderBytes) return std::nullopt;
  std::size_t size = get(bytes);
  if (size > kMaxMessageBytes) {
    return invalid_argument(cat("a message of ", size, " bytes: at most ", kMaxMessageBytes, " were expected"));
  }
  auto type = static_cast<std::uint8_t>(bytes[8]);
  if (type < static_cast<std::uint8_t>(MessageType::kRequest) || type > static_cast<std::uint8_t>(MessageType::kData)) {
    return invalid_argument(cat("a message of type ", type, ": 1, 2 or 3 was expected"));
  }
  if (bytes.size() < kMessageHeaderBytes + size) return std::nullopt;
  Message message{.channel = channel,
                  .type = static_cast<MessageType>(type),
                  .stream = get(std::string_view(bytes).substr(4)),
                  .flags = static_cast<std::uint8_t>(bytes[9]),
                  .data = bytes.substr(kMessageHeaderBytes, size)};
  bytes.erase(0, kMessageHeaderBytes + size);
  return message;
}

}  // namespace gantry::nri
