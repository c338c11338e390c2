// SPDX-License-Identifier: Apache-2.0
#include "sys/private_file.h"

#include <fcntl.h>

#include "base/text.h"
#include "sys/file.h"
#include "sys/folders.h"

namespace gantry::sys {

Status write_private_file(FdRef dir, const std::string& name, std::string_view bytes) {
  const std::string next = name + ".new";
  auto write = [&]() -> Status {
    // One that a crash has left is nobody's.
    if (auto gone = unlinkat(dir, next.c_str(), 0); !gone && !gone.error().is_not_found()) return gone;
    auto file = openat(dir, next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (!file) return std::unexpected(std::move(file.error()));
    if (auto written = write_all(*file, bytes); !written) return written;
    if (auto synced = fsync(*file); !synced) return synced;
    if (auto renamed = renameat2(dir, next.c_str(), dir, name.c_str(), 0); !renamed) return renamed;
    return sync_folder(dir);
  };
  auto written = write();
  if (!written) return fail_with(std::move(written.error()), cat("write ", name));
  return written;
}

}  // namespace gantry::sys
