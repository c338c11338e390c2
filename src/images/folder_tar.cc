// SPDX-License-Identifier: Apache-2.0
#include "images/folder_tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>

#include "images/text.h"
#include "sys/dir_reader.h"
#include "sys/file.h"
#include "sys/xattr.h"

namespace gantry::images {
namespace {

constexpr int kMaxDepth = 256;
constexpr std::size_t kMaxEntries = 2'000'000;  // as many as are unpacked
constexpr std::size_t kNamesAtATime = 1024;
constexpr const char* kWhiteout = ".wh.";
constexpr const char* kOpaqueWhiteout = ".wh..wh..opq";
constexpr const char* kOpaque = "trusted.overlay.opaque";
// Of an upper folder: what is in it stands for something of the layers beneath that is not in it.
constexpr const char* kReferences[] = {"trusted.overlay.redirect", "trusted.overlay.metacopy"};

class FolderPacker {
 public:
  FolderPacker(const TarSink& sink, const FolderTarOptions& options)
      : sink_(sink), options_(options), writer_(::archive_write_new(), ::archive_write_free) {}

  Status run(FdRef folder) {
    if (writer_ == nullptr) return fail(Code::kResourceExhausted, "out of memory");
    ::archive_write_set_format_pax_restricted(writer_.get());
    ::archive_write_set_bytes_in_last_block(writer_.get(), 1);
    // Names are bytes: as they are on the disk, whatever the locale thinks of them.
    if (::archive_write_set_options(writer_.get(), "hdrcharset=BINARY") != ARCHIVE_OK) return failed("tar");
    if (::archive_write_open(writer_.get(), this, nullptr, give, nullptr) != ARCHIVE_OK) return failed("tar");
    auto info = sys::fstat(folder);
    if (!info) return std::unexpected(std::move(info.error()));
    auto readable = sys::openat(folder, ".", O_RDONLY | O_DIRECTORY);
    if (!readable) return std::unexpected(std::move(readable.error()));
    if (auto added = add_header("./", *info, readable->ref(), nullptr); !added) return added;
    if (auto added = add_folder(*readable, "", 0); !added) return added;
    if (::archive_write_close(writer_.get()) != ARCHIVE_OK) return failed("tar");
    return {};
  }

 private:
  using Entry = std::unique_ptr<archive_entry, void (*)(archive_entry*)>;

  static la_ssize_t give(archive* writer, void* context, const void* data, std::size_t size) {
    auto& self = *static_cast<FolderPacker*>(context);
    auto given = self.sink_(std::string_view(static_cast<const char*>(data), size));
    if (given) return static_cast<la_ssize_t>(size);
    self.error_ = std::move(given.error());
    ::archive_set_error(writer, EIO, "write");
    return -1;
  }

  std::unexpected<Error> failed(std::string_view path) {
    if (error_) return std::unexpected(*error_);
    const char* text = ::archive_error_string(writer_.get());
    return invalid_argument(cat("pack ", in_quotes(path), ": ", text != nullptr ? text : "refused"));
  }

  Status add_folder(FdRef folder, const std::string& path, int depth) {
    if (depth > kMaxDepth) return invalid_argument(cat("folders nested more than ", kMaxDepth, " deep"));
    auto names = names_in(folder);
    if (!names) return std::unexpected(std::move(names.error()));
    for (const std::string& name : *names) {
      std::string full = path.empty() ? name : cat(path, "/", name);
      if (auto added = add(folder, name, full, depth); !added)
        return fail_with(std::move(added.error()), in_quotes(full));
    }
    return {};
  }

