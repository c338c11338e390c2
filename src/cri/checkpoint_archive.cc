// SPDX-License-Identifier: Apache-2.0
#include "cri/checkpoint_archive.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string_view>

#include "api/json.h"
#include "cri/text.h"
#include "images/unpack.h"
#include "sys/dir_reader.h"
#include "sys/file.h"
#include "sys/given_files.h"

namespace gantry::cri {
namespace {

constexpr const char* kConfig = "config.dump";
// Files that podman and CRI-O list for removal, in place of whiteouts among the changes.
constexpr std::string_view kDeleted = "deleted.files";
constexpr std::size_t kMaxConfigBytes = 1U << 20;
constexpr std::size_t kMaxParts = 64;
constexpr std::size_t kMaxReference = 4096;

Status need_file(FdRef folder, const std::string& name) {
  auto info = sys::fstatat(folder, name.c_str(), AT_SYMLINK_NOFOLLOW);
  if (!info) return std::unexpected(std::move(info.error()));
  // Another name of it could be beneath a folder that is not looked at.
  if (S_ISREG(info->st_mode) && info->st_nlink == 1) return {};
  return invalid_argument(cat(quoted(name, 255), " is no plain file"));
}

Status check_images(FdRef folder) {
  auto images = sys::openat(folder, kCheckpointImages, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!images) return fail_with(std::move(images.error()).with_code(Code::kInvalidArgument), kCheckpointImages);
  auto reader = sys::DirReader::of(std::move(*images));
  if (!reader) return std::unexpected(std::move(reader.error()));
  for (std::size_t count = 0;;) {
    auto entries = reader->next(256);
    if (!entries) return std::unexpected(std::move(entries.error()));
    if (entries->empty()) break;
    count += entries->size();
    if (count > kMaxCheckpointFiles)
      return fail(Code::kResourceExhausted, cat(kCheckpointImages, " has more than ", kMaxCheckpointFiles, " files"));
    for (const auto& entry : *entries) {
      if (auto s = need_file(reader->folder(), entry.name); !s)
        return fail_with(std::move(s.error()), kCheckpointImages);
    }
  }
  return need_file(reader->folder(), "inventory.img").has_value()
             ? Status()
             : invalid_argument(cat(kCheckpointImages, " has no inventory.img: is no checkpoint of CRIU"));
}

}  // namespace

Result<CheckpointBase> parse_checkpoint_base(std::string_view text) {
  auto config = api::parse_json(text, {.bytes = kMaxConfigBytes, .depth = 16, .nodes = 10'000});
  if (!config) return fail_with(std::move(config.error()), kConfig);
  if (!config->is_object()) return invalid_argument(cat(kConfig, ": an object was expected"));
  CheckpointBase base;
  for (const char* key : {"rootfsImageRef", "rootfsImageName", "rootfsImage"}) {
    const auto* value = config->find(key);
    const std::string* word = value ? value->as_string() : nullptr;
    if (word && !word->empty() && word->size() <= kMaxReference) base.push_back(*word);
  }
  if (base.empty()) return invalid_argument(cat(kConfig, ": names no image (rootfsImageRef, rootfsImageName)"));
  return base;
}

Result<CheckpointBase> take_unpacked(FdRef folder) {
  auto file = sys::openat(folder, kConfig, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!file) return invalid_argument(cat("has no ", kConfig, ": is no checkpoint of a container"));
  auto text = sys::read_regular(*file, kMaxConfigBytes);
  if (!text) return fail_with(std::move(text.error()), kConfig);
  auto base = parse_checkpoint_base(*text);
  if (!base) return base;
  auto reader = sys::DirReader::open(folder);
  if (!reader) return std::unexpected(std::move(reader.error()));
  auto parts = reader->next(kMaxParts + 1);
  if (!parts) return std::unexpected(std::move(parts.error()));
  if (parts->size() > kMaxParts) return fail(Code::kResourceExhausted, cat("has more than ", kMaxParts, " parts"));
  for (const auto& part : *parts) {
    if (part.name == kDeleted) {
      auto info = sys::fstatat(folder, part.name.c_str(), AT_SYMLINK_NOFOLLOW);
      if (!info || !S_ISREG(info->st_mode) || info->st_size > 2)  // "[]"
        return fail(Code::kUnimplemented, cat(kDeleted, ": only whiteouts in ", kCheckpointRoot, " are understood"));
    }
    if (part.name == kCheckpointImages) continue;
    if (part.name == kCheckpointRoot) {
      if (auto s = need_file(folder, part.name); !s) return std::unexpected(std::move(s.error()));
      continue;
    }
    if (auto s = sys::remove_tree(folder, part.name.c_str()); !s) return std::unexpected(std::move(s.error()));
  }
  if (auto s = check_images(folder); !s) return std::unexpected(std::move(s.error()));
  return base;
}

Result<CheckpointBase> unpack_checkpoint(FdRef archive, FdRef folder) {
  images::UnpackOptions options;
  options.limits.entries = kMaxCheckpointFiles;
  auto unpacked = images::unpack(archive, folder, images::UnpackKind::kLayer, options);
  if (!unpacked) return std::unexpected(std::move(unpacked.error()));
  return take_unpacked(folder);
}

}  // namespace gantry::cri
