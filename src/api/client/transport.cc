// SPDX-License-Identifier: Apache-2.0
#include "api/client/transport.h"

namespace gantry::api {

namespace {
constexpr std::size_t kMaxLine = std::size_t{16} << 20;
}

Status LineSplitter::add(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (begun_.size() + piece.size() > kMaxLine) {
      return fail(Code::kResourceExhausted, "a line of a watch has more than 16 MiB");
    }
    if (end == std::string_view::npos) {
      begun_ += piece;
      return {};
    }
    bytes.remove_prefix(end + 1);
    Status taken;
    if (begun_.empty()) {
      taken = take_(piece);
    } else {
      begun_ += piece;
      const std::string line = std::exchange(begun_, {});
      taken = take_(line);
    }
    if (!taken) return taken;
  }
  return {};
}

}  // namespace gantry::api
