// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_outside.h"

#include <unistd.h>

#include <cstring>

#include "base/text.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::cli {
namespace {

// A request is a file in memory, as it may hold a container's annotations. An answer is a code and, if that is not
// kOk, a message.
constexpr std::size_t kMaxRequest = 64U << 20;
constexpr std::size_t kMaxMessage = 4096;
constexpr std::size_t kCode = sizeof(std::int32_t);

Status serve_one(const sys::Packet& packet, const Outside::Work& does) {
  if (packet.fds.empty()) return fail(Code::kResourceExhausted, "no descriptor is free");
  auto request = sys::read_all(packet.fds[0], kMaxRequest);
  return request ? does(*request) : std::unexpected(std::move(request.error()));
}

[[noreturn]] void serve(FdRef socket, const Outside::Work& does) {
  for (;;) {
    char byte;
    auto packet = sys::receive_packet(socket, {&byte, 1});
    if (!packet || packet->size == 0) ::_exit(0);
    auto done = serve_one(*packet, does);
    auto code = static_cast<std::int32_t>(done ? Code::kOk : done.error().code());
    std::string answer(reinterpret_cast<const char*>(&code), kCode);
    if (!done) answer += as_utf8(done.error().message(), kMaxMessage);
    if (!sys::send_packet(socket, answer, {})) ::_exit(0);
  }
}

}  // namespace

Result<Outside> Outside::make(const Work& does) {
  auto sockets = sys::seqpacket_pair(false);
  if (!sockets) return std::unexpected(std::move(sockets.error()));
  auto child = sys::clone3(sys::CloneFlag::kClearSighand, {});
  if (!child) return std::unexpected(std::move(child.error()));
  if (child->pid == 0) {
    sockets->left.close();
    serve(sockets->right, does);
  }
  return Outside(std::move(sockets->left));
}

Status Outside::ask(std::string_view request) const {
  auto file = sys::memfd_of("request", request);
  if (!file) return std::unexpected(std::move(file.error()));
  FdRef fds[] = {*file};
  if (auto s = sys::send_packet(socket_, "?", fds); !s) return s;
  char answer[kCode + kMaxMessage];
  auto packet = sys::receive_packet(socket_, answer);
  if (!packet) return std::unexpected(std::move(packet.error()));
  if (packet->size < kCode) return fail(Code::kAborted, "the process that stayed outside was ended");
  std::int32_t code = 0;
  std::memcpy(&code, answer, kCode);
  if (code == 0) return {};
  return std::unexpected(Error(static_cast<Code>(code), std::string(answer + kCode, packet->size - kCode)));
}

}  // namespace gantry::cli
