// SPDX-License-Identifier: Apache-2.0
#include "images/unpacker.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "images/digest.h"
#include "images/docker_archive.h"
#include "images/documents.h"
#include "images/text.h"
#include "sys/file.h"
#include "sys/same_file.h"
#include "sys/xattr.h"

namespace gantry::images {
namespace {

using sys::Resolve;

// Deeper trees are nobody's, and removing a tree holds a descriptor for each level.
constexpr std::size_t kMaxDepth = 256;
constexpr std::size_t kMaxPath = 4096;
constexpr int kMaxXattrs = 64;
constexpr int kMaxLinks = 40;  // on the way to one entry, as the kernel has it
constexpr std::size_t kReadBlock = 256 << 10;

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::string_view kAufs = ".wh..wh.";

// "./usr//lib/x/" as "usr/lib/x".
Result<std::string> normal_path(std::string_view name) {
  if (name.size() > kMaxPath) {
    return invalid_argument(cat("a name of ", name.size(), " bytes, at most ", kMaxPath, " are allowed"));
  }
  std::string path;
  std::size_t depth = 0;
  for (std::string_view component : components(name)) {
    if (component == ".") continue;
    if (component == "..") return invalid_argument("\"..\" in its name: an entry must stay within its archive");
    if (++depth > kMaxDepth) return invalid_argument(cat("folders nested more than ", kMaxDepth, " deep"));
    if (!path.empty()) path += '/';
    path += component;
  }
  return path;
}

std::pair<std::string_view, std::string_view> split(std::string_view path) {
  std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

bool is_whiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == 0; }

timespec modification_time(archive_entry* entry) {
  if (::archive_entry_mtime_is_set(entry) == 0) return {0, 0};
  return {::archive_entry_mtime(entry), ::archive_entry_mtime_nsec(entry)};
}

Result<std::pair<uid_t, gid_t>> owner(archive_entry* entry) {
  constexpr std::int64_t kMaxId = 0xfffffffe;  // 2^32-1 means "no change" to chown
  std::int64_t uid = ::archive_entry_uid(entry);
  std::int64_t gid = ::archive_entry_gid(entry);
  if (uid < 0 || uid > kMaxId || gid < 0 || gid > kMaxId) {
    return invalid_argument(cat("owner ", uid, ":", gid, ", expected numbers from 0 to ", kMaxId));
  }
  return std::pair(static_cast<uid_t>(uid), static_cast<gid_t>(gid));
}

bool keeps_xattr(std::string_view name) {
  if (name == "security.capability") return true;
  return name.starts_with("user.") && !name.starts_with("user.overlay.");
}

constexpr char kNoArchive[] = "not a whole tar archive";

}  // namespace

std::unexpected<Error> archive_error(archive* archive, std::string_view what) {
  const char* text = ::archive_error_string(archive);
  return invalid_argument(cat(what, ": ", text != nullptr ? text : "unreadable"));
}

Unpacker::Unpacker(FdRef root, const WorkerArguments& limits) : root_(root), limits_(limits) {}

Result<WorkerAnswer> Unpacker::run(FdRef input) {
  std::unique_ptr<archive, int (*)(archive*)> reader(::archive_read_new(), ::archive_read_free);
  if (reader == nullptr) return fail(Code::kResourceExhausted, "out of memory");
  ::archive_read_support_format_tar(reader.get());
  ::archive_read_support_format_empty(reader.get());
  if (::archive_read_open_fd(reader.get(), input.get(), kReadBlock) != ARCHIVE_OK)
    return archive_error(reader.get(), kNoArchive);
  if (limits_.mode == WorkerMode::kLayer) implied_.insert("");
  for (;;) {
    archive_entry* next = nullptr;
    int result = ::archive_read_next_header(reader.get(), &next);
    if (result == ARCHIVE_EOF) break;
    if (result == ARCHIVE_RETRY) continue;
    if (result < ARCHIVE_WARN) return archive_error(reader.get(), kNoArchive);
    const char* name = ::archive_entry_pathname(next);
    if (name == nullptr) return invalid_argument("an entry without a readable name");
    if (auto done = entry(reader.get(), next); !done) return fail_with(std::move(done.error()), in_quotes(name));
  }
  if (auto set = set_folder_times(); !set) return std::unexpected(std::move(set.error()));
  for (const std::string& path : implied_) {
    if (auto noted = note(answer_.implied_folders, path); !noted) return std::unexpected(std::move(noted.error()));
  }
  std::ranges::sort(answer_.implied_folders);
  std::ranges::sort(answer_.opaque_folders);
  const auto twice = std::ranges::unique(answer_.opaque_folders);
  answer_.opaque_folders.erase(twice.begin(), twice.end());
  // The digest is of the whole stream: what follows the archive is read, by nobody.
  std::string rest(kReadBlock, '\0');
  for (;;) {
    auto count = sys::read(input, rest.data(), rest.size());
    if (!count) return std::unexpected(std::move(count.error()));
    if (*count == 0) return std::move(answer_);
  }
}

Status Unpacker::entry(archive* archive, archive_entry* entry) {
  if (++entries_ > limits_.entries) {
    return fail(Code::kResourceExhausted, cat("more than the ", limits_.entries, " entries that are allowed"));
  }
  auto path = normal_path(::archive_entry_pathname(entry));
  if (!path) return std::unexpected(std::move(path.error()));
  if (limits_.mode == WorkerMode::kLayout) return layout_entry(archive, entry, *path);
  return layer_entry(archive, entry, *path);
}

Status Unpacker::layout_entry(archive* archive, archive_entry* entry, const std::string& path) {
  constexpr std::string_view kBlobs = "blobs/sha256/";
  const bool is_blob = path.starts_with(kBlobs) && Digest::from_hex(path.substr(kBlobs.size()));
  const bool is_docker = is_docker_archive_part(path);
  if (!is_blob && !is_docker && path != "oci-layout") return {};
  const bool is_layer = is_docker && path.ends_with(".tar");
  if (is_layer && ::archive_entry_hardlink(entry) == nullptr && ::archive_entry_filetype(entry) == AE_IFLNK) {
    auto at = place(path);
    if (!at) return std::unexpected(std::move(at.error()));
    return symlink(*at, entry);
  }
  if (::archive_entry_hardlink(entry) != nullptr || ::archive_entry_filetype(entry) != AE_IFREG) {
    return invalid_argument("expected a regular file");
  }
  if (!is_blob && !is_layer && ::archive_entry_size(entry) > static_cast<std::int64_t>(kMaxDocumentBytes)) {
    return fail(Code::kResourceExhausted, cat("a document of ", ::archive_entry_size(entry), " bytes, at most ",
                                              kMaxDocumentBytes, " are allowed"));
  }
  auto at = place(path);
  if (!at) return std::unexpected(std::move(at.error()));
  return file(archive, *at, entry);
}

Status Unpacker::layer_entry(archive* archive, archive_entry* entry, const std::string& path) {
  auto [parent, name] = split(path);
  if (name == kOpaque) {
    auto real = real_path(parent);
    if (!real) return std::unexpected(std::move(real.error()));
    auto opened = make_folder(*real);
    if (!opened) return std::unexpected(std::move(opened.error()));
    return note(answer_.opaque_folders, *real);
  }
  if (name.starts_with(kAufs) || parent.find(kAufs) != std::string_view::npos) return {};
  auto at = place(path);
  if (!at) return std::unexpected(std::move(at.error()));
  if (name.starts_with(kWhiteout)) return whiteout(*at, name.substr(kWhiteout.size()), entry);
  if (::archive_entry_hardlink(entry) != nullptr) return hard_link(*at, entry);
  switch (::archive_entry_filetype(entry)) {
    case AE_IFREG:
      return file(archive, *at, entry);
    case AE_IFDIR:
      return folder(*at, entry);
    case AE_IFLNK:
      return symlink(*at, entry);
    case AE_IFIFO:
    case AE_IFCHR:
    case AE_IFBLK:
      return special(*at, entry);
    default:
      return invalid_argument("an entry of a kind that no layer has");
  }
}

// The folder that a path leads to when symlinks on the way are followed, with the layer's root as theirs. It need not
// be there, but where the links lead must.
Result<std::string> Unpacker::real_path(std::string_view path) {
  auto plain = open_folder(path);
  if (plain || plain.error().sys() != ELOOP) return std::string(path);
  std::vector<std::string> done, left;
  auto push = [&](std::string_view more) {
    const std::vector<std::string_view> names = components(more);
    for (auto name = names.rbegin(); name != names.rend(); ++name) left.emplace_back(*name);
  };
  auto joined = [&] {
    std::string out;
    for (const std::string& name : done) out += cat(out.empty() ? "" : "/", name);
    return out;
  };
  push(path);
  std::size_t own = left.size();  // of the names that are left, below those that links have put there
  for (int links = 0; !left.empty();) {
    const std::string name = std::move(left.back());
    left.pop_back();
    const bool is_own = left.size() < own;
    own = std::min(own, left.size());
    if (name == ".") continue;
    if (name == "..") {
      if (!done.empty()) done.pop_back();
      continue;
    }
    done.push_back(name);
    if (done.size() > kMaxDepth)
      return invalid_argument(cat(in_quotes(path), " is nested more than ", kMaxDepth, " deep"));
    auto link = sys::openat2(root_, joined().c_str(), O_PATH | O_NOFOLLOW, Resolve::kBeneath | Resolve::kNoSymlinks);
    if (!link && link.error().is_not_found() && is_own) continue;
    if (!link && link.error().is_not_found())
      return invalid_argument(
          cat("a symlink on the way leads to ", in_quotes(joined()), ", which is not in the layer"));
    if (!link) return std::unexpected(std::move(link.error()));
    auto info = sys::fstat(*link);
    if (!info) return std::unexpected(std::move(info.error()));
    if (!S_ISLNK(info->st_mode)) continue;
    if (++links > kMaxLinks) return invalid_argument(cat("more than ", kMaxLinks, " symlinks on the way"));
    auto target = sys::readlinkat(*link, "");
    if (!target) return std::unexpected(std::move(target.error()));
    done.pop_back();
    if (target->starts_with('/')) done.clear();
    push(*target);
  }
  return joined();
}

// Through no link.
Result<OwnFd> Unpacker::open_folder(std::string_view path) {
  if (path.empty()) return sys::openat(root_, ".", O_RDONLY | O_DIRECTORY);
  return sys::openat2(root_, std::string(path).c_str(), O_RDONLY | O_DIRECTORY,
                      Resolve::kBeneath | Resolve::kNoSymlinks);
}

// Opens the folder, making it and those above it when they are missing.
Result<OwnFd> Unpacker::make_folder(std::string_view path) {
  auto there = open_folder(path);
  if (there || !there.error().is_not_found() || there.error().sys() == ENOTDIR) return there;
  auto [parent, name] = split(path);
  auto above = make_folder(parent);
  if (!above) return above;
  std::string text(name);
  if (auto made = sys::mkdirat(*above, text.c_str(), 0755); !made) return std::unexpected(std::move(made.error()));
  // mkdirat is subject to the umask of whoever started us.
  auto folder = sys::openat2(*above, text.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Resolve::kBeneath);
  if (!folder) return folder;
  if (auto set = sys::fchmod(*folder, 0755); !set) return std::unexpected(std::move(set.error()));
  ++answer_.inodes;
  answer_.bytes += 4096;
  if (limits_.mode == WorkerMode::kLayer) implied_.emplace(path);
  return folder;
}

Result<Unpacker::Place> Unpacker::place(const std::string& path) {
  auto [parent, name] = split(path);
  if (!last_folder_.is_open() || removed_ || parent != last_path_) {
    auto real = real_path(parent);
    if (!real) return std::unexpected(std::move(real.error()));
    auto folder = make_folder(*real);
    if (!folder) return std::unexpected(std::move(folder.error()));
    last_folder_ = std::move(*folder);
    last_path_ = parent;
    last_real_ = std::move(*real);
    removed_ = false;
  }
  return Place{last_folder_, std::string(name), cat(last_real_, last_real_.empty() ? "" : "/", name)};
}

// Removes what stands where the entry goes. True when a whiteout did.
Result<bool> Unpacker::clear_place(const Place& at, bool for_folder) {
  auto info = sys::fstatat(at.parent, at.name.c_str(), AT_SYMLINK_NOFOLLOW);
  if (!info) {
    if (info.error().is_not_found()) return false;
    return std::unexpected(std::move(info.error()));
  }
  if (S_ISDIR(info->st_mode) && for_folder) return false;
  removed_ = true;
  if (auto removed = sys::remove_tree(at.parent, at.name.c_str()); !removed) {
    return std::unexpected(std::move(removed.error()));
  }
  return is_whiteout(*info);
}

Status Unpacker::whiteout(Place& at, std::string_view hidden, archive_entry* entry) {
  if (hidden.empty() || hidden == "." || hidden == "..") return invalid_argument("a whiteout that names no file");
  std::string name(hidden);
  auto info = sys::fstatat(at.parent, name.c_str(), AT_SYMLINK_NOFOLLOW);
  if (info) {
    // A whiteout hides what lower layers have, never what this one has: over a folder of this layer it makes that
    // opaque.
    if (!S_ISDIR(info->st_mode)) return {};
    auto [parent, own] = split(at.path);
    return note(answer_.opaque_folders, cat(parent, parent.empty() ? "" : "/", hidden));
  }
  if (!info.error().is_not_found()) return std::unexpected(std::move(info.error()));
  auto ids = owner(entry);
  if (!ids) return std::unexpected(std::move(ids.error()));
  if (auto made = sys::mknodat(at.parent, name.c_str(), S_IFCHR | 0, 0); !made) return made;
  ++answer_.inodes;
  return sys::fchownat(at.parent, name.c_str(), ids->first, ids->second, AT_SYMLINK_NOFOLLOW);
}

Status Unpacker::folder(Place& at, archive_entry* entry) {
  OwnFd opened;
  if (at.name.empty()) {
    auto root = open_folder("");
    if (!root) return std::unexpected(std::move(root.error()));
    opened = std::move(*root);
  } else {
    auto was_whiteout = clear_place(at, true);
    if (!was_whiteout) return std::unexpected(std::move(was_whiteout.error()));
    auto made = sys::mkdirat(at.parent, at.name.c_str(), 0700);
    if (!made && !made.error().is_already_exists()) return made;
    if (made) {
      ++answer_.inodes;
      answer_.bytes += 4096;
    }
    if (*was_whiteout) {
      if (auto noted = note(answer_.opaque_folders, at.path); !noted) return noted;
    }
    auto folder = sys::openat2(at.parent, at.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Resolve::kBeneath);
    if (!folder) return std::unexpected(std::move(folder.error()));
    opened = std::move(*folder);
  }
  implied_.erase(at.path);
  folder_times_[at.path] = modification_time(entry);
  return set_attributes(opened, entry, ::archive_entry_perm(entry));
}

Status Unpacker::file(archive* archive, Place& at, archive_entry* entry) {
  if (at.name.empty()) return invalid_argument("a file in the place of the root folder");
  std::int64_t size = ::archive_entry_size(entry);
  if (size < 0) return invalid_argument("a negative size");
  if (static_cast<std::uint64_t>(size) > limits_.file_bytes) {
    return fail(Code::kResourceExhausted,
                cat("a file of ", size, " bytes, at most ", limits_.file_bytes, " are allowed"));
  }
  logical_bytes_ += static_cast<std::uint64_t>(size);
  if (logical_bytes_ > limits_.total_bytes) {
    return fail(Code::kResourceExhausted,
                cat("the files add up to more than the ", limits_.total_bytes, " bytes that are allowed"));
  }
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  auto made = sys::openat2(at.parent, at.name.c_str(), kFlags, Resolve::kBeneath, 0600);
  if (!made && made.error().is_already_exists()) {
    if (auto cleared = clear_place(at, false); !cleared) return std::unexpected(std::move(cleared.error()));
    made = sys::openat2(at.parent, at.name.c_str(), kFlags, Resolve::kBeneath, 0600);
  }
  if (!made) return std::unexpected(std::move(made.error()));
  ++answer_.inodes;
  if (auto written = write_data(archive, *made, size); !written) return written;
  if (auto info = sys::fstat(*made)) answer_.bytes += static_cast<std::uint64_t>(info->st_blocks) * 512;
  if (limits_.mode == WorkerMode::kLayout) return {};
  if (auto set = set_attributes(*made, entry, ::archive_entry_perm(entry)); !set) return set;
  timespec time = modification_time(entry);
  return sys::futimens(*made, time, time);
}

// Blocks come with their offsets, so the holes of a sparse file are never written.
Status Unpacker::write_data(archive* archive, FdRef file, std::int64_t size) {
  std::int64_t end = 0;
  for (;;) {
    const void* data = nullptr;
    std::size_t count = 0;
    la_int64_t offset = 0;
    int result = ::archive_read_data_block(archive, &data, &count, &offset);
    if (result == ARCHIVE_EOF) break;
    if (result == ARCHIVE_RETRY) continue;
    if (result < ARCHIVE_WARN) return archive_error(archive, kNoArchive);
    if (offset < 0 || offset > size || count > static_cast<std::uint64_t>(size - offset)) {
      return invalid_argument("data beyond the file's size");
    }
    const char* bytes = static_cast<const char*>(data);
    for (std::size_t done = 0; done < count;) {
      ssize_t written = ::pwrite(file.get(), bytes + done, count - done, offset + static_cast<off_t>(done));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return std::unexpected(Error::from_errno(errno, "write"));
      done += static_cast<std::size_t>(written);
    }
    if (count > 0) end = std::max(end, offset + static_cast<std::int64_t>(count));
  }
  return end < size ? sys::ftruncate(file, size) : Status();
}

Status Unpacker::hard_link(Place& at, archive_entry* entry) {
  auto target = normal_path(::archive_entry_hardlink(entry));
  if (!target) return fail_with(std::move(target.error()), "hard link");
  auto [parent, name] = split(*target);
  if (name.empty() || at.name.empty()) return invalid_argument("a hard link to or in place of the root folder");
  auto real = real_path(parent);
  auto folder = real ? open_folder(*real) : std::unexpected(std::move(real.error()));
  if (!folder) return fail_with(std::move(folder.error()), cat("hard link to ", in_quotes(*target)));
  std::string text(name);
  auto there = sys::fstatat(*folder, text.c_str(), AT_SYMLINK_NOFOLLOW);
  if (!there) return fail_with(std::move(there.error()), cat("hard link to ", in_quotes(*target)));
  if (S_ISDIR(there->st_mode)) return invalid_argument(cat("hard link to the folder ", in_quotes(*target)));
  auto here = sys::fstatat(at.parent, at.name.c_str(), AT_SYMLINK_NOFOLLOW);
  if (here && sys::is_same_file(*here, *there)) return {};  // to itself, or made already
  if (auto cleared = clear_place(at, false); !cleared) return std::unexpected(std::move(cleared.error()));
  return sys::linkat(*folder, text.c_str(), at.parent, at.name.c_str(), 0);
}

Status Unpacker::special(Place& at, archive_entry* entry) {
  if (at.name.empty()) return invalid_argument("a device in the place of the root folder");
  if (auto cleared = clear_place(at, false); !cleared) return std::unexpected(std::move(cleared.error()));
  auto kind = static_cast<mode_t>(::archive_entry_filetype(entry));
  dev_t device = kind == AE_IFIFO ? 0 : ::makedev(::archive_entry_rdevmajor(entry), ::archive_entry_rdevminor(entry));
  auto ids = owner(entry);
  if (!ids) return std::unexpected(std::move(ids.error()));
  // Never opened, so mode and owner go by name; nobody else works in this folder. The umask is 0.
  if (auto made = sys::mknodat(at.parent, at.name.c_str(), kind | (::archive_entry_perm(entry) & 07777), device);
      !made) {
    return made;
  }
  ++answer_.inodes;
  if (auto owned = sys::fchownat(at.parent, at.name.c_str(), ids->first, ids->second, AT_SYMLINK_NOFOLLOW); !owned) {
    return owned;
  }
  timespec time = modification_time(entry);
  return sys::utimensat(at.parent, at.name.c_str(), time, time, AT_SYMLINK_NOFOLLOW);
}

Status Unpacker::symlink(Place& at, archive_entry* entry) {
  const char* target = ::archive_entry_symlink(entry);
  if (target == nullptr || *target == '\0') return invalid_argument("a symlink without a target");
  if (at.name.empty()) return invalid_argument("a symlink in the place of the root folder");
  auto ids = owner(entry);
  if (!ids) return std::unexpected(std::move(ids.error()));
  if (auto cleared = clear_place(at, false); !cleared) return std::unexpected(std::move(cleared.error()));
  if (auto made = sys::symlinkat(target, at.parent, at.name.c_str()); !made) return made;
  ++answer_.inodes;
  if (auto owned = sys::fchownat(at.parent, at.name.c_str(), ids->first, ids->second, AT_SYMLINK_NOFOLLOW); !owned) {
    return owned;
  }
  timespec time = modification_time(entry);
  return sys::utimensat(at.parent, at.name.c_str(), time, time, AT_SYMLINK_NOFOLLOW);
}

// chown first: it clears setuid bits and file capabilities.
Status Unpacker::set_attributes(FdRef file, archive_entry* entry, unsigned mode) {
  auto ids = owner(entry);
  if (!ids) return std::unexpected(std::move(ids.error()));
  if (auto owned = sys::fchown(file, ids->first, ids->second); !owned) return owned;
  if (auto set = sys::fchmod(file, mode & 07777); !set) return set;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  int left = kMaxXattrs;
  ::archive_entry_xattr_reset(entry);
  while (::archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr || !keeps_xattr(name)) continue;
    if (--left < 0) return fail(Code::kResourceExhausted, cat("more than ", kMaxXattrs, " extended attributes"));
    auto set = sys::fsetxattr(file, name, std::string_view(static_cast<const char*>(value), size));
    // Older tmpfs knows no user.*: what only informs may be missing, as with other runtimes; a capability may not.
    if (!set && !(set.error().is_not_supported() && std::string_view(name).starts_with("user."))) return set;
  }
  return {};
}

Status Unpacker::set_folder_times() {
  for (const auto& [path, time] : folder_times_) {
    auto folder = open_folder(path);
    if (!folder) continue;  // replaced by a later entry
    if (auto set = sys::futimens(*folder, time, time); !set) return fail_with(std::move(set.error()), in_quotes(path));
  }
  return {};
}

Status Unpacker::note(std::vector<std::string>& list, std::string_view path) {
  noted_bytes_ += path.size() + 8;
  if (noted_bytes_ > kMaxAnswerBytes / 2 || list.size() == kMaxFolders) {
    return fail(Code::kResourceExhausted, "too many opaque folders, or folders without an entry of their own");
  }
  list.emplace_back(path);
  return {};
}

}  // namespace gantry::images
