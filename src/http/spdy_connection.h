// SPDX-License-Identifier: Apache-2.0
// A SPDY/3.1 server connection for coroutines: streams that the peer opens are accepted, read, written and finished by
// their number. It owns the bytes' stream. Memory is bounded: it stops reading the connection while more than kMaxInput
// bytes wait for their reader (so one unread stream holds up the others, as TCP below would), and write() waits while
// more than kMaxOutput bytes wait for the peer. While it does not read it asks with PING whether the peer is still
// there. Loop thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "http/byte_stream.h"
#include "http/spdy_session.h"

namespace gantry::http::spdy {

class Connection {
 public:
  static constexpr std::size_t kMaxInput = 96 << 10;
  static constexpr std::size_t kMaxOutput = 64 << 10;

  Connection(Loop& loop, std::unique_ptr<ByteStream> stream, SessionLimits limits = {});
  // Closes at once; who waits in a call gets kCancelled.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The next stream that the peer opens, already replied to. kDeadlineExceeded when there was none within `limit`.
  Task<Result<StreamOpened>> accept(Duration limit);
  // Waits for bytes of the stream; 0 when the peer finished it. kCancelled when it was reset, or the connection ended.
  Task<Result<std::size_t>> read(StreamId id, std::span<char> buffer);
  // Waits until all is under way, not until it arrived. Errors as read(). `bytes` must live until then.
  Task<Status> write(StreamId id, std::string_view bytes);
  // Nothing more will be written on the stream.
  void finish(StreamId id);
  void reset(StreamId id, RstStatus status);

  // The graceful end: what was written is sent, then GOAWAY, then the connection closes when the peer did, or after
  // `limit`. Bytes that still come are dropped.
  Task<> shut_down(Duration limit);
  // Returns when the connection has ended, whoever ended it.
  Task<> ended();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gantry::http::spdy
