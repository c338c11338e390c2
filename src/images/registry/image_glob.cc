// SPDX-License-Identifier: Apache-2.0
#include "images/registry/image_glob.h"

#include <fnmatch.h>

#include <algorithm>

#include "images/text.h"

namespace gantry::images {
namespace {

struct Parts {
  std::string_view host, port, path;
};

Parts parts_of(std::string_view text) {
  Parts out;
  const std::size_t slash = std::min(text.find('/'), text.size());
  out.host = text.substr(0, slash);
  out.path = text.substr(slash);
  const std::size_t colon = out.host.rfind(':');
  if (colon != std::string_view::npos && out.host.find(']', colon) == std::string_view::npos) {
    out.port = out.host.substr(colon + 1);
    out.host = out.host.substr(0, colon);
  }
  return out;
}

// What comes before the next dot, which goes with it.
std::string take_piece(std::string_view& host) {
  const std::size_t dot = std::min(host.find('.'), host.size());
  std::string piece(host.substr(0, dot));
  host.remove_prefix(dot);
  return piece;
}

}  // namespace

std::string normal_pattern(std::string_view pattern) {
  for (std::string_view scheme : {"https://", "http://"}) {
    if (pattern.starts_with(scheme)) pattern.remove_prefix(scheme.size());
  }
  const std::size_t slash = std::min(pattern.find('/'), pattern.size());
  const std::string_view host = pattern.substr(0, slash);
  std::string_view path = pattern.substr(slash);
  if (path.starts_with("/v1/") || path.starts_with("/v2/")) path.remove_prefix(3);
  return path == "/" ? std::string(host) : cat(host, path);
}

bool matches_image(std::string_view pattern, std::string_view image) {
  Parts glob = parts_of(pattern);
  Parts name = parts_of(image);
  if (glob.port != name.port || !name.path.starts_with(glob.path)) return false;
  for (;;) {
    if (::fnmatch(take_piece(glob.host).c_str(), take_piece(name.host).c_str(), 0) != 0) return false;
    if (glob.host.empty() || name.host.empty()) return glob.host.empty() && name.host.empty();
    glob.host.remove_prefix(1);
    name.host.remove_prefix(1);
  }
}

}  // namespace gantry::images
