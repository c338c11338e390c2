// SPDX-License-Identifier: Apache-2.0
// TLS on a socket. OpenSSL reads from the socket itself and writes into a string, which is sent from here: so a reader
// and a writer, both of whom may have to send, don't meet, and many small records leave together.

#include <openssl/pem.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "http/socket_state.h"
#include "http/tls_context.h"

namespace gantry::http {
namespace {

constexpr std::size_t kRecordBytes = 16U << 10;
constexpr std::size_t kSendBytes = 64U << 10;

struct TlsState : SocketState {
  TlsState(Loop& loop, SocketFd s, std::shared_ptr<const TlsContext> c)
      : SocketState(loop, std::move(s)), context(std::move(c)), sent(loop) {}

  std::shared_ptr<const TlsContext> context;
  OwnSsl ssl;
  std::string setup_error;  // why there is no `ssl`
  std::string server_name;  // a client's
  bool at_end = false;      // of what the socket gives
  std::string out;          // records that nobody sends yet
  bool sending = false;
  Event sent;  // set when nobody is sending
};

// ---- the BIO beneath OpenSSL

TlsState& state_of(BIO* bio) { return *static_cast<TlsState*>(BIO_get_data(bio)); }

int bio_write(BIO* bio, const char* bytes, int size) {
  state_of(bio).out.append(bytes, static_cast<std::size_t>(size));
  return size;
}

int bio_read(BIO* bio, char* buffer, int size) {
  TlsState& state = state_of(bio);
  BIO_clear_retry_flags(bio);
  ssize_t count;
  int error;
  do {
    count = ::recv(state.socket.get(), buffer, static_cast<std::size_t>(size), MSG_DONTWAIT);
    error = errno;
  } while (count < 0 && error == EINTR);
  if (count < 0 && error == EAGAIN) BIO_set_retry_read(bio);
  if (count == 0) state.at_end = true;
  return static_cast<int>(count);
}

long bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  return command == BIO_CTRL_EOF && state_of(bio).at_end ? 1 : 0;
}

int bio_create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

bool set_up(TlsState& state) {
  OwnSsl ssl(SSL_new(state.context->ssl.get()));
  BIO* bio = ssl ? BIO_new(state.context->socket.get()) : nullptr;
  if (bio == nullptr) return false;
  BIO_set_data(bio, &state);
  SSL_set_bio(ssl.get(), bio, bio);
  state.ssl = std::move(ssl);
  return true;
}

// ---- bytes

Task<Status> send_whole(std::shared_ptr<TlsState> self, std::string_view bytes) {
  while (!bytes.empty()) {
    if (self->is_closed) co_return connection_closed();
    ssize_t size = ::send(self->socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    int error = errno;
    if (size >= 0) {
      self->touch();
      bytes.remove_prefix(static_cast<std::size_t>(size));
      continue;
    }
    if (error == EINTR) continue;
    if (error != EAGAIN) co_return std::unexpected(Error::from_errno(error, "send"));
    auto ready = co_await self->watch.writable();
    if (!ready) co_return std::unexpected(std::move(ready.error()));
  }
  co_return Status();
}

// Sends all that is in `out`; when somebody does so already, waits for that.
Task<Status> flush(std::shared_ptr<TlsState> self) {
  while (self->sending) co_await self->sent.wait();
  Status result;
  while (result && !self->out.empty()) {
    self->sending = true;
    self->sent.reset();
    std::string bytes = std::exchange(self->out, {});
    result = co_await send_whole(self, bytes);
  }
  if (std::exchange(self->sending, false)) self->sent.set();
  if (result && self->is_closed) co_return connection_closed();
  co_return result;
}

// After a call of OpenSSL's that returned `code`: nothing when it is to be called again.
Task<Status> wait_after(std::shared_ptr<TlsState> self, int code, std::string_view what) {
  int kind = SSL_get_error(self->ssl.get(), code);
  int error = errno;
  if (kind == SSL_ERROR_WANT_READ) {
    ERR_clear_error();
    if (!self->out.empty()) {
      if (auto flushed = co_await flush(self); !flushed) co_return flushed;
    }
    if (self->is_closed) co_return connection_closed();
    co_return co_await self->watch.readable();
  }
  if (kind == SSL_ERROR_SYSCALL && ERR_peek_error() == 0) {
    if (self->at_end || error == 0) co_return fail(Code::kUnavailable, cat(what, ": the peer closed the connection"));
    co_return std::unexpected(Error::from_errno(error, what));
  }
  co_return openssl_failed(Code::kUnavailable, what);
}

Task<Result<std::size_t>> read_some(std::shared_ptr<TlsState> self, std::span<char> buffer) {
  if (std::size_t size = self->take_ahead(buffer); size > 0) co_return size;
  for (;;) {
    if (self->is_closed) co_return connection_closed();
    ERR_clear_error();
    std::size_t size = 0;
    int code = SSL_read_ex(self->ssl.get(), buffer.data(), buffer.size(), &size);
    if (code == 1) {
      self->touch();
      co_return size;
    }
    if (SSL_get_error(self->ssl.get(), code) == SSL_ERROR_ZERO_RETURN) co_return std::size_t{0};
    auto ready = co_await wait_after(self, code, "TLS read");
    if (!ready) co_return std::unexpected(std::move(ready.error()));
  }
}

Task<Status> write_whole(std::shared_ptr<TlsState> self, std::string_view bytes) {
  while (!bytes.empty()) {
    if (self->is_closed) co_return connection_closed();
    ERR_clear_error();
    std::size_t size = 0;
    int code = SSL_write_ex(self->ssl.get(), bytes.data(), std::min(bytes.size(), kRecordBytes), &size);
    if (code != 1) {
      auto ready = co_await wait_after(self, code, "TLS write");
      if (!ready) co_return ready;
      continue;
    }
    bytes.remove_prefix(size);
    if (!bytes.empty() && self->out.size() < kSendBytes) continue;
    if (auto sent = co_await flush(self); !sent) co_return sent;
  }
  co_return Status();
}

Task<> say_goodbye(std::shared_ptr<TlsState> self) {
  ERR_clear_error();
  (void)SSL_shutdown(self->ssl.get());
  ERR_clear_error();
  (void)co_await flush(self);
  if (!self->is_closed) ::shutdown(self->socket.get(), SHUT_WR);
}

// ---- the handshake

// What a peer is told that speaks plain HTTP.
constexpr std::string_view kPlainHttp =
    "HTTP/1.0 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n"
    "Client sent an HTTP request to an HTTPS server.\n";

bool is_plain_http() {
  unsigned long error = ERR_peek_error();
  return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_HTTP_REQUEST;
}

std::string shown_by(SSL* ssl) {
  OwnBio out(BIO_new(BIO_s_mem()));
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i)
    PEM_write_bio_X509(out.get(), sk_X509_value(chain, i));
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

TlsSession session_of(SSL* ssl) {
  TlsSession session;
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl, &protocol, &size);
  session.protocol.assign(reinterpret_cast<const char*>(protocol), size);
  if (!SSL_is_server(ssl) && SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) session.shown_pem = shown_by(ssl);
  const bool is_asked = SSL_is_server(ssl) || SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
  X509* certificate = is_asked ? SSL_get0_peer_certificate(ssl) : nullptr;
  if (certificate == nullptr) return session;
  long verified = SSL_get_verify_result(ssl);
  if (verified == X509_V_OK) {
    session.certificate = std::make_shared<ClientCertificate>(read_client_certificate(*certificate));
  } else {
    session.certificate_error = X509_verify_cert_error_string(verified);
  }
  return session;
}

Task<Result<TlsSession>> shake_hands(std::shared_ptr<TlsState> self) {
  if (!self->ssl) co_return fail(Code::kInternal, cat("TLS: ", self->setup_error));
  for (;;) {
    ERR_clear_error();
    int code = SSL_do_handshake(self->ssl.get());
    if (code == 1) break;
    if (is_plain_http()) self->out = kPlainHttp;
    std::string reason;
    if (long verified = SSL_get_verify_result(self->ssl.get());
        !SSL_is_server(self->ssl.get()) && verified != X509_V_OK) {
      reason = cat(" (", X509_verify_cert_error_string(verified), ")");
    }
    auto ready = co_await wait_after(self, code, "TLS handshake");
    if (ready) continue;
    (void)co_await flush(self);  // it may be an alert that tells the peer why
    co_return fail(ready.error().code(), ready.error().message() + reason);
  }
  if (auto sent = co_await flush(self); !sent) co_return std::unexpected(std::move(sent.error()));
  co_return session_of(self->ssl.get());
}

class TlsSocketStream final : public TlsStream {
 public:
  TlsSocketStream(Loop& loop, std::shared_ptr<TlsState> state) : loop_(loop), state_(std::move(state)) {}
  ~TlsSocketStream() override { state_->close(); }

