// SPDX-License-Identifier: Apache-2.0
// A small HTTP/1.1 server on sockets that somebody else opened (listen.h): TCP or unix. Requests are parsed by Beast
// and given whole to one handler, which answers, or upgrades: then the connection is its own, as bytes. Keep-alive, no
// pipelining ahead of the answer. Sizes and times are bounded by Limits: a request that is too large is answered 413 or
// 431, one that takes too long ends with its connection. Loop thread.
//
// A handler may still run when its Server is destroyed: it must own what it uses.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "http/byte_stream.h"

namespace gantry::http {

// Names as they were sent; compared without case.
using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;  // "GET"
  std::string target;  // as sent: "/exec/abc?tty=1"
  HeaderList headers;
  std::string body;

  // The target up to '?'.
  std::string_view path() const;
  // The first header of that name; "" when there is none.
  std::string_view header(std::string_view name) const;
  // All headers of that name, split at commas, spaces trimmed, empty ones left out.
  std::vector<std::string_view> values(std::string_view name) const;
  // One of values() equals `value` without case: has_value("Connection", "upgrade").
  bool has_value(std::string_view name, std::string_view value) const;
};

struct Response {
  int status = 200;
  // Content-Length, Date and Connection are added by the server (Connection not to an upgrade).
  HeaderList headers;
  std::string body;
};

// A response of one line of text.
Response text_response(int status, std::string_view text);

struct Reply {
  Response response;
  // When set, `response` (101 and its headers) is sent, and then the connection belongs to this.
  std::move_only_function<Task<>(std::unique_ptr<ByteStream>)> upgrade;
};

using Handler = std::function<Task<Reply>(Request)>;

struct Limits {
  std::size_t max_header_bytes = 32 << 10;
  std::size_t max_body_bytes = 1 << 20;
  std::size_t max_connections = 256;
  // From the first byte of a request to its last; from one request to the next; for a response to be taken by the
  // client.
  Duration request_time = std::chrono::seconds(30);
  Duration keep_alive_time = std::chrono::seconds(60);
  Duration response_time = std::chrono::seconds(60);
};

class Server {
 public:
  Server(Loop& loop, Handler handler, Limits limits = {});
  // Stops listening and closes all connections, upgraded ones too.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Serves a listening, non-blocking socket until the Server ends. May be called for several.
  void serve(SocketFd listener);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::http
