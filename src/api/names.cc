// SPDX-License-Identifier: Apache-2.0
#include "api/names.h"

#include <arpa/inet.h>

#include <algorithm>

#include "api/text.h"

namespace gantry::api {

namespace {

constexpr size_t kLabelLength = 63;
constexpr size_t kSubdomainLength = 253;
constexpr size_t kPortNameLength = 15;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alphanumeric(char c) { return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z'); }
bool is_lower_alphanumeric(char c) { return is_lower(c) || is_digit(c); }

std::string too_long(size_t most) { return cat("must be no more than ", most, " characters"); }

bool is_dns1123_label(std::string_view name) {
  return !name.empty() && is_lower_alphanumeric(name.front()) && is_lower_alphanumeric(name.back()) &&
         std::ranges::all_of(name, [](char c) { return is_lower_alphanumeric(c) || c == '-'; });
}

bool is_qualified_part(std::string_view name) {
  return !name.empty() && is_alphanumeric(name.front()) && is_alphanumeric(name.back()) &&
         std::ranges::all_of(name, [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

}  // namespace

std::string check_dns1123_label(std::string_view name) {
  if (name.size() > kLabelLength) return too_long(kLabelLength);
  if (is_dns1123_label(name)) return {};
  return "must consist of lower case letters, digits and '-', and begin and end with a letter or digit";
}

std::string check_dns1123_subdomain(std::string_view name) {
  if (name.size() > kSubdomainLength) return too_long(kSubdomainLength);
  bool good = true;
  std::string_view rest = name;
  for (size_t dot = 0; dot != std::string_view::npos;) {
    dot = rest.find('.');
    good = good && is_dns1123_label(rest.substr(0, dot));
    if (dot != std::string_view::npos) rest.remove_prefix(dot + 1);
  }
  if (good) return {};
  return "must consist of lower case letters, digits, '-' and '.', and each part begin and end with a letter or digit";
}

std::string check_port_name(std::string_view name) {
  if (name.size() > kPortNameLength) return too_long(kPortNameLength);
  if (is_dns1123_label(name) && std::ranges::any_of(name, is_lower) && name.find("--") == std::string_view::npos) {
    return {};
  }
  return "must consist of lower case letters, digits and single '-' between them, with at least one letter";
}

std::string check_qualified_name(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view prefix = name.substr(0, slash);
    if (prefix.empty()) return "the part before '/' must not be empty";
    if (std::string wrong = check_dns1123_subdomain(prefix); !wrong.empty()) {
      return cat("the part before '/' ", wrong);
    }
    name.remove_prefix(slash + 1);
  }
  if (name.size() > kLabelLength) return cat("the name part ", too_long(kLabelLength));
  if (is_qualified_part(name)) return {};
  return "the name part must consist of letters, digits, '-', '_' and '.', and begin and end with a letter or digit";
}

std::string check_label_value(std::string_view value) {
  if (value.size() > kLabelLength) return too_long(kLabelLength);
  if (value.empty() || is_qualified_part(value)) return {};
  return "must be empty or consist of letters, digits, '-', '_' and '.', and begin and end with a letter or digit";
}

std::string check_env_name(std::string_view name) {
  if (!name.empty() && std::ranges::all_of(name, [](char c) { return c >= ' ' && c <= '~' && c != '='; })) return {};
  return "must consist of printable ASCII characters other than '='";
}

std::string check_config_key(std::string_view name) {
  if (name.size() > kSubdomainLength) return too_long(kSubdomainLength);
  if (name.empty() ||
      !std::ranges::all_of(name, [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; })) {
    return "must consist of letters, digits, '-', '_' and '.'";
  }
  if (name == "." || name.starts_with("..")) return "must not be '.' or begin with '..'";
  return {};
}

std::string check_path_segment(std::string_view name) {
  if (name == "." || name == "..") return "must not be '.' or '..'";
  if (name.find_first_of("/%") != std::string_view::npos) return "must not contain '/' or '%'";
  return {};
}

std::string check_ip(std::string_view text) {
  const std::string address(text);
  unsigned char bytes[sizeof(in6_addr)];
  if (inet_pton(AF_INET, address.c_str(), bytes) == 1 || inet_pton(AF_INET6, address.c_str(), bytes) == 1) return {};
  return "must be an IPv4 or IPv6 address, such as 10.9.8.7 or 2001:db8::ffff";
}

}  // namespace gantry::api