  Task<Result<TlsSession>> handshake(Duration limit) override {
    auto state = state_;
    Timer late(loop_);
    bool is_late = false;
    late.start(limit, [state, &is_late] {
      is_late = true;
      state->close();
    });
    auto session = co_await shake_hands(state);
    if (session) co_return session;
    state->close();
    if (is_late) co_return fail(Code::kDeadlineExceeded, "TLS handshake: it took too long");
    co_return session;
  }
  Task<Result<std::size_t>> read(std::span<char> buffer) override { return read_some(state_, buffer); }
  Task<Status> write(std::string_view bytes) override { return write_whole(state_, bytes); }
  void finish_writing() override {
    if (!state_->is_closed && state_->ssl) loop_.spawn(say_goodbye(state_));
  }
  void unread(std::string bytes) override { state_->ahead.insert(0, bytes); }
  void set_idle_limit(Duration limit) override { http::set_idle_limit(state_, limit); }
  void close() override { state_->close(); }

 private:
  Loop& loop_;
  std::shared_ptr<TlsState> state_;
};

std::shared_ptr<TlsState> make_state(Loop& loop, SocketFd socket, std::shared_ptr<const TlsContext> context) {
  auto state = std::make_shared<TlsState>(loop, std::move(socket), std::move(context));
  ERR_clear_error();
  if (!set_up(*state)) {
    state->setup_error = openssl_error_text();
  }
  return state;
}

}  // namespace

