// SPDX-License-Identifier: Apache-2.0
// An HTTP server on sockets that somebody else opened (listen.h): TCP or unix. Each request is given whole to one
// handler (message.h), which answers, at once or over time, or upgrades: then the connection is its own, as bytes.
// HTTP/1.1 is parsed by Beast: keep-alive, no pipelining ahead of the answer. With TLS clients may choose HTTP/2 (by
// nghttp2): 250 requests of a connection at once. Sizes and times are bounded by Limits: a request that is too large is
// answered 413 or 431, one that takes too long ends with its connection (HTTP/2: with its stream).
//
// A Server belongs to one Loop, and a connection stays on it. To serve one port with several threads make a Loop and a
// Server for each, and give each a duplicate of the listening socket (OwnFd::duplicate): the kernel wakes all and the
// first takes the connection. Loop thread.
//
// A handler may still run when its Server is destroyed: it must own what it uses.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "http/message.h"

namespace gantry::http {

struct Limits {
  std::size_t max_header_bytes = 32 << 10;
  std::size_t max_body_bytes = 1 << 20;
  // For one more a connection on which nothing is answered goes, of the address that has the most of them. When that is
  // nobody's second, or all are at work, the new one is answered 503 (with TLS: closed).
  std::size_t max_connections = 256;
  // Of bodies that are still being received, all connections together; a request beyond that is answered 503.
  std::size_t max_unfinished_bytes = 64 << 20;
  // A whole answer with a body of more than this is compressed for clients that accept gzip; 0: none is.
  std::size_t gzip_bytes = 128 << 10;
  // From the first byte of a request to its last; from one request to the next; for a response, or one write of an
  // answer that comes over time, to be taken by the client.
  Duration request_time = std::chrono::seconds(30);
  Duration keep_alive_time = std::chrono::seconds(60);
  Duration response_time = std::chrono::seconds(60);
  // For all of a TLS handshake.
  Duration handshake_time = std::chrono::seconds(10);
};

class TlsServer;

class Server {
 public:
  Server(Loop& loop, Handler handler, Limits limits = {});
  // Stops listening and closes all connections, upgraded ones too.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Serves a listening, non-blocking socket until the Server ends, with TLS when `tls` is given (tls.h). May be called
  // for several.
  void serve(SocketFd listener, std::shared_ptr<TlsServer> tls = nullptr);
  // Stops listening, tells clients to go (HTTP/2: GOAWAY) and answers over time to end. Returns when all has, or after
  // `limit`; upgraded connections are neither told nor waited for.
  Task<> drain(Duration limit);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::http
