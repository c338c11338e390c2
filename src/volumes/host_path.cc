// SPDX-License-Identifier: Apache-2.0
#include "volumes/host_path.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/text.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"
#include "sys/folders.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

// As kubelet calls it.
const char* name_of(const std::string& type) {
  if (type == "Directory" || type == "DirectoryOrCreate") return "directory";
  if (type == "File" || type == "FileOrCreate") return "file";
  if (type == "Socket") return "socket file";
  return type == "CharDevice" ? "character device" : "block device";
}

bool is_of_type(const std::string& type, mode_t mode) {
  if (type == "Directory" || type == "DirectoryOrCreate") return S_ISDIR(mode);
  if (type == "File" || type == "FileOrCreate") return S_ISREG(mode);
  if (type == "Socket") return S_ISSOCK(mode);
  if (type == "CharDevice") return S_ISCHR(mode);
  return type == "BlockDevice" && S_ISBLK(mode);
}

}  // namespace

Status prepare_host_path(const core::HostPathVolumeSource& source) {
  const std::string& path = source.path();
  const std::string& type = source.type();
  if (!path.starts_with('/'))
    return invalid_argument(absl::StrCat("hostPath.path ", api::quoted(path), ": give an absolute path"));
  if (type.empty()) return {};  // whatever is there; nothing becomes a folder when the container starts
  auto info = sys::fstatat(sys::kCwd, path.c_str(), 0);
  if (!info && info.error().is_not_found()) {
    if (type == "DirectoryOrCreate") return sys::make_folders(path, 0755);
    if (type == "FileOrCreate") {
      auto file = sys::openat(sys::kCwd, path.c_str(), O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK, 0644);
      return file ? Status() : Status(std::unexpected(std::move(file.error())));
    }
  }
  if (!info && !info.error().is_not_found()) return std::unexpected(std::move(info.error()));
  if (info && is_of_type(type, info->st_mode)) return {};
  return fail(Code::kFailedPrecondition,
              absl::StrCat("hostPath type check failed: ", path, " is not a ", name_of(type)));
}

}  // namespace gantry::volumes
