// SPDX-License-Identifier: Apache-2.0
// The streams of Kubernetes' remotecommand protocol over one client connection, whatever carries them: SPDY or
// WebSocket. Loop thread. Memory is bounded by the carrier: write() waits for a slow client, and a client whose bytes
// are not read is itself not read from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "http/byte_stream.h"

namespace gantry::cri {

struct ExecStreamSet;

// The numbers are those of the WebSocket protocols.
enum class Channel : std::uint8_t { kIn = 0, kOut = 1, kErr = 2, kError = 3, kResize = 4 };
inline constexpr std::size_t kChannels = 5;

class Channels {
 public:
  virtual ~Channels() = default;

  // Waits for bytes from the client; 0 when it finished this stream. kCancelled when there is no such stream or the
  // client is gone. One reader a channel.
  virtual Task<Result<std::size_t>> read(Channel channel, std::span<char> buffer) = 0;
  // Waits until all is under way. One writer a channel; nothing for one that the client did not open.
  virtual Task<Status> write(Channel channel, std::string_view bytes) = 0;
  // We will write no more on it.
  virtual void finish(Channel channel) = 0;
  // Returns when the client is gone, or shut_down() is done.
  virtual Task<> ended() = 0;
  // What was written is delivered, then the connection ends; at the latest after `limit`.
  virtual Task<> shut_down(Duration limit) = 0;
};

// Speaks SPDY/3.1 on an upgraded connection and waits until the client opened the error stream and those of `wanted`
// (with `resize`, the resize stream too). kDeadlineExceeded after `limit`.
Task<Result<std::shared_ptr<Channels>>> accept_spdy_channels(Loop& loop, std::unique_ptr<http::ByteStream> stream,
                                                             ExecStreamSet wanted, bool resize, Duration limit);

// Speaks WebSocket on a connection whose handshake is done. With `has_close_signal` (protocol version 5) the client can
// finish its input.
std::shared_ptr<Channels> make_websocket_channels(Loop& loop, std::unique_ptr<http::ByteStream> stream,
                                                  ExecStreamSet wanted, bool has_close_signal);

}  // namespace gantry::cri
