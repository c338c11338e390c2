// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/sockets.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace gantry::dns {
namespace {

constexpr std::uint16_t kPort = 53;
constexpr int kBacklog = 128;
// Queries wait here while a worker is replaced.
constexpr int kReceiveBytes = 4 << 20;
// Answers to one who does not read: the kernel would keep megabytes of each connection.
constexpr int kSendBytes = 128 << 10;

Result<SocketFd> make(int family, int type) {
  SocketFd fd(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "socket"));
  return fd;
}

socklen_t fill(const netns::IpAddress& address, sockaddr_storage* out) {
  const auto bytes = address.bytes();
  if (address.is_v4()) {
    auto& to = reinterpret_cast<sockaddr_in&>(*out);
    to.sin_family = AF_INET;
    to.sin_port = htons(kPort);
    std::memcpy(&to.sin_addr, bytes.data(), bytes.size());
    return sizeof(to);
  }
  auto& to = reinterpret_cast<sockaddr_in6&>(*out);
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(kPort);
  std::memcpy(&to.sin6_addr, bytes.data(), bytes.size());
  return sizeof(to);
}

}  // namespace

Result<std::vector<KindOfSocket>> asking_sockets(std::size_t udp, std::size_t tcp) {
  std::vector<KindOfSocket> sockets;
  const struct {
    int family, type;
    SocketKind kind;
    std::size_t count;
  } kinds[] = {{AF_INET, SOCK_DGRAM, SocketKind::kAskUdp4, udp},
               {AF_INET, SOCK_STREAM, SocketKind::kAskTcp4, tcp},
               {AF_INET6, SOCK_DGRAM, SocketKind::kAskUdp6, udp},
               {AF_INET6, SOCK_STREAM, SocketKind::kAskTcp6, tcp}};
  for (const auto& kind : kinds) {
    for (std::size_t i = 0; i < kind.count; ++i) {
      auto socket = make(kind.family, kind.type);
      if (!socket && socket.error().sys() == EAFNOSUPPORT) break;
      if (!socket) return std::unexpected(std::move(socket.error()));
      sockets.emplace_back(std::move(*socket), kind.kind);
    }
  }
  return sockets;
}

Result<std::vector<KindOfSocket>> answering_sockets(const netns::IpAddress& address) {
  std::vector<KindOfSocket> sockets;
  sockaddr_storage where{};
  const socklen_t size = fill(address, &where);
  for (auto [type, kind] : {std::pair(SOCK_DGRAM, SocketKind::kUdp), std::pair(SOCK_STREAM, SocketKind::kTcp)}) {
    auto socket = make(address.address_family(), type);
    if (!socket) return std::unexpected(std::move(socket.error()));
    const int on = 1;
    // For TCP: connections of an earlier one rest for a minute.
    if (type == SOCK_STREAM) {
      (void)::setsockopt(socket->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
      // Connections have it from here.
      (void)::setsockopt(socket->get(), SOL_SOCKET, SO_SNDBUF, &kSendBytes, sizeof(kSendBytes));
    }
    // Privileged: beyond the machine's limit.
    if (type == SOCK_DGRAM) {
      (void)::setsockopt(socket->get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof(kReceiveBytes));
    }
    if (::bind(socket->get(), reinterpret_cast<const sockaddr*>(&where), size) < 0) {
      return std::unexpected(Error::from_errno(errno, "bind " + address.to_string() + " port 53"));
    }
    if (type == SOCK_STREAM && ::listen(socket->get(), kBacklog) < 0) {
      return std::unexpected(Error::from_errno(errno, "listen"));
    }
    sockets.emplace_back(std::move(*socket), kind);
  }
  return sockets;
}

bool is_at(FdRef socket, const netns::IpAddress& address) {
  sockaddr_storage wanted{}, bound{};
  socklen_t size = sizeof(bound);
  const socklen_t wanted_size = fill(address, &wanted);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size) < 0 || size != wanted_size) return false;
  // Of IPv6 scope and flow are zero in both.
  return std::memcmp(&bound, &wanted, size) == 0;
}

}  // namespace gantry::dns
