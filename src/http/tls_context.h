// SPDX-License-Identifier: Apache-2.0
// The inside of TlsServer and TlsClient (tls.h), for their streams.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "http/openssl.h"
#include "http/tls.h"

namespace gantry::http {

// One configuration, unchanged once it is made: connections keep theirs.
struct TlsContext {
  OwnBioMethod socket;
  std::shared_ptr<SSL_CTX> ssl;
};

// How OpenSSL reads and writes beneath a TlsStream (tls_stream.cc); null when out of memory.
OwnBioMethod make_socket_method();

// The configuration for the next connection. Any thread.
class TlsContextSlot {
 public:
  TlsContextSlot(std::shared_ptr<const TlsContext> first) : context_(std::move(first)) {}
  std::shared_ptr<const TlsContext> get() const {
    std::lock_guard lock(mutex_);
    return context_;
  }
  void set(std::shared_ptr<const TlsContext> next) {
    std::lock_guard lock(mutex_);
    std::swap(context_, next);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsContext> context_;
};

struct TlsServer::Impl {
  TlsContextSlot slot;
};
struct TlsClient::Impl {
  TlsContextSlot slot;
};

// Subject, serial number and bytes.
ClientCertificate read_client_certificate(X509& certificate);

}  // namespace gantry::http
