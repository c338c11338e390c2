// SPDX-License-Identifier: Apache-2.0
#include "volumes/atomic_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <chrono>
#include <climits>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sys/file.h"

namespace gantry::volumes {
namespace {

constexpr char kData[] = "..data";
constexpr char kNewData[] = "..data_tmp";
constexpr int kMaxDepth = PATH_MAX / 2;
constexpr auto kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

mode_t file_mode(const File& file, std::optional<gid_t> group) { return (file.mode & 07777) | (group ? 0440 : 0); }
mode_t folder_mode(std::optional<gid_t> group) { return group ? 0755 | S_ISGID : 0755; }

// ---- what is there

bool holds(FdRef file, const struct stat& info, const File& wanted, std::optional<gid_t> group) {
  if (!S_ISREG(info.st_mode) || info.st_size != static_cast<off_t>(wanted.bytes.size())) return false;
  if ((info.st_mode & 07777) != file_mode(wanted, group)) return false;
  if (wanted.owner && info.st_uid != *wanted.owner) return false;
  if (group && info.st_gid != *group) return false;
  auto bytes = sys::read_all(file, wanted.bytes.size() + 1);
  return bytes && *bytes == wanted.bytes;
}

// Each file in `folder` is one of the payload and as it is wanted; counts them.
bool holds_only(FdRef folder, const std::string& prefix, const Payload& payload, std::optional<gid_t> group, int depth,
                std::size_t& count) {
  auto names = sys::list_dir(folder);
  if (!names || depth > kMaxDepth) return false;
  for (const auto& name : *names) {
    auto one = sys::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    auto info = one ? sys::fstat(*one) : std::unexpected(one.error());
    if (!info) return false;
    const std::string path = prefix + name;
    if (S_ISDIR(info->st_mode)) {
      if (!holds_only(*one, path + "/", payload, group, depth + 1, count)) return false;
      continue;
    }
    auto wanted = payload.find(path);
    if (wanted == payload.end() || !holds(*one, *info, wanted->second, group)) return false;
    ++count;
  }
  return true;
}

// The folder that ..data leads to, if it is one of this writer's; else "".
std::string current_folder(FdRef volume) {
  auto target = sys::readlinkat(volume, kData);
  if (!target || !target->starts_with("..") || target->find('/') != std::string::npos || *target == "..") return "";
  return *target;
}

bool is_current(FdRef volume, const std::string& current, const Payload& payload, std::optional<gid_t> group) {
  if (current.empty()) return false;
  auto folder = sys::openat(volume, current.c_str(), kFolderFlags);
  if (!folder) return false;
  std::size_t count = 0;
  return holds_only(*folder, "", payload, group, 0, count) && count == payload.size();
}

// ---- the new one

Result<std::string> make_fresh_folder(FdRef volume, std::optional<gid_t> group) {
  constexpr int kTries = 100;
  Status made;
  for (int i = 0; i < kTries; ++i) {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
    const time_t whole = seconds.count();
    struct tm parts{};
    ::gmtime_r(&whole, &parts);
    char text[32];
    ::strftime(text, sizeof text, "..%Y_%m_%d_%H_%M_%S", &parts);
    const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count();
    std::string name = absl::StrFormat("%s.%09d", text, rest);
    made = sys::mkdirat(volume, name.c_str(), 0700);
    if (!made && made.error().is_already_exists()) continue;
    if (!made) break;
    auto folder = sys::openat(volume, name.c_str(), kFolderFlags);
    if (!folder) return std::unexpected(std::move(folder.error()));
    if (group) made = sys::fchown(*folder, static_cast<uid_t>(-1), *group);
    if (made) made = sys::fchmod(*folder, folder_mode(group));
    if (!made) break;
    return name;
  }
  return std::unexpected(std::move(made.error()));
}

// Opens the folder of `path`, making those that are not there.
Result<OwnFd> open_parent(FdRef root, std::string_view path, std::optional<gid_t> group) {
  auto folder = sys::openat(root, ".", kFolderFlags);
  for (auto slash = path.find('/'); folder && slash != std::string_view::npos; slash = path.find('/')) {
    const std::string name(path.substr(0, slash));
    path.remove_prefix(slash + 1);
    auto made = sys::mkdirat(*folder, name.c_str(), 0700);
    if (!made && !made.error().is_already_exists()) return std::unexpected(std::move(made.error()));
    auto next = sys::openat(*folder, name.c_str(), kFolderFlags);
    if (!next) return next;
    if (made) {
      if (group) made = sys::fchown(*next, static_cast<uid_t>(-1), *group);
      if (made) made = sys::fchmod(*next, folder_mode(group));
      if (!made) return std::unexpected(std::move(made.error()));
    }
    folder = std::move(next);
  }
  return folder;
}

Status write_file(FdRef root, const std::string& path, const File& file, std::optional<gid_t> group) {
  auto folder = open_parent(root, path, group);
  if (!folder) return std::unexpected(std::move(folder.error()));
  const std::string name = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  auto out = sys::openat(*folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!out) return std::unexpected(std::move(out.error()));
  if (auto done = sys::write_all(*out, file.bytes); !done) return done;
  if (file.owner || group) {
    auto owned = sys::fchown(*out, file.owner.value_or(static_cast<uid_t>(-1)), group.value_or(static_cast<gid_t>(-1)));
    if (!owned) return owned;
  }
  return sys::fchmod(*out, file_mode(file, group));  // after the owner, whose change takes bits away
}

Status write_files(FdRef volume, const std::string& name, const Payload& payload, std::optional<gid_t> group) {
  auto root = sys::openat(volume, name.c_str(), kFolderFlags);
  if (!root) return std::unexpected(std::move(root.error()));
  for (const auto& [path, file] : payload) {
    if (auto done = write_file(*root, path, file, group); !done) return done;
  }
  return {};
}

// ---- what leads to it

std::string target_of(const std::string& name) { return absl::StrCat(kData, "/", name); }

Status link(FdRef volume, const std::string& name) {
  const std::string target = target_of(name);
  auto made = sys::symlinkat(target.c_str(), volume, name.c_str());
  if (made || !made.error().is_already_exists()) return made;
  auto there = sys::readlinkat(volume, name.c_str());
  if (there && *there == target) return {};
  if (auto gone = sys::remove_tree(volume, name.c_str()); !gone) return gone;
  return sys::symlinkat(target.c_str(), volume, name.c_str());
}

std::set<std::string> names_of(const Payload& payload) {
  std::set<std::string> names;
  for (const auto& [path, file] : payload) names.insert(path.substr(0, path.find('/')));
  return names;
}

Status make_links(FdRef volume, const Payload& payload) {
  for (const auto& name : names_of(payload)) {
    if (auto done = link(volume, name); !done) return done;
  }
  return {};
}

// What this writer made for an earlier payload goes.
Status tidy(FdRef volume, const std::string& current, const Payload& payload) {
  const std::set<std::string> wanted = names_of(payload);
  auto names = sys::list_dir(volume);
  if (!names) return std::unexpected(std::move(names.error()));
  for (const auto& name : *names) {
    if (wanted.contains(name) || name == current || name == kData) continue;
    if (name.starts_with("..")) {
      if (auto gone = sys::remove_tree(volume, name.c_str()); !gone) return gone;
      continue;
    }
    auto target = sys::readlinkat(volume, name.c_str());
    if (!target || *target != target_of(name)) continue;  // somebody else's
    auto gone = sys::unlinkat(volume, name.c_str(), 0);
    if (!gone && !gone.error().is_not_found()) return gone;
  }
  return {};
}

}  // namespace

Result<bool> write_payload(FdRef volume, const Payload& payload, std::optional<gid_t> group) {
  if (auto fine = check_payload(payload); !fine) return std::unexpected(std::move(fine.error()));
  const std::string before = current_folder(volume);
  if (is_current(volume, before, payload, group)) {
    Status done = make_links(volume, payload);
    if (done) done = tidy(volume, before, payload);
    if (!done) return std::unexpected(std::move(done.error()));
    return false;
  }
  auto fresh = make_fresh_folder(volume, group);
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  auto done = write_files(volume, *fresh, payload, group);
  // A folder can't be replaced by a link; nobody but a stranger makes one of this name.
  if (done && before.empty()) done = sys::remove_tree(volume, kData);
  // Of an earlier call, which was cut short.
  if (done) done = sys::remove_tree(volume, kNewData);
  // They lead nowhere until then: who finds ..data finds all.
  if (done) done = make_links(volume, payload);
  if (done) done = sys::symlinkat(fresh->c_str(), volume, kNewData);
  if (done) done = sys::renameat2(volume, kNewData, volume, kData, 0);
  if (!done) {
    (void)sys::remove_tree(volume, fresh->c_str());
    return std::unexpected(std::move(done.error()));
  }
  if (auto tidied = tidy(volume, *fresh, payload); !tidied) return std::unexpected(std::move(tidied.error()));
  return true;
}

bool is_written(FdRef volume) { return !current_folder(volume).empty(); }

}  // namespace gantry::volumes
