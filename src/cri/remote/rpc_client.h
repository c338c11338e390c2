// SPDX-License-Identifier: Apache-2.0
// Calls of a gRPC server on a unix socket: HTTP/2 (nghttp2) without TLS and without compression, any number of calls
// side by side on one connection. It is made with the first call, and anew with the next one after it has ended; calls
// that were under way then fail with kUnavailable, and nobody knows whether they were carried out.
//
// Loop thread. The server is trusted as far as it is this node's runtime: what it sends is bounded all the same.
// Source: grpc's PROTOCOL-HTTP2.md; RFC 9113.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry::cri {

// The most bytes of an answer's message, as CRI's clients have it.
inline constexpr std::size_t kMaxAnswerBytes = 16U << 20;

class RpcClient {
 public:
  // An absolute path.
  RpcClient(Loop& loop, std::string socket);
  // Ends the calls under way with kCancelled.
  ~RpcClient();
  RpcClient(const RpcClient&) = delete;
  RpcClient& operator=(const RpcClient&) = delete;

  struct Terms {
    std::optional<Duration> limit;  // nothing: as long as it takes
    std::shared_ptr<Event> over;    // set when nobody waits for the answer any more; the call is then cancelled
  };
  // `path` is "/runtime.v1.RuntimeService/Version", `message` a serialized request; returns the serialized answer, or
  // the server's error with its code.
  Task<Result<std::string>> call(std::string path, std::string message, Terms terms);
  // The same with an answer that comes over time, until `take` says false (kCancelled), or the server ends it.
  using Take = std::function<bool(std::string message)>;
  Task<Status> follow(std::string path, std::string message, Take take, std::shared_ptr<Event> over);

 private:
  struct Call;
  struct Connection;

  Result<std::shared_ptr<Connection>> connect();
  Task<Status> run(std::string path, std::string message, Take take, Terms terms);
  static Task<> cancel_when(std::shared_ptr<Event> over, std::weak_ptr<Connection> connection, std::int32_t id,
                            std::weak_ptr<Call> call);
  static Status outcome(const Call& call);

  Loop& loop_;
  const std::string socket_;
  std::shared_ptr<Connection> connection_;
};

}  // namespace gantry::cri
