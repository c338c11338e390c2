// SPDX-License-Identifier: Apache-2.0
// For tests: a client's side on the loop.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <string>

#include "base/owned_fd.h"
#include "base/task.h"
#include "http/byte_stream.h"

namespace gantry::http {

// A connection to 127.0.0.1, where somebody listens.
inline SocketFd connect_loopback(std::uint16_t port) {
  SocketFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.close();
  return fd;
}

// All until the other side ends.
inline Task<Result<std::string>> read_all(ByteStream& stream) {
  std::string all;
  std::array<char, 4096> buffer;
  for (;;) {
    auto size = co_await stream.read(buffer);
    if (!size) co_return std::unexpected(size.error());
    if (*size == 0) co_return all;
    all.append(buffer.data(), *size);
  }
}

}  // namespace gantry::http
