// SPDX-License-Identifier: Apache-2.0
#include "images/layout_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>

#include "images/digest.h"
#include "images/documents.h"
#include "images/text.h"
#include "sys/file.h"
#include "sys/xattr.h"

namespace gantry::images {
namespace {

constexpr int kMaxDepth = 256;
constexpr char kEpoch[] = "1970-01-01T00:00:00Z";
constexpr char kTemporary[] = "layer.tar";

// Where the archive's bytes go: the file, the hash, the count.
struct Sink {
  FdRef file;
  Hasher hasher;
  std::uint64_t size = 0;
  std::optional<Error> error;
};

la_ssize_t write_to_sink(archive* writer, void* context, const void* data, std::size_t size) {
  Sink& sink = *static_cast<Sink*>(context);
  std::string_view bytes(static_cast<const char*>(data), size);
  if (auto written = sys::write_all(sink.file, bytes); !written) {
    sink.error = std::move(written.error());
    ::archive_set_error(writer, EIO, "write");
    return -1;
  }
  sink.hasher.update(bytes);
  sink.size += size;
  return static_cast<la_ssize_t>(size);
}

class FolderPacker {
 public:
  explicit FolderPacker(Sink& sink) : sink_(sink), writer_(::archive_write_new(), ::archive_write_free) {}

  Status run(FdRef folder) {
    if (writer_ == nullptr) return fail(Code::kResourceExhausted, "out of memory");
    ::archive_write_set_format_pax_restricted(writer_.get());
    ::archive_write_set_bytes_in_last_block(writer_.get(), 1);
    // Names are bytes: as they are on the disk, whatever the locale thinks of them.
    if (::archive_write_set_options(writer_.get(), "hdrcharset=BINARY") != ARCHIVE_OK) return failed("tar");
    if (::archive_write_open(writer_.get(), &sink_, nullptr, write_to_sink, nullptr) != ARCHIVE_OK)
      return failed("tar");
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

  std::unexpected<Error> failed(std::string_view path) {
    if (sink_.error) return std::unexpected(*sink_.error);
    const char* text = ::archive_error_string(writer_.get());
    return invalid_argument(cat("pack ", in_quotes(path), ": ", text != nullptr ? text : "refused"));
  }

  Status add_folder(FdRef folder, const std::string& path, int depth) {
    if (depth > kMaxDepth) return invalid_argument(cat("folders nested more than ", kMaxDepth, " deep"));
    auto names = sys::list_dir(folder);
    if (!names) return std::unexpected(std::move(names.error()));
    std::sort(names->begin(), names->end());
    for (const std::string& name : *names) {
      std::string full = path.empty() ? name : cat(path, "/", name);
      if (auto added = add(folder, name, full, depth); !added)
        return fail_with(std::move(added.error()), in_quotes(full));
    }
    return {};
  }

  Status add(FdRef folder, const std::string& name, const std::string& path, int depth) {
    auto info = sys::fstatat(folder, name.c_str(), AT_SYMLINK_NOFOLLOW);
    if (!info) return std::unexpected(std::move(info.error()));
    if (S_ISSOCK(info->st_mode)) return {};
    if (name.starts_with(".wh.")) return invalid_argument("a name that begins with .wh. would be taken for a whiteout");
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
      return add_folder(*opened, path, depth + 1);
    }
    if (now->st_nlink > 1) {
      auto [first, is_new] = links_.try_emplace(std::pair(now->st_dev, now->st_ino), path);
      if (!is_new) return add_hard_link(path, *now, first->second);
    }
    if (auto added = add_header(path, *now, *opened, nullptr); !added) return added;
    return add_data(*opened, path, static_cast<std::uint64_t>(now->st_size));
  }

  Entry new_entry(const std::string& path, const struct stat& info) {
    Entry entry(::archive_entry_new(), ::archive_entry_free);
    ::archive_entry_set_pathname(entry.get(), path.c_str());
    ::archive_entry_set_mode(entry.get(), info.st_mode);
    ::archive_entry_set_uid(entry.get(), info.st_uid);
    ::archive_entry_set_gid(entry.get(), info.st_gid);
    ::archive_entry_set_mtime(entry.get(), 0, 0);
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

  Sink& sink_;
  std::unique_ptr<archive, int (*)(archive*)> writer_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

Result<Descriptor> pack_layer(FdRef folder, FdRef layout) {
  auto file = sys::openat(layout, kTemporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!file) return std::unexpected(std::move(file.error()));
  Sink sink{*file, Hasher(), 0, std::nullopt};
  if (auto packed = FolderPacker(sink).run(folder); !packed) return std::unexpected(std::move(packed.error()));
  Descriptor layer{kOciLayer, sink.hasher.finish(), sink.size, std::nullopt, {}};
  auto named = sys::renameat2(layout, kTemporary, layout, cat("blobs/sha256/", layer.digest.hex()).c_str(), 0);
  if (!named) return std::unexpected(std::move(named.error()));
  return layer;
}

}  // namespace

Status write_new(FdRef folder, const std::string& path, std::string_view bytes) {
  auto file = sys::openat(folder, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::write_all(*file, bytes);
}

Result<Descriptor> write_document(FdRef layout, const char* media_type, const std::string& text) {
  Descriptor descriptor{media_type, digest_of(text), text.size(), std::nullopt, {}};
  auto written = write_new(layout, cat("blobs/sha256/", descriptor.digest.hex()), text);
  if (!written && !written.error().is_already_exists()) return std::unexpected(std::move(written.error()));
  return descriptor;
}

Status write_layout(FdRef folder, const ImageConfig& config, FdRef layout) {
  for (const char* name : {"blobs", "blobs/sha256"}) {
    if (auto made = sys::mkdirat(layout, name, 0700); !made) return made;
  }
  auto layer = pack_layer(folder, layout);
  if (!layer) return std::unexpected(std::move(layer.error()));
  ImageConfig complete = config;
  complete.created = kEpoch;
  complete.diff_ids = {layer->digest};  // the layer is stored plain
  auto config_descriptor = write_document(layout, kOciConfig, to_json(complete));
  if (!config_descriptor) return std::unexpected(std::move(config_descriptor.error()));
  auto manifest = write_document(layout, kOciManifest, manifest_json(*config_descriptor, {*layer}));
  if (!manifest) return std::unexpected(std::move(manifest.error()));
  manifest->platform = Platform{kHostArchitecture, "linux", ""};
  if (auto written = write_new(layout, "index.json", index_json({*manifest})); !written) return written;
  return write_new(layout, "oci-layout", kLayoutMark);
}

}  // namespace gantry::images
