// SPDX-License-Identifier: Apache-2.0
// TLS 1.2 and 1.3 (OpenSSL) on connected sockets, as a server or a client. What a side has to show and whom it trusts
// is a TlsServer or TlsClient: made of PEM texts, replaced while it is in use, good for any number of connections on
// any thread. Neither asks for passwords of keys, resumes sessions, renegotiates or compresses; a connection that
// nothing is written to or read from has no buffers.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "http/byte_stream.h"
#include "http/message.h"

namespace gantry::http {

// What a server speaks. TLS 1.3 has a few ciphers, all good, which nobody chooses.
struct TlsRules {
  bool only_tls13 = false;
  // By OpenSSL's names, with colons between them; "": what has forward secrecy and authenticated encryption.
  std::string tls12_ciphers = {};
  std::string groups = {};  // of the key exchange; "": OpenSSL's choice
  bool operator==(const TlsRules&) const = default;
};

struct TlsServerOptions {
  std::string certificate_pem;  // its own first, then those between it and its CA
  std::string key_pem;
  // Clients are asked for a certificate that one of these has signed; they may come without one, or with another: then
  // Peer has none. Empty: they are not asked.
  std::string client_ca_pem;
  // Offered beside http/1.1 (ALPN).
  bool http2 = true;
  TlsRules rules = {};
};

class TlsServer {
 public:
  static Result<std::shared_ptr<TlsServer>> make(const TlsServerOptions& options);
  ~TlsServer();
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  // Any thread. For connections that come from now on; on an error all stays as it was.
  Status replace(const TlsServerOptions& options);

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit TlsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct TlsClientOptions {
  std::string ca_pem;           // whom it trusts; empty: whom this machine trusts
  std::string certificate_pem;  // shown when the server asks; empty: none
  std::string key_pem;
  bool verify = true;  // false: whoever answers is taken for the server
  bool http2 = false;
  bool operator==(const TlsClientOptions&) const = default;
};

class TlsClient {
 public:
  static Result<std::shared_ptr<TlsClient>> make(const TlsClientOptions& options);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // As TlsServer::replace.
  Status replace(const TlsClientOptions& options);

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit TlsClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// What a handshake yields.
struct TlsSession {
  std::string protocol;  // that ALPN chose: "h2", "http/1.1"; "" when there was none
  // A server's view of its client, as in Peer; and of a client that verifies its server, that one's certificate.
  std::shared_ptr<const ClientCertificate> certificate;
  std::string certificate_error;
  // A client's that does not verify its server: the certificates that it was shown, the server's own first. Nobody has
  // vouched for any of them.
  std::string shown_pem;
};

class TlsStream : public ByteStream {
 public:
  // First of all, and once. Fails when it takes longer than `limit`; the stream is closed then, as after any failure.
  virtual Task<Result<TlsSession>> handshake(Duration limit) = 0;
};

std::unique_ptr<TlsStream> make_tls_stream(Loop& loop, SocketFd socket, TlsServer& server);
// `server_name` is the host's name or numeric address that the server's certificate must have.
std::unique_ptr<TlsStream> make_tls_stream(Loop& loop, SocketFd socket, TlsClient& client,
                                           std::string_view server_name);

}  // namespace gantry::http
