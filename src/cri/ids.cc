// SPDX-License-Identifier: Apache-2.0
#include "cri/ids.h"

#include "base/random.h"
#include "cri/text.h"

namespace gantry::cri {

Result<std::string> new_id() { return random_hex(kIdBytes / 2); }

Status check_id(std::string_view id, std::string_view what) {
  if (id.empty()) return invalid_argument(cat(what, ": not given"));
  if (id.size() > kMaxIdBytes) {
    return invalid_argument(cat(what, " ", quoted(id), ": ids have at most ", kMaxIdBytes, " bytes"));
  }
  return {};
}

}  // namespace gantry::cri
