// SPDX-License-Identifier: Apache-2.0
#include "http/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>

namespace gantry::http {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

std::optional<Address> parse(std::string_view text, std::uint16_t port) {
  std::string terminated(text);
  Address address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET, terminated.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    address.size = sizeof(v4);
    std::memcpy(&address.storage, &v4, sizeof(v4));
    return address;
  }
  if (::inet_pton(AF_INET6, terminated.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    address.size = sizeof(v6);
    std::memcpy(&address.storage, &v6, sizeof(v6));
    return address;
  }
  return std::nullopt;
}

sockaddr* raw(Address& address) { return reinterpret_cast<sockaddr*>(&address.storage); }

void name(const Address& address, Listener& listener) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address.storage, sizeof(v4));
    listener.host = ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    listener.port = ntohs(v4.sin_port);
    return;
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, &address.storage, sizeof(v6));
  listener.host = std::string("[") + ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text)) + "]";
  listener.port = ntohs(v6.sin6_port);
}

}  // namespace

Result<Listener> listen_tcp(std::string_view address, std::uint16_t port, int backlog) {
  auto parsed = parse(address, port);
  if (!parsed) {
    return invalid_argument("listen address \"" + std::string(address) + "\": expected a numeric IPv4 or IPv6 address");
  }
  std::string what = " " + std::string(address) + " port " + std::to_string(port);
  auto failed = [&what](const char* call) { return std::unexpected(Error::from_errno(errno, call + what)); };
  Listener listener;
  listener.socket = SocketFd(::socket(parsed->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.socket.is_open()) return failed("socket");
  int fd = listener.socket.get();
  int on = 1;
  // A fixed port can be taken again right after a restart.
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) return failed("setsockopt SO_REUSEADDR");
  if (::bind(fd, raw(*parsed), parsed->size) < 0) return failed("bind");
  if (::listen(fd, backlog) < 0) return failed("listen");
  return adopt_listener(std::move(listener.socket));
}

Result<Listener> adopt_listener(SocketFd socket) {
  Listener listener{.socket = std::move(socket)};
  Address address;
  address.size = sizeof(address.storage);
  if (::getsockname(listener.socket.get(), raw(address), &address.size) < 0) {
    return std::unexpected(Error::from_errno(errno, "getsockname"));
  }
  if (address.storage.ss_family != AF_INET && address.storage.ss_family != AF_INET6) {
    return invalid_argument("listening socket: expected one of IPv4 or IPv6");
  }
  name(address, listener);
  return listener;
}

Endpoint remote_endpoint(FdRef socket) {
  Address address;
  address.size = sizeof(address.storage);
  if (::getpeername(socket.get(), raw(address), &address.size) < 0) return {};
  char text[INET6_ADDRSTRLEN] = {};
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address.storage, sizeof(v4));
    return {::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text)), ntohs(v4.sin_port)};
  }
  if (address.storage.ss_family != AF_INET6) return {};
  sockaddr_in6 v6;
  std::memcpy(&v6, &address.storage, sizeof(v6));
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    return {::inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, text, sizeof(text)), ntohs(v6.sin6_port)};
  }
  return {::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text)), ntohs(v6.sin6_port)};
}

bool is_loopback(std::string_view address) {
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  auto parsed = parse(address, 0);
  if (!parsed) return false;
  if (parsed->storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &parsed->storage, sizeof(v4));
    return (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, &parsed->storage, sizeof(v6));
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

}  // namespace gantry::http
