// SPDX-License-Identifier: Apache-2.0
#include "cgroups/hierarchy.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "cgroups/text.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace gantry::cgroups {
namespace {

// Where it mostly is.
constexpr const char* kUsualPlace = "/sys/fs/cgroup";
constexpr std::size_t kMaxMountinfo = 16U << 20;
constexpr std::size_t kMaxPath = 4096;
constexpr std::size_t kMaxParts = 32;

// mountinfo writes blanks, tabs, line feeds and backslashes as \ooo.
std::string unescape(std::string_view text) {
  auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      plain += static_cast<char>(((text[i + 1] - '0') << 6) | ((text[i + 2] - '0') << 3) | (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// Lower is better.
int rank(const CgroupMount& mount) {
  int place = mount.mount_point == kUsualPlace ? 0 : mount.mount_point == "/sys/fs/cgroup/unified" ? 1 : 2;
  return (mount.root == "/" ? 0 : 8) + (mount.read_only ? 4 : 0) + place;
}

// The hierarchy's root, if it is mounted there and can be written. To read all mounts takes longer.
std::optional<DirFd> whole_at(const char* path) {
  constexpr ino_t kRoot = 1;
  auto folder = sys::openat(sys::kCwd, path, O_RDONLY | O_DIRECTORY);
  auto filesystem = folder ? sys::fstatfs(*folder) : Result<struct statfs>(std::unexpected(folder.error()));
  if (!filesystem || filesystem->f_type != CGROUP2_SUPER_MAGIC || (filesystem->f_flags & ST_RDONLY) != 0)
    return std::nullopt;
  auto info = sys::fstat(*folder);
  if (!info || info->st_ino != kRoot) return std::nullopt;
  return DirFd(std::move(*folder));
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : ", ").append(word);
  return text;
}

}  // namespace

std::vector<CgroupMount> cgroup_mounts(std::string_view mountinfo) {
  std::vector<CgroupMount> mounts;
  for (std::string_view line : split_lines(mountinfo)) {
    // 31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
    for (int field = 0; field < 3; ++field) next_word(line);
    CgroupMount mount;
    mount.root = unescape(next_word(line));
    mount.mount_point = unescape(next_word(line));
    std::string_view options = next_word(line);
    mount.read_only = options == "ro" || options.starts_with("ro,");
    std::string_view word = next_word(line);
    while (!word.empty() && word != "-") word = next_word(line);
    // Before its equals: a later mount covers an earlier one.
    if (next_word(line) == "cgroup2") mounts.insert(std::ranges::lower_bound(mounts, rank(mount), {}, rank), mount);
  }
  return mounts;
}

Result<Hierarchy> Hierarchy::find(std::string_view mountinfo) {
  for (const CgroupMount& mount : cgroup_mounts(mountinfo)) {
    auto root = sys::openat(sys::kCwd, mount.mount_point.c_str(), O_RDONLY | O_DIRECTORY);
    if (!root) continue;
    // Something else may be mounted over it.
    auto info = sys::fstatfs(*root);
    if (!info || info->f_type != CGROUP2_SUPER_MAGIC) continue;
    return at(DirFd(std::move(*root)), mount.mount_point);
  }
  return fail(Code::kFailedPrecondition,
              "cgroup v2 is not mounted in this mount namespace: boot with systemd.unified_cgroup_hierarchy=1, or "
              "mount -t cgroup2 none /sys/fs/cgroup");
}

Result<Hierarchy> Hierarchy::find() {
  if (auto root = whole_at(kUsualPlace)) return at(std::move(*root), kUsualPlace);
  auto text = sys::read_file(sys::kCwd, "/proc/self/mountinfo", kMaxMountinfo);
  if (!text) return std::unexpected(std::move(text.error()));
  return find(*text);
}

Result<Hierarchy> Hierarchy::at(DirFd&& root, std::string mount_point) {
  Cgroup top(std::move(root), "/");
  auto controllers = top.controllers();
  if (!controllers) return fail_with(std::move(controllers.error()), "cgroup v2 at " + mount_point);
  return Hierarchy(std::move(top), std::move(mount_point), std::move(*controllers));
}

Result<MountFd> detached_hierarchy() {
  auto hierarchy = Hierarchy::find();
  if (hierarchy) return sys::clone_mount(hierarchy->root().dir(), "", sys::Recursive::kNo);
  if (hierarchy.error().code() != Code::kFailedPrecondition) return std::unexpected(std::move(hierarchy.error()));
  auto context = sys::FsContext::open("cgroup2");
  if (!context) return std::unexpected(std::move(context.error()));
  if (auto s = context->create(); !s) return std::unexpected(std::move(s.error()));
  return context->mount(sys::MountAttr::kNone);
}

bool Hierarchy::has(std::string_view controller) const { return contains(controllers_, controller); }

std::vector<std::string> Hierarchy::lacking() const {
  std::vector<std::string> names;
  for (std::string_view name : kControllers) {
    if (!has(name)) names.emplace_back(name);
  }
  return names;
}

std::string Hierarchy::describe() const {
  std::string text = "cgroup v2 at " + mount_point_;
  auto missing = lacking();
  if (missing.empty()) return text + " with all controllers";
  return text + " without " + joined(missing) + " (not in this hierarchy): limits of these are not enforced";
}

Result<std::string> cgroup_path_in(std::string_view text) {
  // 4:memory:/a
  // 0::/b
  for (std::string_view line : split_lines(text)) {
    if (line.starts_with("0::")) return std::string(line.substr(3));
  }
  return fail(Code::kFailedPrecondition, "cgroup v2 is not mounted, which is needed");
}

Result<std::string> cgroup_path_of(const std::string& process) {
  constexpr std::size_t kMaxText = 65536;
  auto text = sys::read_file(sys::kCwd, cat("/proc/", process, "/cgroup").c_str(), kMaxText);
  if (!text) return text;
  return cgroup_path_in(*text);
}

Result<std::vector<std::string>> split_cgroup_path(std::string_view path) {
  if (path.size() > kMaxPath) {
    return invalid_argument("cgroup path of " + std::to_string(path.size()) + " bytes, at most " +
                            std::to_string(kMaxPath));
  }
  std::vector<std::string> parts;
  if (path.starts_with('/')) path.remove_prefix(1);
  if (path.ends_with('/')) path.remove_suffix(1);
  while (!path.empty()) {
    std::size_t slash = path.find('/');
    std::string_view part = path.substr(0, slash);
    if (auto checked = check_cgroup_name(part); !checked) return std::unexpected(std::move(checked.error()));
    parts.emplace_back(part);
    if (parts.size() > kMaxParts) {
      return invalid_argument("cgroup path with more than " + std::to_string(kMaxParts) + " parts");
    }
    if (slash == path.npos) break;
    path.remove_prefix(slash + 1);
    if (path.empty()) return invalid_argument("cgroup path with an empty part");
  }
  return parts;
}

Result<Cgroup> Hierarchy::open(std::string_view path) const {
  auto parts = split_cgroup_path(path);
  if (!parts) return std::unexpected(std::move(parts.error()));
  std::string below, shown;
  for (const std::string& part : *parts) {
    below.append(below.empty() ? "" : "/").append(part);
    shown.append("/").append(part);
  }
  auto fd = sys::openat2(root_.dir(), below.empty() ? "." : below.c_str(), O_RDONLY | O_DIRECTORY,
                         sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks | sys::Resolve::kNoXdev);
  if (!fd) return fail_with(std::move(fd.error()), "cgroup " + (shown.empty() ? "/" : shown));
  return Cgroup(DirFd(std::move(*fd)), shown.empty() ? "/" : shown);
}

}  // namespace gantry::cgroups
