// SPDX-License-Identifier: Apache-2.0
#include "control/pki/files.h"

#include "base/text.h"
#include "sys/file.h"

namespace gantry::control {

Result<std::string> read_pem_file(FdRef dir, const std::string& name) {
  auto text = sys::read_file(dir, name.c_str(), 1U << 20);
  if (!text) return fail_with(std::move(text.error()), cat("read ", name));
  return text;
}

}  // namespace gantry::control
