// SPDX-License-Identifier: Apache-2.0
#include "api/cidr.h"

#include <charconv>

#include "api/names.h"

namespace gantry::api {

std::string check_cidr(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view length = slash == std::string_view::npos ? "" : text.substr(slash + 1);
  const std::string_view address = text.substr(0, slash);
  int bits = -1;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
  const int most = address.find(':') == std::string_view::npos ? 32 : 128;
  const bool good = !length.empty() && error == std::errc() && end == length.data() + length.size() && bits >= 0 &&
                    bits <= most && check_ip(address).empty();
  return good ? "" : "must be a range of addresses, such as 10.9.8.0/24 or 2001:db8::/64";
}

}  // namespace gantry::api
