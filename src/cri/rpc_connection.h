// SPDX-License-Identifier: Apache-2.0
// One client's connection: gRPC over HTTP/2 (nghttp2), calls of one request, without TLS and without compression.
// gRPC's own server is not used because its timer threads wake several times a second for as long as it lives, and the
// daemon is to cost nothing when nothing is asked of it.
//
// A request is taken in whole, up to kMaxMessageBytes, before the handler is called; the answer, of one message or of
// several, goes out as the client's flow control lets it. A call is told when nobody waits for its answer any more;
// most don't listen, and what they began comes to its end. Loop thread. Source: grpc's PROTOCOL-HTTP2.md; RFC 9113.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry::cri {

// The most bytes of a message in either direction, as CRI's clients have it.
inline constexpr std::size_t kMaxMessageBytes = 16U << 20;
// Calls of one connection at once, and the bytes of one call's headers.
inline constexpr std::uint32_t kMaxCalls = 1000;
inline constexpr std::size_t kMaxHeaderBytes = 16U << 10;
// What may wait for the reader of an answer that comes over time, beside one message.
inline constexpr std::size_t kMaxUnsentBytes = 4U << 20;

// A call, as its handler sees it.
class RpcCall {
 public:
  virtual ~RpcCall() = default;
  // Set when the call is over for its client: answered, cancelled, out of time (grpc-timeout), or with its connection
  // gone. A handler that waits for it may set it too.
  virtual const std::shared_ptr<Event>& over() const = 0;
  // For an answer that comes over time: tells the client that it begins. The handler's result is its end.
  virtual void begin() = 0;
  // After begin(). False, and nothing is sent: kMaxUnsentBytes wait for the client already, or the call is over.
  virtual bool send(std::string message) = 0;
};

class RpcConnection {
 public:
  using Messages = std::vector<std::string>;
  // `path` is "/runtime.v1.RuntimeService/Version", `request` a serialized message; returns the serialized answer.
  using Handler =
      std::function<Task<Result<Messages>>(std::string path, std::string request, std::shared_ptr<RpcCall> call)>;

  // Serves until either side ends it; then calls `closed`, by post.
  static Result<std::shared_ptr<RpcConnection>> open(Loop& loop, SocketFd socket, Handler handler,
                                                     std::function<void()> closed);
  // Answers the calls under way with UNAVAILABLE, says GOAWAY, and closes when that is sent, or after a second.
  void stop();

  struct Impl;
  explicit RpcConnection(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  ~RpcConnection();

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::cri
