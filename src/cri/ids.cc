// SPDX-License-Identifier: Apache-2.0
#include "cri/ids.h"

#include <sys/random.h>

#include <array>
#include <cerrno>

#include "cri/text.h"

namespace gantry::cri {

Result<std::string> new_id() {
  std::array<char, 32> raw{};
  if (::getrandom(raw.data(), raw.size(), 0) != static_cast<ssize_t>(raw.size())) {
    return std::unexpected(Error::from_errno(errno, "getrandom"));
  }
  return to_hex(std::string_view(raw.data(), raw.size()));
}

Status check_id(std::string_view id, std::string_view what) {
  if (id.empty()) return invalid_argument(cat(what, ": not given"));
  if (id.size() > kMaxIdBytes) {
    return invalid_argument(cat(what, " ", quoted(id), ": ids have at most ", kMaxIdBytes, " bytes"));
  }
  return {};
}

}  // namespace gantry::cri
