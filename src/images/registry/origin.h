// SPDX-License-Identifier: Apache-2.0
// Where a URL leads. Values.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::images {

// Who may be told a secret: scheme, host and port, all three.
struct Origin {
  std::string scheme;  // "https", "http"
  std::string host;    // lower-case; an IPv6 address in brackets
  std::string port;    // digits, also when it is the scheme's own

  bool is_loopback() const;
  // "registry.example:5000"; the scheme's own port is left out.
  std::string name() const;
  std::string url() const;  // "https://registry.example:5000"

  bool operator==(const Origin&) const = default;
};

// Of an absolute URL. Only http and https, and no user in it.
Result<Origin> origin_of(const std::string& url);

// `location` as seen from `url`; an absolute URL without a fragment.
Result<std::string> resolve_url(const std::string& url, const std::string& location);

}  // namespace gantry::images
