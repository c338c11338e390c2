// SPDX-License-Identifier: Apache-2.0
// Which proxy a request goes through, as the environment says it to programs written in Go (containerd, kubelet), which
// libcurl reads otherwise: HTTP_PROXY for http, HTTPS_PROXY for https, each also in lower case; NO_PROXY lists what is
// asked directly, separated by commas:
//   registry.example         this host and all beneath it         .registry.example   only what is beneath it
//   10.1.2.3, 10.1.0.0/16    a host that is written as an address that is this one, or in here
//   registry.example:5000    with a port, any of those but /16: this port alone
//   *                        everything
// Loopback is always asked directly. Values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "images/registry/origin.h"

namespace gantry::images {

class ProxyRules {
 public:
  ProxyRules() = default;
  ProxyRules(std::string http, std::string https, std::string_view direct);
  static ProxyRules from_environment();

  // A URL as libcurl takes it; "" for none.
  std::string proxy_for(const Origin& origin) const;

 private:
  struct Direct {
    std::string name;     // ".registry.example", or ""
    bool itself = false;  // registry.example, too
    std::string address;  // 4 or 16 bytes
    unsigned bits = 0;    // of the address that count
    std::string port;     // "" for all
  };
  static Direct parse(std::string_view entry);
  bool is_direct(const Origin& origin) const;

  std::string http_, https_;
  bool all_direct_ = false;
  std::vector<Direct> direct_;
};

}  // namespace gantry::images
