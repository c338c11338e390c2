// SPDX-License-Identifier: Apache-2.0
// A connection as bytes in two directions: what HTTP is read from and what an upgraded protocol (SPDY, WebSocket) takes
// over: a socket, plain (here) or with TLS on it (tls.h). Loop thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry::http {

class ByteStream {
 public:
  virtual ~ByteStream() = default;

  // Waits for at least one byte and reads what fits; 0 is the end. One reader at a time. `buffer` must live until then.
  virtual Task<Result<std::size_t>> read(std::span<char> buffer) = 0;
  // Writes all of it, waiting for the peer as long as it takes. One writer at a time. `bytes` must live until then.
  virtual Task<Status> write(std::string_view bytes) = 0;
  // Nothing more will be written: the peer reads its end.
  virtual void finish_writing() = 0;
  // Bytes that were read too far; the next read() gives them first.
  virtual void unread(std::string bytes) = 0;
  // Closes itself when for `limit` no byte was read or written. Zero: never.
  virtual void set_idle_limit(Duration limit) = 0;
  // Ends both directions now; who waits in read() or write() gets kCancelled. May be called twice.
  virtual void close() = 0;
};

// Over a connected stream socket, TCP or unix.
std::unique_ptr<ByteStream> make_socket_stream(Loop& loop, SocketFd socket);

// A graceful end: finishes writing, then reads and drops what still comes until the peer closes or `limit` passes, then
// closes. Without it the kernel answers what was sent and not read with a reset, which takes the last bytes written
// from the peer.
Task<> close_gently(Loop& loop, ByteStream& stream, Duration limit);

}  // namespace gantry::http
