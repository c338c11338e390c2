// SPDX-License-Identifier: Apache-2.0
#include "volumes/payload.h"

#include <algorithm>
#include <climits>
#include <utility>

#include "base/text.h"

namespace gantry::volumes {

Result<std::string> payload_path(std::string_view path) {
  const auto wrong = [&](std::string_view why) { return invalid_argument(cat("path ", quoted(path, 256), " ", why)); };
  if (path.starts_with('/')) return wrong("must be relative");
  if (path.size() >= PATH_MAX) return wrong("is too long");
  if (path.find('\0') != std::string_view::npos) return wrong("has a byte that no name has");
  std::string clean;
  for (std::string_view rest = path; !rest.empty();) {
    const std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (name.empty() || name == ".") continue;
    if (name == "..") return wrong("must not contain '..'");
    if (clean.empty() && name.starts_with("..")) return wrong("must not begin with '..'");
    if (name.size() > NAME_MAX) return wrong("has a name that is too long");
    if (!clean.empty()) clean += '/';
    clean += name;
  }
  if (clean.empty()) return wrong("names no file");
  return clean;
}

Status add_file(Payload& payload, std::string_view path, File file) {
  auto clean = payload_path(path);
  if (!clean) return std::unexpected(std::move(clean.error()));
  payload[std::move(*clean)] = std::move(file);
  return {};
}

Status check_payload(const Payload& payload) {
  std::size_t bytes = 0;
  for (const auto& [path, file] : payload) {
    bytes += file.bytes.size();
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      if (!payload.contains(path.substr(0, slash))) continue;
      return invalid_argument(
          cat("path ", quoted(path, 256), ": there is a file at ", quoted(path.substr(0, slash), 256)));
    }
  }
  if (bytes > kMaxPayloadBytes || payload.size() > kMaxPayloadFiles) {
    return fail(Code::kResourceExhausted, cat("a volume of more than ", kMaxPayloadBytes >> 20, " MiB or ",
                                              kMaxPayloadFiles, " files of configuration"));
  }
  return {};
}

}  // namespace gantry::volumes