  Result<std::vector<std::string>> names_in(FdRef folder) {
    std::vector<std::string> names;
    auto reader = sys::DirReader::open(folder);
    if (!reader) return std::unexpected(std::move(reader.error()));
    for (;;) {
      auto some = reader->next(kNamesAtATime);
      if (!some) return std::unexpected(std::move(some.error()));
      if (some->empty()) break;
      entries_ += some->size();
      if (entries_ > kMaxEntries)
        return fail(Code::kResourceExhausted, cat("more than the ", kMaxEntries, " entries that are allowed"));
      for (sys::DirEntry& entry : *some) names.push_back(std::move(entry.name));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  Status add(FdRef folder, const std::string& name, const std::string& path, int depth) {
    auto info = sys::fstatat(folder, name.c_str(), AT_SYMLINK_NOFOLLOW);
    if (!info) return std::unexpected(std::move(info.error()));
    if (S_ISSOCK(info->st_mode)) return {};
    if (options_.is_overlay_upper && S_ISCHR(info->st_mode) && info->st_rdev == 0)
      return add_whiteout(path.substr(0, path.size() - name.size()) + kWhiteout + name);
    if (name.starts_with(kWhiteout))
      return invalid_argument("a name that begins with .wh. would be taken for a whiteout");
    if (S_ISLNK(info->st_mode)) {
      auto target = sys::readlinkat(folder, name.c_str());
      if (!target) return std::unexpected(std::move(target.error()));
      return add_header(path, *info, FdRef(), target->c_str());
    }
    if (!S_ISREG(info->st_mode) && !S_ISDIR(info->st_mode)) return add_header(path, *info, FdRef(), nullptr);
    auto opened = sys::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!opened) return std::unexpected(std::move(opened.error()));
    auto now = sys::fstat(*opened);
    if (!now) return std::unexpected(std::move(now.error()));
    if ((now->st_mode & S_IFMT) != (info->st_mode & S_IFMT))
      return fail(Code::kAborted, "it changed while it was read");
    if (S_ISDIR(now->st_mode)) {
      if (auto added = add_header(path + "/", *now, *opened, nullptr); !added) return added;
      if (auto marked = mark_opaque(*opened, path); !marked) return marked;
      return add_folder(*opened, path, depth + 1);
    }
    if (now->st_nlink > 1) {
      auto [first, is_new] = links_.try_emplace(std::pair(now->st_dev, now->st_ino), path);
      if (!is_new) return add_hard_link(path, *now, first->second);
    }
    if (auto added = add_header(path, *now, *opened, nullptr); !added) return added;
    return add_data(*opened, path, static_cast<std::uint64_t>(now->st_size));
  }

  Status mark_opaque(FdRef folder, const std::string& path) {
    if (!options_.is_overlay_upper) return {};
    auto mark = sys::fgetxattr(folder, kOpaque);
    if (!mark) return std::unexpected(std::move(mark.error()));
    return *mark == "y" ? add_whiteout(cat(path, "/", kOpaqueWhiteout)) : Status();
  }

  Status add_whiteout(const std::string& path) {
    struct stat info{};
    info.st_mode = S_IFREG | 0600;
    return add_header(path, info, FdRef(), nullptr);
  }

  Entry new_entry(const std::string& path, const struct stat& info) {
    Entry entry(::archive_entry_new(), ::archive_entry_free);
    ::archive_entry_set_pathname(entry.get(), path.c_str());
    ::archive_entry_set_mode(entry.get(), info.st_mode);
    ::archive_entry_set_uid(entry.get(), options_.uid ? options_.uid(info.st_uid) : info.st_uid);
    ::archive_entry_set_gid(entry.get(), options_.gid ? options_.gid(info.st_gid) : info.st_gid);
    if (options_.keeps_times) {
      ::archive_entry_set_mtime(entry.get(), info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    } else {
      ::archive_entry_set_mtime(entry.get(), 0, 0);
    }
    return entry;
  }

  Status add_header(const std::string& path, const struct stat& info, FdRef opened, const char* target) {
    Entry entry = new_entry(path, info);
    if (S_ISREG(info.st_mode)) ::archive_entry_set_size(entry.get(), info.st_size);
    if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) ::archive_entry_set_rdev(entry.get(), info.st_rdev);
    if (target != nullptr) ::archive_entry_set_symlink(entry.get(), target);
    if (opened.is_open()) {
      if (auto added = add_attributes(entry.get(), opened); !added) return added;
    }
    if (::archive_write_header(writer_.get(), entry.get()) < ARCHIVE_WARN) return failed(path);
    return {};
  }

  Status add_attributes(archive_entry* entry, FdRef opened) {
    auto names = sys::flistxattr(opened);
    if (!names) return std::unexpected(std::move(names.error()));
    std::vector<std::string> kept;
    for (std::size_t at = 0; at < names->size();) {
      std::string name = names->c_str() + at;
      at += name.size() + 1;
      if (options_.is_overlay_upper && std::ranges::find(kReferences, name) != std::end(kReferences)) {
        return fail(Code::kFailedPrecondition,
                    cat("it stands for a part of the image that it does not hold itself (", name, ")"));
      }
      if (name == "security.capability" || name.starts_with("user.")) kept.push_back(std::move(name));
    }
    std::sort(kept.begin(), kept.end());
    for (const std::string& name : kept) {
      auto value = sys::fgetxattr(opened, name.c_str());
      if (!value) return std::unexpected(std::move(value.error()));
      if (*value) ::archive_entry_xattr_add_entry(entry, name.c_str(), (*value)->data(), (*value)->size());
    }
    return {};
  }

  Status add_hard_link(const std::string& path, const struct stat& info, const std::string& first) {
    Entry entry = new_entry(path, info);
    ::archive_entry_set_size(entry.get(), 0);
    ::archive_entry_set_hardlink(entry.get(), first.c_str());
    if (::archive_write_header(writer_.get(), entry.get()) < ARCHIVE_WARN) return failed(path);
    return {};
  }

  Status add_data(FdRef file, const std::string& path, std::uint64_t size) {
    std::string block(256 << 10, '\0');
    std::uint64_t left = size;
    for (;;) {
      auto count = sys::read(file, block.data(), block.size());
      if (!count) return std::unexpected(std::move(count.error()));
      if (*count > left || (*count == 0 && left != 0))
        return fail(Code::kAborted, "its size changed while it was read");
      if (*count == 0) return {};
      left -= *count;
      if (::archive_write_data(writer_.get(), block.data(), *count) < 0) return failed(path);
    }
  }

  const TarSink& sink_;
  const FolderTarOptions& options_;
  std::optional<Error> error_;  // the sink's
  std::size_t entries_ = 0;
  std::unique_ptr<archive, int (*)(archive*)> writer_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace

Status write_folder_tar(FdRef folder, const TarSink& sink, const FolderTarOptions& options) {
  return FolderPacker(sink, options).run(folder);
}

}  // namespace gantry::images
