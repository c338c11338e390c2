// SPDX-License-Identifier: Apache-2.0
#include "volumes/memory_folder.h"

#include <fcntl.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "volumes/mount_point.h"

namespace gantry::volumes {
namespace {

Result<MountFd> make_file_system(const MemoryFolder& folder) {
  const char* type = folder.huge_page == 0 ? "tmpfs" : "hugetlbfs";
  auto context = sys::FsContext::open(type);
  if (!context) return std::unexpected(std::move(context.error()));
  std::vector<std::pair<const char*, std::string>> options{{"source", type}};
  if (folder.huge_page > 0) options.emplace_back("pagesize", absl::StrCat(folder.huge_page));
  options.emplace_back("mode", absl::StrFormat("%o", folder.mode));
  if (folder.group) options.emplace_back("gid", absl::StrCat(*folder.group));
  if (folder.size > 0) options.emplace_back("size", absl::StrCat(folder.size));
  for (const auto& [key, value] : options) {
    if (auto set = context->set(key, value.c_str()); !set) return std::unexpected(std::move(set.error()));
  }
  // An older kernel says that it does not know the word.
  if (folder.is_secret) (void)context->set_flag("noswap");
  if (auto made = context->create(); !made) return std::unexpected(std::move(made.error()));
  auto mount = context->mount(sys::MountAttr::kNoSuid | sys::MountAttr::kNoDev);
  if (!mount || folder.huge_page == 0) return mount;
  // A hugetlbfs takes no set-gid bit among its options.
  auto root = sys::openat(*mount, ".", O_RDONLY | O_DIRECTORY);
  if (!root) return std::unexpected(std::move(root.error()));
  if (auto set = sys::fchmod(*root, folder.mode); !set) return std::unexpected(std::move(set.error()));
  return mount;
}

}  // namespace

Status mount_memory(FdRef parent, const std::string& name, const MemoryFolder& folder) {
  auto mounted = is_mount_point(parent, name);
  if (!mounted) return std::unexpected(std::move(mounted.error()));
  if (*mounted) return {};
  auto made = make_file_system(folder);
  if (!made) return std::unexpected(std::move(made.error()));
  auto target = sys::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_DIRECTORY);
  if (!target) return std::unexpected(std::move(target.error()));
  return sys::attach(*made, *target);
}

}  // namespace gantry::volumes
