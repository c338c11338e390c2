// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "agent/probe/http_probe.h"
#include "base/text.h"
#include "http/connect.h"

namespace gantry::agent {
namespace {

constexpr std::size_t kMaxLocation = 8U << 10;
constexpr std::uint16_t kHttp = 80;
constexpr std::uint16_t kHttps = 443;

// Up to and without the first of `marks`; the rest, with the mark, stays in `text`.
std::string_view take_until(std::string_view& text, std::string_view marks) {
  const std::size_t end = std::min(text.find_first_of(marks), text.size());
  return std::exchange(text, text.substr(end)).substr(0, end);
}

bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Letters, digits and `more`.
bool is_of(std::string_view text, std::string_view more) {
  return std::ranges::all_of(
      text, [more](char c) { return is_alpha(c) || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos; });
}

// "https" of "https://host/"; empty: it has none.
std::string_view scheme_of(std::string_view text) {
  const std::size_t colon = text.find_first_of(":/?#");
  if (colon == std::string_view::npos || text[colon] != ':' || !is_alpha(text[0])) return {};
  const std::string_view scheme = text.substr(0, colon);
  return is_of(scheme, "+-.") ? scheme : std::string_view();
}

// RFC 3986, 3.2.2; an address in brackets is one of IPv6.
bool is_host(std::string_view host, bool in_brackets) {
  if (in_brackets) return host.find(':') != std::string_view::npos && is_of(host, ":.%-_~");
  return !host.empty() && is_of(host, "-._~%!$&'()*+,;=");
}

// "user@host:80"
Status set_authority(std::string_view text, ProbeUrl& url) {
  const auto malformed = [&] { return invalid_argument(cat("malformed host ", quoted(text))); };
  if (auto at = text.rfind('@'); at != std::string_view::npos) text.remove_prefix(at + 1);
  std::string_view host = text;
  std::string_view port;
  const bool in_brackets = text.starts_with('[');
  if (in_brackets) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return malformed();
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
  } else {
    host = take_until(text, ":");
    port = text;
  }
  if (!is_host(host, in_brackets) || (!port.empty() && port[0] != ':')) return malformed();
  url.port = url.tls ? kHttps : kHttp;
  if (port.size() > 1) {
    auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), url.port);
    if (error != std::errc() || end != port.data() + port.size() || url.port == 0) return malformed();
  }
  url.host = host;
  return {};
}

// RFC 3986, 5.2.4, of a path that begins with '/'.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  bool ends_in_folder = false;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = take_until(path, "/");
    ends_in_folder = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!ends_in_folder) kept.push_back(segment);
  }
  if (ends_in_folder) kept.emplace_back();
  std::string made;
  for (std::string_view segment : kept) made += cat("/", segment);
  return made.empty() ? "/" : made;
}

}  // namespace

std::string ProbeUrl::text() const {
  return cat(tls ? "https://" : "http://", http::host_and_port(host, port), target);
}

Result<ProbeUrl> follow_location(const ProbeUrl& base, std::string_view location) {
  if (location.size() > kMaxLocation) return invalid_argument(cat("Location has more than ", kMaxLocation, " bytes"));
  if (std::ranges::any_of(location, [](unsigned char c) { return c <= 0x20 || c >= 0x7f; })) {
    return invalid_argument(cat("malformed Location ", quoted(location)));
  }
  std::string_view rest = location.substr(0, location.find('#'));
  ProbeUrl url = base;
  bool is_elsewhere = false;
  if (const std::string_view scheme = scheme_of(rest); !scheme.empty()) {
    const std::string known = lowered(scheme);
    if (known != "http" && known != "https")
      return invalid_argument(cat("unsupported protocol scheme ", quoted(known)));
    rest.remove_prefix(scheme.size() + 1);
    url.tls = known == "https";
    is_elsewhere = true;
  }
  if (rest.starts_with("//")) {
    rest.remove_prefix(2);
    if (auto set = set_authority(take_until(rest, "/?"), url); !set) return std::unexpected(std::move(set.error()));
    is_elsewhere = true;
  } else if (is_elsewhere) {
    return invalid_argument(cat("Location without a host: ", quoted(location)));
  }
  std::string path(take_until(rest, "?"));
  const std::string_view base_path = std::string_view(base.target).substr(0, base.target.find('?'));
  if (path.empty()) {
    path = is_elsewhere ? "/" : std::string(base_path);
    if (!is_elsewhere && rest.empty()) rest = std::string_view(base.target).substr(base_path.size());
  } else if (path[0] != '/') {
    path.insert(0, base_path.substr(0, base_path.rfind('/') + 1));
  }
  url.target = cat(without_dots(path), rest);
  return url;
}

}  // namespace gantry::agent
