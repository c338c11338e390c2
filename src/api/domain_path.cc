// SPDX-License-Identifier: Apache-2.0
#include "api/domain_path.h"

#include <algorithm>
#include <cctype>

#include "api/names.h"

namespace gantry::api {

std::string check_domain_path(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == name.size()) {
    return "must be a domain and a path, such as example.com/controller";
  }
  if (std::string wrong = check_dns1123_subdomain(name.substr(0, slash)); !wrong.empty()) return wrong;
  const auto is_allowed = [](char c) {
    static constexpr std::string_view kMarks = "/%!$&'()*+,;=:-._~";
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || kMarks.contains(c);
  };
  if (std::ranges::all_of(name.substr(slash + 1), is_allowed)) return {};
  return "must have a path of letters, digits and marks that URLs may have";
}

}  // namespace gantry::api
