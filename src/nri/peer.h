// SPDX-License-Identifier: Apache-2.0
// One plugin's connection: calls in both directions, over frames.h. It ends when the plugin closes it, sends what is no
// ttrpc, or takes so little of what it is sent that too much waits for it. Loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "nri/frames.h"

namespace gantry::http {
class ByteStream;
}

namespace gantry::nri {

class Peer : public std::enable_shared_from_this<Peer> {
 public:
  // A call of the plugin's: the bytes of its answer, or an error, which it is told.
  using Serve = std::function<Task<Result<std::string>>(std::string service, std::string method, std::string payload)>;
  // Once, by post, when it has ended.
  using Ended = std::move_only_function<void()>;

  static std::shared_ptr<Peer> open(Loop& loop, SocketFd socket, Serve serve, Ended ended);
  ~Peer();

  // What a call comes to. The outer error is the plugin's failure to answer: kDeadlineExceeded after `limit`,
  // kUnavailable when the connection ended, kDataLoss when the answer can't be read. The inner one is its answer.
  using Answer = Result<std::string>;
  Task<Result<Answer>> call(std::string service, std::string method, std::string payload, Duration limit);

  // Ends it; the first reason stays.
  void close(Error reason);
  bool is_closed() const { return static_cast<bool>(reason_); }
  // Why it ended. Preconditions: is_closed().
  const Error& reason() const { return *reason_; }

 private:
  struct Call;
  Peer(Loop& loop, SocketFd socket, Serve serve, Ended ended);
  void send(Message message);
  void receive(Message message);
  void serve(Message message);
  static Task<> read(std::shared_ptr<Peer> self);
  static Task<> write(std::shared_ptr<Peer> self);
  static Task<> answer(std::shared_ptr<Peer> self, std::uint32_t stream, Task<Result<std::string>> result);

  Loop& loop_;
  std::unique_ptr<http::ByteStream> stream_;
  Serve serve_;
  Ended ended_;
  FrameReader reader_;
  std::string out_;  // waits for the writer
  Event has_out_;
  std::map<std::uint32_t, std::shared_ptr<Call>> calls_;
  std::uint32_t next_stream_ = 1;
  unsigned serving_ = 0;
  std::optional<Error> reason_;
};

}  // namespace gantry::nri
