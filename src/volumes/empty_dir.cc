// SPDX-License-Identifier: Apache-2.0
#include "volumes/empty_dir.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/quantity.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "volumes/memory_folder.h"
#include "volumes/prepare.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr char kMemory[] = "Memory", kHugePages[] = "HugePages";

// 0777; with fsGroup owned by that group, which what is made in it inherits.
mode_t mode_of(const core::EmptyDirVolumeSource& source, const core::PodSecurityContext& security) {
  mode_t mode = source.has_mode() ? static_cast<mode_t>(source.mode()) & 07777 : 0777;
  return security.has_fs_group() ? mode | S_ISGID | 0070 : mode;
}

// In kubelet's words. The size is the medium's, HugePages-2Mi, or, of HugePages alone, the only one that the pod
// requests.
Result<std::uint64_t> huge_page_of(const core::PodSpec& spec, const std::string& medium) {
  constexpr std::string_view kResource = "hugepages-";
  std::set<std::string> sizes;
  for (const auto* containers : {&spec.init_containers(), &spec.containers()}) {
    for (const auto& container : *containers) {
      for (const auto& [name, amount] : container.resources().requests()) {
        if (name.starts_with(kResource)) sizes.insert(name.substr(kResource.size()));
      }
    }
  }
  const auto is_other = [&](const std::string& size) { return medium != absl::StrCat(kHugePages, "-", size); };
  if (medium != kHugePages) std::erase_if(sizes, is_other);
  if (sizes.size() > 1) {
    return invalid_argument(
        absl::StrCat("medium ", medium, " can't be used if container requests multiple huge page sizes"));
  }
  auto size = sizes.empty() ? api::Quantity() : api::Quantity::parse(*sizes.begin()).value_or(api::Quantity());
  if (size.value() > 0) return static_cast<std::uint64_t>(size.value());
  return invalid_argument(absl::StrCat(
      "medium ", medium, ": hugePages storage requested, but there is no resource request for huge pages"));
}

// Only once: what is there already is what the containers wrote into.
Status mount_in_memory(FdRef parent, const core::Volume& volume, const core::PodSpec& spec) {
  const auto& source = volume.volume_source().empty_dir();
  const auto& security = spec.security_context();
  MemoryFolder folder{.mode = mode_of(source, security)};
  if (security.has_fs_group()) folder.group = static_cast<gid_t>(security.fs_group());
  auto limit = api::Quantity::parse(source.size_limit().string());
  if (limit && limit->value() > 0) folder.size = static_cast<std::uint64_t>(limit->value());
  if (source.medium() != kMemory) {
    auto page = huge_page_of(spec, source.medium());
    if (!page) return std::unexpected(std::move(page.error()));
    folder.huge_page = *page;
  }
  return mount_memory(parent, volume.name(), folder);
}

Status make(const std::string& parent_path, const core::Volume& volume, const core::PodSpec& spec) {
  if (auto made = sys::make_folders(parent_path, 0750); !made) return made;
  auto parent = sys::open_dir(sys::kCwd, parent_path.c_str());
  if (!parent) return std::unexpected(std::move(parent.error()));
  const auto& source = volume.volume_source().empty_dir();
  const auto& security = spec.security_context();
  if (!sys::fstatat(*parent, volume.name().c_str(), AT_SYMLINK_NOFOLLOW)) {
    std::string fresh = absl::StrCat(".", volume.name(), ".new");  // no volume's name begins with a dot
    auto made = sys::mkdirat(*parent, fresh.c_str(), 0700);
    if (!made && !made.error().is_already_exists()) return made;
    auto dir = sys::openat(*parent, fresh.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!dir) return std::unexpected(std::move(dir.error()));
    if (security.has_fs_group()) {
      auto owned = sys::fchown(*dir, static_cast<uid_t>(-1), static_cast<gid_t>(security.fs_group()));
      if (!owned) return owned;
    }
    if (auto set = sys::fchmod(*dir, mode_of(source, security)); !set) return set;
    auto named = sys::renameat2(*parent, fresh.c_str(), *parent, volume.name().c_str(), 0);
    if (!named) return named;
  }
  return source.medium().empty() ? Status() : mount_in_memory(*parent, volume, spec);
}

}  // namespace

Result<std::string> prepare_empty_dir(const core::Pod& pod, const core::Volume& volume, const std::string& pod_folder) {
  std::string path = volume_folder(pod_folder, "empty-dir", volume.name());
  auto made = make(path.substr(0, path.rfind('/')), volume, pod.spec());
  if (!made) return std::unexpected(std::move(made.error()));
  return path;
}

}  // namespace gantry::volumes
