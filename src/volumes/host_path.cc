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

std::string kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISREG(mode)) return "a file";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  if (S_ISBLK(mode)) return "a block device";
  return "of another kind";
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
  if (!info) return std::unexpected(std::move(info.error()));
  if (is_of_type(type, info->st_mode)) return {};
  return fail(Code::kFailedPrecondition, absl::StrCat("hostPath type check failed: ", path, " is ",
                                                      kind_of(info->st_mode), ", and type ", type, " was asked for"));
}

}  // namespace gantry::volumes
