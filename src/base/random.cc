// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <sys/random.h>

#include <cerrno>

namespace gantry {

Result<std::string> random_hex(std::size_t bytes) {
  // Up to this much comes whole, or not at all (getrandom(2)).
  unsigned char raw[256];
  if (bytes > sizeof(raw)) return invalid_argument("random_hex: at most 256 bytes");
  if (::getrandom(raw, bytes, 0) != static_cast<ssize_t>(bytes)) {
    return std::unexpected(Error::from_errno(errno, "getrandom"));
  }
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) {
    text += "0123456789abcdef"[raw[i] >> 4];
    text += "0123456789abcdef"[raw[i] & 15];
  }
  return text;
}

}  // namespace gantry
