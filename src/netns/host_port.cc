// SPDX-License-Identifier: Apache-2.0
#include "netns/host_port.h"

#include "absl/strings/str_cat.h"

namespace gantry::netns {

std::string to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "tcp";
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
  }
  return "";
}

std::string HostPort::name() const {
  return absl::StrCat(to_string(protocol), " port ", host_port, " of ",
                      host_address ? host_address->to_string() : "all addresses");
}

}  // namespace gantry::netns
