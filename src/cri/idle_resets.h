// SPDX-License-Identifier: Apache-2.0
// gRPC's C library, and so its clients in C++ and Python, may reset a stream that it gave up before it had opened it.
// HTTP/2 does not allow that (RFC 9113, 5.1 and 6.4), and nghttp2 ends the whole connection for it, with all calls that
// are on it. Such frames mean nothing: they are taken out of what a connection receives.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gantry::cri {

class IdleResets {
 public:
  // The bytes of a connection, from its first one on and cut anywhere, without such frames. What is no whole frame
  // header yet comes with the next bytes.
  std::string without(std::string_view bytes);

 private:
  void begin_frame(std::string& out);

  std::size_t passing_ = 24;  // bytes that go on as they are: at first the client's preface
  std::size_t dropping_ = 0;
  std::string header_;
  std::uint32_t newest_ = 0;  // stream that was opened
};

}  // namespace gantry::cri
