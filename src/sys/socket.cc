// SPDX-License-Identifier: Apache-2.0
#include "sys/socket.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "sys/file.h"

namespace gantry::sys {
namespace {

std::unexpected<Error> failed(const char* call, const char* what = nullptr) {
  int error = errno;
  std::string text(call);
  if (what != nullptr) text.append(" ").append(what);
  return std::unexpected(Error::from_errno(error, text));
}

// sun_path holds 108 bytes; through the folder's descriptor a name beneath any folder fits.
Result<sockaddr_un> address_of(FdRef dir, const char* name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path =
      dir.get() == AT_FDCWD ? std::string(name) : "/proc/self/fd/" + std::to_string(dir.get()) + "/" + name;
  if (path.size() >= sizeof(address.sun_path)) {
    return invalid_argument(std::string("socket name ") + name + ": longer than the " +
                            std::to_string(sizeof(address.sun_path) - 1) + " bytes that a unix socket's path may have");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Status bind_name(FdRef socket, FdRef dir, const char* name, mode_t mode) {
  auto address = address_of(dir, name);
  if (!address) return std::unexpected(std::move(address.error()));
  if (::unlinkat(dir.get(), name, 0) < 0 && errno != ENOENT) return failed("unlinkat", name);
  // fchmod before bind gives the inode its mode from birth: there is no moment in which the umask's mode holds.
  if (::fchmod(socket.get(), mode) < 0) return failed("fchmod", name);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) < 0)
    return failed("bind", name);
  return {};
}

}  // namespace

Result<SocketPair> seqpacket_pair(bool nonblocking) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0, fds) < 0) {
    return failed("socketpair");
  }
  return SocketPair{SocketFd(fds[0]), SocketFd(fds[1])};
}

Status set_blocking(FdRef fd) {
  int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK) < 0) return failed("fcntl F_SETFL");
  return {};
}

Result<SocketFd> listen_unix(FdRef dir, const char* name, int type, int backlog) {
  SocketFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return failed("socket");
  if (auto s = bind_name(fd, dir, name, 0600); !s) return std::unexpected(std::move(s.error()));
  if (::listen(fd.get(), backlog) < 0) return failed("listen", name);
  return fd;
}

Result<SocketFd> connect_unix(FdRef dir, const char* name, int type) {
  SocketFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return failed("socket");
  auto address = address_of(dir, name);
  if (!address) return std::unexpected(std::move(address.error()));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) < 0)
    return failed("connect", name);
  return fd;
}

Result<SocketFd> bind_datagrams(FdRef dir, const char* name, mode_t mode) {
  SocketFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return failed("socket");
  if (auto s = bind_name(fd, dir, name, mode); !s) return std::unexpected(std::move(s.error()));
  return fd;
}

Result<SocketFd> connect_datagrams(const std::string& name) {
  SocketFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return failed("socket");
  auto address = address_of(FdRef(AT_FDCWD), name.c_str());
  if (!address) return std::unexpected(std::move(address.error()));
  if (name.starts_with('@')) address->sun_path[0] = '\0';
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), size) < 0)
    return failed("connect", name.c_str());
  return fd;
}

Result<SocketFd> tcp_socket(int family) {
  int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return failed("socket");
  return SocketFd(fd);
}

Status connect_loopback(FdRef socket, int family, std::uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  bool is_v4 = family == AF_INET;
  auto* address = is_v4 ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6);
  if (::connect(socket.get(), address, is_v4 ? sizeof(v4) : sizeof(v6)) == 0 || errno == EINPROGRESS) return {};
  return failed("connect");
}

Status socket_error(FdRef socket) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) < 0) return failed("getsockopt");
  if (error != 0) return std::unexpected(Error::from_errno(error, "connect"));
  return {};
}

Result<SocketFd> accept(FdRef listener) {
  int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return failed("accept4");
  return SocketFd(fd);
}

Status send_packet(FdRef socket, std::string_view bytes, std::span<const FdRef> fds) {
  if (fds.size() > kMaxPacketFds) {
    return invalid_argument("a packet with " + std::to_string(fds.size()) + " descriptors: at most " +
                            std::to_string(kMaxPacketFds) + " go into one");
  }
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPacketFds * sizeof(int))];
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    std::memset(control, 0, message.msg_controllen);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    int numbers[kMaxPacketFds];
    for (std::size_t i = 0; i < fds.size(); ++i) numbers[i] = fds[i].get();
    std::memcpy(CMSG_DATA(header), numbers, fds.size() * sizeof(int));
  }
  for (;;) {
    if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) >= 0) return {};
    if (errno != EINTR) return failed("sendmsg");
  }
}

Result<Packet> receive_packet(FdRef socket, std::span<char> buffer) {
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPacketFds * sizeof(int))];
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t size;
  do {
    size = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return failed("recvmsg");
  Packet packet;
  packet.size = static_cast<std::size_t>(size);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    packet.fds.reserve(packet.fds.size() + count);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      packet.fds.emplace_back(fd);
    }
  }
  packet.fds_lost = (message.msg_flags & MSG_CTRUNC) != 0 && packet.fds.size() < kMaxPacketFds;
  if (packet.fds_lost) packet.fds.clear();
  if ((message.msg_flags & MSG_TRUNC) != 0 || ((message.msg_flags & MSG_CTRUNC) != 0 && !packet.fds_lost)) {
    return invalid_argument("a packet larger than the " + std::to_string(buffer.size()) + " bytes or " +
                            std::to_string(kMaxPacketFds) + " descriptors that are allowed");
  }
  return packet;
}

Result<PeerCredentials> peer_credentials(FdRef socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
    return failed("getsockopt SO_PEERCRED");
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Status raise_loopback() {
  OwnFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return std::unexpected(Error::from_errno(errno, "socket"));
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0) return {};
  return std::unexpected(Error::from_errno(errno, "set lo up"));
}

}  // namespace gantry::sys
