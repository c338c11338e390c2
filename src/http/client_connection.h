// SPDX-License-Identifier: Apache-2.0
// One connection of a Client (client.h), for one request after the other. Loop thread.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "base/loop.h"
#include "http/client.h"

namespace gantry::http {

class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  static Task<Result<std::shared_ptr<ClientConnection>>> open(Loop& loop, const ClientOptions& options);
  ClientConnection(Loop& loop, std::unique_ptr<ByteStream> stream, const ClientOptions& options);
  ~ClientConnection();

  // Writes a request and reads the head of its answer, which comes without a body.
  Task<Result<Response>> ask(const ClientRequest& request);
  // After ask(), until "".
  Task<Result<std::string>> read_body();
  // The answer was read to its end, and another request may come.
  bool is_reusable() const;
  // Nothing of an answer came, and the server is gone.
  bool is_unanswered() const;
  // After 101: the connection's bytes.
  std::unique_ptr<ByteStream> take_stream();

  // Between requests: `gone` is called, once, when the server closes the connection or `limit` passes.
  void rest(Duration limit, std::function<void()> gone);
  void wake();
  void close();

 private:
  struct Answer;
  Task<Status> read_more();
  Task<Result<Response>> exchange(const ClientRequest& request);
  Task<Result<Response>> read_head(bool has_no_body);
  static Task<> watch(std::shared_ptr<ClientConnection> self);

  Loop& loop_;
  std::unique_ptr<ByteStream> stream_;
  const std::string host_;
  const Duration response_time_;
  const std::size_t max_header_bytes_;
  std::unique_ptr<Answer> answer_;
  std::unique_ptr<char[]> room_;
  std::string pending_;     // read and not parsed
  bool got_bytes_ = false;  // of the answer
  bool late_ = false;
  // The read that goes on between requests: the next answer's first bytes come by it.
  bool reading_ = false;
  bool ended_ = false;
  Event read_over_;
  std::array<char, 256> early_;
  std::function<void()> gone_;
};

}  // namespace gantry::http
