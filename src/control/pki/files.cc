// SPDX-License-Identifier: Apache-2.0
#include "control/pki/files.h"

#include <fcntl.h>

#include "base/text.h"
#include "sys/file.h"

namespace gantry::control {

Result<std::string> read_pem_file(FdRef dir, const std::string& name) {
  auto text = sys::read_file(dir, name.c_str(), 1U << 20);
  if (!text) return fail_with(std::move(text.error()), cat("read ", name));
  return text;
}

Status write_private_file(FdRef dir, const std::string& name, std::string_view bytes) {
  const std::string next = name + ".new";
  auto write = [&]() -> Status {
    // One that a crash has left is nobody's.
    if (auto gone = sys::unlinkat(dir, next.c_str(), 0); !gone && !gone.error().is_not_found()) return gone;
    auto file = sys::openat(dir, next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (!file) return std::unexpected(std::move(file.error()));
    if (auto written = sys::write_all(*file, bytes); !written) return written;
    if (auto synced = sys::fsync(*file); !synced) return synced;
    if (auto renamed = sys::renameat2(dir, next.c_str(), dir, name.c_str(), 0); !renamed) return renamed;
    auto folder = sys::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!folder) return std::unexpected(std::move(folder.error()));
    return sys::fsync(*folder);
  };
  auto written = write();
  if (!written) return fail_with(std::move(written.error()), cat("write ", name));
  return written;
}

}  // namespace gantry::control
