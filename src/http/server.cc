// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#include <array>
#include <list>

#include "http/listen.h"
#include "http/server_core.h"
#include "http/tls.h"
#include "sys/socket.h"

namespace gantry::http {

std::string http_date() {
  time_t now = ::time(nullptr);
  tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 64> text;
  std::size_t size = ::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text.data(), size);
}

bool is_one_line(std::string_view text) { return text.find_first_of("\r\n") == std::string_view::npos; }

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(Loop& loop, Handler handler, Limits limits)
      : core(std::make_shared<ServerCore>(loop, std::move(handler), limits)) {}

  struct Accepting {
    Accepting(Loop& loop, SocketFd s, std::shared_ptr<TlsServer> t)
        : socket(std::move(s)), watch(loop, socket.ref()), tls(std::move(t)) {}
    SocketFd socket;
    Watch watch;
    std::shared_ptr<TlsServer> tls;
  };
  std::shared_ptr<ServerCore> core;
  std::list<std::shared_ptr<Accepting>> listeners;

  void stop_listening();
  void stop();
  static Task<> drain(std::shared_ptr<ServerCore> core, Duration limit);
  static Task<> accept_all(std::shared_ptr<ServerCore> core, std::shared_ptr<Accepting> listener);
};

namespace {

Task<> serve_tls(std::shared_ptr<ServerCore> core, SocketFd socket, std::shared_ptr<TlsServer> tls, Peer peer) {
  auto stream = make_tls_stream(core->loop, std::move(socket), *tls);
  TlsStream& handshaker = *stream;
  auto tracked = std::make_unique<TrackedStream>(core, std::move(stream), peer.address);
  auto session = co_await handshaker.handshake(core->limits.handshake_time);
  if (!session) co_return;
  peer.is_tls = true;
  peer.certificate = std::move(session->certificate);
  peer.certificate_error = std::move(session->certificate_error);
  auto serve = session->protocol == "h2" ? serve_http2 : serve_http1;
  co_await serve(std::move(core), std::move(tracked), std::move(peer));
}

// For one more connection than there may be: of the address that has the most of them the oldest goes that nothing is
// answered on. So whoever opens many takes the places of nobody else. False when each address has but one, or all are
// at work.
bool make_room(const ServerCore& core) {
  TrackedStream* chosen = nullptr;
  std::size_t most = 1;
  for (TrackedStream* one : core.live) {
    if (!one->may_go() || one->held() <= most) continue;
    most = one->held();
    chosen = one;
  }
  if (chosen == nullptr) return false;
  chosen->leave();
  return true;
}

void begin_connection(const std::shared_ptr<ServerCore>& core, SocketFd socket, const std::shared_ptr<TlsServer>& tls) {
  int on = 1;
  // Both are TCP's alone; on a unix socket they fail and are not needed. Keepalive finds a peer whose machine is gone.
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  if (core->live.size() >= core->limits.max_connections && !make_room(*core)) {
    if (tls) return;
    // Whole or not at all: the socket is fresh and its buffer empty.
    std::string text = http1_refusal(text_response(503, "too many connections"));
    ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    return;
  }
  Endpoint remote = remote_endpoint(socket);
  Peer peer{.address = std::move(remote.address), .port = remote.port, .certificate = {}, .certificate_error = {}};
  if (tls) {
    core->loop.spawn(serve_tls(core, std::move(socket), tls, std::move(peer)));
    return;
  }
  auto stream = std::make_unique<TrackedStream>(core, make_socket_stream(core->loop, std::move(socket)), peer.address);
  core->loop.spawn(serve_http1(core, std::move(stream), std::move(peer)));
}

}  // namespace

Task<> Server::Impl::accept_all(std::shared_ptr<ServerCore> core, std::shared_ptr<Accepting> listener) {
  while (listener->socket.is_open()) {
    auto accepted = sys::accept(listener->socket);
    if (accepted) {
      begin_connection(core, std::move(*accepted), listener->tls);
    } else if (accepted.error().is_would_block()) {
      if (!co_await listener->watch.readable()) co_return;
    } else if (co_await core->stopped.wait_for(std::chrono::milliseconds(100))) {
      // Out of descriptors or memory (accept(2)), which gives no event when it is over; or the client already left,
      // which is rare enough for the same.
      co_return;
    }
  }
}

void Server::Impl::stop_listening() {
  for (auto& listener : listeners) {
    listener->watch.cancel();
    listener->socket.close();
  }
  listeners.clear();
}

Task<> Server::Impl::drain(std::shared_ptr<ServerCore> core, Duration limit) {
  core->draining = true;
  auto wishes = core->drain_wishes;  // they may go while they are called
  for (const auto& wish : wishes) wish();
  for (const auto& closed : core->answers) closed->set();
  if (core->live.size() > core->upgraded) (void)co_await core->emptied.wait_for(limit);
}

void Server::Impl::stop() {
  core->stopped.set();
  stop_listening();
  for (const auto& closed : core->answers) closed->set();
  for (TrackedStream* stream : core->live) stream->close();
}

Server::Server(Loop& loop, Handler handler, Limits limits)
    : impl_(std::make_shared<Impl>(loop, std::move(handler), limits)) {}

Server::~Server() { impl_->stop(); }

Task<> Server::drain(Duration limit) {
  impl_->stop_listening();
  return Impl::drain(impl_->core, limit);
}

void Server::serve(SocketFd listener, std::shared_ptr<TlsServer> tls) {
  auto accepting = std::make_shared<Impl::Accepting>(impl_->core->loop, std::move(listener), std::move(tls));
  impl_->listeners.push_back(accepting);
  impl_->core->loop.spawn(Impl::accept_all(impl_->core, accepting));
}

}  // namespace gantry::http
