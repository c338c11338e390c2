// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_agent.h"

#include <sys/socket.h>

#include <boost/json.hpp>
#include <string_view>

#include "base/text.h"
#include "cli/oci_container.h"
#include "sys/pipe.h"
#include "sys/socket.h"

namespace gantry::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::string process_state(const runtime::SeccompAgent& agent, pid_t pid, const std::string& state) {
  std::string metadata = boost::json::serialize(boost::json::string(agent.metadata));
  return cat(R"({"ociVersion":"1.2.0","fds":["seccompFd"],"pid":)", pid, R"(,"metadata":)", metadata, R"(,"state":)",
             state, "}");
}

}  // namespace

Status tell_agent(const runtime::SeccompAgent& agent, pid_t pid, const std::string& state, FdRef listener) {
  auto tell = [&]() -> Status {
    auto place = open_place(agent.path);
    if (!place) return std::unexpected(std::move(place.error()));
    auto socket = sys::connect_unix(place->folder, place->name.c_str(), SOCK_STREAM);
    if (!socket) return std::unexpected(std::move(socket.error()));
    std::string text = process_state(agent, pid, state);
    constexpr std::size_t kFirst = 4096;  // with the descriptor; a socket that is new takes so much as a whole
    const FdRef fds[] = {listener};
    if (auto s = sys::send_packet(*socket, std::string_view(text).substr(0, kFirst), fds); !s || text.size() <= kFirst)
      return s;
    return sys::send_all(*socket, std::string_view(text).substr(kFirst), Clock::now() + kAgentLimit);
  };
  auto told = tell();
  return told ? told : fail_with(std::move(told.error()), cat("linux.seccomp.listenerPath ", agent.path));
}

}  // namespace gantry::cli
