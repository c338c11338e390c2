// SPDX-License-Identifier: Apache-2.0
// Unix sockets that carry messages and descriptors (unix(7), SCM_RIGHTS), and TCP sockets. Packets are SOCK_SEQPACKET:
// one send is one receive. Names are paths in folders of mode 0700; never abstract names, which any process of the
// network namespace reaches.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

struct SocketPair {
  SocketFd left, right;
};
// A connected pair of SOCK_SEQPACKET, close-on-exec. Blocking unless `nonblocking`.
Result<SocketPair> seqpacket_pair(bool nonblocking);

// Takes O_NONBLOCK off the open file.
Status set_blocking(FdRef fd);

// A listening socket at `name` beneath the folder `dir`, mode 0600. A socket that lies there is replaced: callers hold
// their folder's lock. `type` is SOCK_SEQPACKET or SOCK_STREAM. Non-blocking.
Result<SocketFd> listen_unix(FdRef dir, const char* name, int type, int backlog);
// Connects to the socket at `name` beneath `dir`. Non-blocking afterwards. is_not_found() when there is no such name,
// is_gone() when nobody listens there any more, is_would_block() when the listener's backlog is full.
Result<SocketFd> connect_unix(FdRef dir, const char* name, int type);
// Datagrams: a socket at `name` beneath `dir` that takes them, of this mode less the umask, in place of one that lies
// there; and one that sends them to `address`, a path or, as "@name", an abstract name that is somebody else's.
// Non-blocking.
Result<SocketFd> bind_datagrams(FdRef dir, const char* name, mode_t mode);
Result<SocketFd> connect_datagrams(const std::string& address);
// A TCP socket of AF_INET or AF_INET6, in the network namespace of the calling thread and not connected. Non-blocking.
Result<SocketFd> tcp_socket(int family);
// connect(2) to a port of 127.0.0.1 or ::1, whichever the socket's family has. Without an error it goes on by itself:
// when the socket is writable, socket_error() says how it ended.
Status connect_loopback(FdRef socket, int family, std::uint16_t port);
// SO_ERROR: what went wrong since it was asked last.
Status socket_error(FdRef socket);
// accept4(2), non-blocking and close-on-exec.
Result<SocketFd> accept(FdRef listener);

// The most descriptors that one packet carries (the kernel's SCM_MAX_FD is 253).
inline constexpr std::size_t kMaxPacketFds = 64;

// Sends one packet with descriptors. is_would_block() when the peer's queue is full; is_gone() when it left. No
// SIGPIPE.
Status send_packet(FdRef socket, std::string_view bytes, std::span<const FdRef> fds);

struct Packet {
  // Bytes of the packet, in the caller's buffer. 0 bytes and no descriptors: the peer closed.
  std::size_t size = 0;
  std::vector<OwnFd> fds;
  // Descriptors were sent, but this process had no numbers free for them: `fds` is empty.
  bool fds_lost = false;
};
// Receives one packet into `buffer`. One that does not fit, or with more descriptors than kMaxPacketFds, is
// kInvalidArgument; none there on a non-blocking socket is is_would_block(). Only 0 bytes and is_gone() are the end.
Result<Packet> receive_packet(FdRef socket, std::span<char> buffer);

// Sets the loopback interface of this network namespace up.
Status raise_loopback();

struct PeerCredentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};
Result<PeerCredentials> peer_credentials(FdRef socket);

}  // namespace gantry::sys
