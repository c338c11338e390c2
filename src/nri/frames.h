// SPDX-License-Identifier: Apache-2.0
// The bytes between a runtime and a plugin of the Node Resource Interface: frames of NRI's multiplexer, which carries
// two connections over one socket, and in each connection messages of ttrpc, containerd's lightweight gRPC. Pure.
//
//   frame     connection id (32 bits, big endian), size (32), bytes; a message may be cut into frames at any place
//   message   size (32), stream (32), type (8), flags (8), data
//
// Sizes are the interface's: data of at most 4 MiB.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::nri {

inline constexpr std::size_t kMaxMessageBytes = 4U << 20;
inline constexpr std::size_t kFrameHeaderBytes = 8, kMessageHeaderBytes = 10;

enum class Channel : std::uint32_t {
  kPlugin = 1,   // the plugin serves
  kRuntime = 2,  // the runtime serves
};
enum class MessageType : std::uint8_t { kRequest = 1, kResponse = 2, kData = 3 };

struct Message {
  Channel channel = Channel::kPlugin;
  MessageType type = MessageType::kRequest;
  std::uint32_t stream = 0;  // odd
  std::uint8_t flags = 0;
  std::string data;
};

// As the bytes of one frame, or of two: plugins in Go take a frame of more than 4096 bytes only where the rest of a
// message is expected. `data` is at most kMaxMessageBytes.
std::string encode(const Message& message);

// Reads what the peer sends, in pieces of any size. Holds one unfinished message of each connection at most, and what
// was fed last: the caller takes all messages before it feeds more.
class FrameReader {
 public:
  void feed(std::string_view bytes);
  // Nothing: more bytes are needed. An error (kInvalidArgument) is final, for nothing tells where the next frame
  // begins. Frames of connections other than the two are passed over.
  Result<std::optional<Message>> next();

 private:
  Result<std::optional<Message>> take(Channel channel);
  Status read_header();

  std::string input_;
  std::size_t at_ = 0;                // in it
  std::uint32_t connection_ = 0;      // whose frame this is
  std::size_t left_ = 0;              // of the frame
  std::array<std::string, 2> begun_;  // of each connection, what has come of a message
  std::optional<Error> failed_;
};

}  // namespace gantry::nri
