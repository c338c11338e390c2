// SPDX-License-Identifier: Apache-2.0
// Which addresses can stand behind a service: not a node's own, and not nobody's.
#pragma once

#include <string>
#include <string_view>

#include "api/names.h"

namespace gantry::api {

inline std::string check_endpoint_address(std::string_view ip) {
  if (std::string wrong = check_ip(ip); !wrong.empty()) return wrong;
  if (ip == "0.0.0.0" || ip == "::") return "must not be unspecified";
  if (ip.starts_with("127.") || ip == "::1") return "must not be a loopback address";
  if (ip.starts_with("169.254.") || ip.starts_with("fe80:")) return "must not be link-local";
  if (ip.starts_with("224.0.0.") || ip.starts_with("ff02:")) return "must not be a link-local multicast address";
  return {};
}

}  // namespace gantry::api