OwnBioMethod make_socket_method() {
  OwnBioMethod method(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "gantry socket"));
  if (!method) return method;
  BIO_meth_set_write(method.get(), bio_write);
  BIO_meth_set_read(method.get(), bio_read);
  BIO_meth_set_ctrl(method.get(), bio_control);
  BIO_meth_set_create(method.get(), bio_create);
  return method;
}

std::unique_ptr<TlsStream> make_tls_stream(Loop& loop, SocketFd socket, TlsServer& server) {
  auto state = make_state(loop, std::move(socket), server.impl().slot.get());
  if (state->ssl) SSL_set_accept_state(state->ssl.get());
  return std::make_unique<TlsSocketStream>(loop, std::move(state));
}

std::unique_ptr<TlsStream> make_tls_stream(Loop& loop, SocketFd socket, TlsClient& client,
                                           std::string_view server_name) {
  auto state = make_state(loop, std::move(socket), client.impl().slot.get());
  if (SSL* ssl = state->ssl.get()) {
    SSL_set_connect_state(ssl);
    std::string name(server_name);
    X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str()) != 1) {
      ERR_clear_error();
      bool set = SSL_set_tlsext_host_name(ssl, name.c_str()) == 1 && SSL_set1_host(ssl, name.c_str()) == 1;
      if (!set || name.empty()) {
        state->setup_error = cat("server name \"", name, "\" can't be verified");
        state->ssl.reset();
      }
    }
  }
  return std::make_unique<TlsSocketStream>(loop, std::move(state));
}

}  // namespace gantry::http
