// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 client of one server, over TCP, plain or with TLS: whole answers, answers that are read as they come
// (watches, logs), and upgrades. Connections are kept for the next request; one that the server has closed meanwhile is
// not used. Nothing is sent twice, but for a request that only reads, when a kept connection ends without an answer.
// Loop thread; what it handed out may outlive it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "http/byte_stream.h"
#include "http/message.h"
#include "http/tls.h"

namespace gantry::http {

struct ClientOptions {
  std::string host;  // a name or a numeric address, IPv6 without brackets
  std::uint16_t port = 0;
  std::shared_ptr<TlsClient> tls;  // null: plain
  std::string server_name;         // that the server's certificate must have; empty: `host`
  std::string server_user;         // the common name that it must have as well; empty: any
  // For a connection with its handshake; for an answer's headers, and of a whole answer for all of it.
  Duration connect_time = std::chrono::seconds(10);
  Duration response_time = std::chrono::seconds(60);
  // How long an unused connection is kept, and how many.
  Duration keep_time = std::chrono::seconds(30);
  std::size_t max_kept = 8;
  std::size_t max_header_bytes = 64 << 10;
  std::size_t max_body_bytes = 256 << 20;  // of a whole answer
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  // path and query, escaped
  HeaderList headers;        // Content-Length is added, and Host when it is not there
  std::string body;
};

// The rest of an answer. Destroying it before its end closes the connection.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // Waits for the next bytes; "" is the end. kUnavailable when it broke off before that. What is not read is not asked
  // for either: a slow reader makes the server wait.
  virtual Task<Result<std::string>> read() = 0;
  // Ends it; who waits in read() gets kCancelled.
  virtual void close() = 0;
};

struct StreamedResponse {
  int status = 0;
  HeaderList headers;
  std::unique_ptr<BodyReader> body;
};

struct UpgradedResponse {
  Response response;                   // 101, or why not, with a body of at most 64 KiB
  std::unique_ptr<ByteStream> stream;  // null when it is not 101
};

class Client {
 public:
  Client(Loop& loop, ClientOptions options);
  // Closes the connections that are kept.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Any status is an answer; an error is that there was none. kUnavailable: the server was not reached, or broke off;
  // kDeadlineExceeded: it took too long; kResourceExhausted: the answer is larger than the options allow.
  Task<Result<Response>> send(ClientRequest request);
  Task<Result<StreamedResponse>> open(ClientRequest request);
  // The request brings the headers that ask for it (Connection, Upgrade).
  Task<Result<UpgradedResponse>> upgrade(ClientRequest request);

  // What is sent from now on goes over new connections, as when TlsClient was replaced: those that are kept are closed,
  // those in use end with what they are used for.
  void forget_kept();

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::http
