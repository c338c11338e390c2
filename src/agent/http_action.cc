// SPDX-License-Identifier: Apache-2.0
#include "agent/http_action.h"

#include "absl/strings/numbers.h"
#include "api/text.h"
#include "base/text.h"
#include "kubernetes/core/v1/container.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using IntOrString = k8s::io::apimachinery::pkg::util::intstr::IntOrString;

constexpr int kMaxPort = 65535;

}  // namespace

Result<std::uint16_t> valid_port(int number) {
  if (number < 1 || number > kMaxPort) return invalid_argument(cat("invalid port number: ", number));
  return static_cast<std::uint16_t>(number);
}

Result<std::uint16_t> resolve_port(const IntOrString& port, const core::Container& container) {
  if (port.type() == 0) return valid_port(port.int_val());
  for (const auto& known : container.ports()) {
    if (known.name() == port.str_val()) return valid_port(known.container_port());
  }
  int number = 0;
  if (absl::SimpleAtoi(port.str_val(), &number)) return valid_port(number);
  return not_found(cat("couldn't find port: ", api::quoted(port.str_val())));
}

std::string request_target(const core::HTTPGetAction& action) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const std::string& path = action.path();
  std::string out = path.starts_with('/') ? "" : "/";
  for (char c : path.substr(0, path.find('#'))) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = byte > 0x20 && byte < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\' && c != '^' &&
                          c != '`' && c != '{' && c != '|' && c != '}';
    if (is_plain) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

http::HeaderList request_headers(const core::HTTPGetAction& action, std::string_view user_agent) {
  http::HeaderList headers;
  bool has_agent = false;
  bool has_accept = false;
  for (const auto& header : action.http_headers()) {
    const std::string name = lowered(header.name());
    has_agent |= name == "user-agent";
    has_accept |= name == "accept";
    if (header.value().empty() && (name == "user-agent" || name == "accept" || name == "host")) continue;
    headers.emplace_back(header.name(), header.value());
  }
  if (!has_agent) headers.emplace_back("User-Agent", user_agent);
  if (!has_accept) headers.emplace_back("Accept", "*/*");
  return headers;
}

}  // namespace gantry::agent
