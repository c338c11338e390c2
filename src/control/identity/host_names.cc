// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/utsname.h>

#include <memory>

#include "base/text.h"
#include "control/identity/cluster_identity.h"

namespace gantry::control {

std::vector<std::string> host_names() {
  utsname names{};
  if (::uname(&names) < 0) return {};
  std::string name = lowered(names.nodename);
  if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") != std::string::npos) return {};
  return {std::move(name)};
}

std::vector<std::string> host_addresses() {
  ifaddrs* raw = nullptr;
  if (::getifaddrs(&raw) < 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(raw, &::freeifaddrs);
  std::vector<std::string> addresses;
  for (const ifaddrs* at = raw; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0) continue;
    char text[INET6_ADDRSTRLEN] = "";
    if (at->ifa_addr->sa_family == AF_INET) {
      const in_addr& address = reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr;
      if ((ntohl(address.s_addr) >> 16) == 0xa9fe) continue;  // 169.254.0.0/16
      ::inet_ntop(AF_INET, &address, text, sizeof(text));
    } else if (at->ifa_addr->sa_family == AF_INET6) {
      const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&address)) continue;
      ::inet_ntop(AF_INET6, &address, text, sizeof(text));
    } else {
      continue;
    }
    addresses.emplace_back(text);
  }
  return addresses;
}

}  // namespace gantry::control
