// SPDX-License-Identifier: Apache-2.0
#include "images/layer_view.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <span>

#include "images/text.h"
#include "sys/file.h"
#include "sys/xattr.h"

namespace gantry::images {
namespace {

constexpr int kMaxLinks = 40;
constexpr std::size_t kMaxPath = 4096;
constexpr std::size_t kMaxDepth = 256;

// A folder of the stack: its folders in the layers that have it, topmost first.
using Folders = std::vector<DirFd>;

// What a name in a merged folder stands for. At most one of the parts counts.
struct Found {
  Folders folders;
  std::vector<std::size_t> layers;  // that the folders are in, by their place among those that were looked into
  OwnFd other;                      // O_PATH, of what is not a folder
  struct stat info{};
};

Result<bool> is_opaque(FdRef folder) {
  auto readable = sys::openat(folder, ".", O_RDONLY | O_DIRECTORY);
  if (!readable) return std::unexpected(std::move(readable.error()));
  auto value = sys::fgetxattr(*readable, "trusted.overlay.opaque");
  if (!value) return std::unexpected(std::move(value.error()));
  return *value == "y";
}

// `Dirs` is a range of DirFd or FdRef.
template <typename Dirs>
Result<std::optional<Found>> look_up(const Dirs& layers, const std::string& name) {
  Found found;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    auto entry = sys::openat(layers[i], name.c_str(), O_PATH | O_NOFOLLOW);
    if (!entry) {
      if (entry.error().is_not_found()) continue;
      return std::unexpected(std::move(entry.error()));
    }
    auto info = sys::fstat(*entry);
    if (!info) return std::unexpected(std::move(info.error()));
    if (S_ISCHR(info->st_mode) && info->st_rdev == 0) break;  // a whiteout: nothing from here down
    if (!S_ISDIR(info->st_mode)) {
      if (!found.folders.empty()) break;
      return Found{{}, {}, std::move(*entry), *info};
    }
    if (found.folders.empty()) found.info = *info;
    auto opaque = is_opaque(*entry);
    if (!opaque) return std::unexpected(std::move(opaque.error()));
    found.folders.emplace_back(std::move(*entry));
    found.layers.push_back(i);
    if (*opaque) break;
  }
  if (found.folders.empty()) return std::nullopt;
  return found;
}

// Walks through the stack. Where it stands is a list of names without links in it, so that ".." is the list without its
// last.
class Walk {
 public:
  explicit Walk(std::span<const DirFd> layers) : layers_(layers) {}

  // What is at `path` after all links; nothing when a part is missing.
  Result<std::optional<Found>> to(std::string_view path) {
    if (auto pushed = push(path); !pushed) return std::unexpected(std::move(pushed.error()));
    while (!pending_.empty()) {
      std::string name = std::move(pending_.back());
      pending_.pop_back();
      if (name == "..") {
        if (!names_.empty()) names_.pop_back();
        here_.reset();
        continue;
      }
      if (auto there = stand(); !there || !*there) return done(there);
      auto found = look_up(folders(), name);
      if (!found || !*found) return found;
      if (!(*found)->folders.empty()) {
        names_.push_back(std::move(name));
        if (names_.size() > kMaxDepth) return invalid_argument("folders nested too deep");
        here_ = std::move((*found)->folders);
        continue;
      }
      if (S_ISLNK((*found)->info.st_mode)) {
        if (auto followed = follow((*found)->other); !followed) return std::unexpected(std::move(followed.error()));
        continue;
      }
      if (!pending_.empty()) return std::nullopt;  // a file where a folder is asked for
      return found;
    }
    auto there = stand();
    if (!there || !*there) return done(there);
    return folder_here();
  }

 private:
  static Result<std::optional<Found>> done(const Result<bool>& there) {
    if (!there) return std::unexpected(there.error());
    return std::nullopt;
  }

  std::span<const DirFd> folders() const { return here_ ? std::span<const DirFd>(*here_) : layers_; }

  // Components onto the list of what is still to do, the next one last.
  Status push(std::string_view path) {
    std::vector<std::string_view> names = components(path);
    pushed_bytes_ += path.size();
    if (pushed_bytes_ > kMaxPath * 2) return invalid_argument("the path and its links are too long");
    for (auto at = names.rbegin(); at != names.rend(); ++at) {
      if (*at != ".") pending_.emplace_back(*at);
    }
    return {};
  }

  Status follow(FdRef link) {
    if (++links_ > kMaxLinks) return invalid_argument(cat("more than ", kMaxLinks, " symlinks on the way"));
    auto target = sys::readlinkat(link, "");
    if (!target) return std::unexpected(std::move(target.error()));
    if (target->starts_with('/')) {
      names_.clear();
      here_.reset();
    }
    return push(*target);
  }

  // Opens the folder that names_ says again, after a "..". False when it is not there.
  Result<bool> stand() {
    if (here_ || names_.empty()) return true;
    std::span<const DirFd> at = layers_;
    for (const std::string& name : names_) {
      auto found = look_up(at, name);
      if (!found) return std::unexpected(std::move(found.error()));
      if (!*found || (*found)->folders.empty()) return false;
      here_ = std::move((*found)->folders);
      at = *here_;
    }
    return true;
  }

  Result<std::optional<Found>> folder_here() {
    auto info = sys::fstat(folders().front());
    if (!info) return std::unexpected(std::move(info.error()));
    Found found;
    found.info = *info;
    return found;
  }

  std::span<const DirFd> layers_;
  std::vector<std::string> names_;
  std::optional<Folders> here_;  // nothing: the root, or to be opened again
  std::vector<std::string> pending_;
  int links_ = 0;
  std::size_t pushed_bytes_ = 0;
};

}  // namespace

Result<LayerView> LayerView::open(FdRef store, const std::vector<std::string>& names) {
  if (names.empty()) return invalid_argument("no layers");
  std::vector<DirFd> layers;
  layers.reserve(names.size());
  for (const std::string& name : names) {
    auto layer = sys::open_dir(store, name.c_str());
    if (!layer) return std::unexpected(std::move(layer.error()));
    // The root itself may be opaque, which ends the stack.
    auto opaque = is_opaque(*layer);
    if (!opaque) return std::unexpected(std::move(opaque.error()));
    layers.push_back(std::move(*layer));
    if (*opaque) break;
  }
  return LayerView(std::move(layers));
}

Result<std::optional<std::string>> LayerView::read_file(std::string_view path, std::size_t limit) const {
  if (path.size() > kMaxPath) return invalid_argument(cat("a path of ", path.size(), " bytes"));
  auto found = Walk(layers_).to(path);
  if (!found) return fail_with(std::move(found.error()), cat("read the image's ", in_quotes(path)));
  if (!*found) return std::nullopt;
  const struct stat& info = (*found)->info;
  if (!S_ISREG(info.st_mode)) {
    return invalid_argument(cat("the image's ", in_quotes(path), " is no regular file"));
  }
  if (info.st_size > static_cast<off_t>(limit)) {
    return fail(Code::kResourceExhausted,
                cat("the image's ", in_quotes(path), " has ", info.st_size, " bytes, at most ", limit, " are allowed"));
  }
  // Opened anew through the descriptor that was looked at: it can't have become anything else since.
  auto file = sys::openat(sys::kCwd, cat("/proc/self/fd/", (*found)->other.get()).c_str(), O_RDONLY);
  if (!file) return std::unexpected(std::move(file.error()));
  auto bytes = sys::read_all(*file, limit);
  if (!bytes) return fail_with(std::move(bytes.error()), cat("read the image's ", in_quotes(path)));
  return std::move(*bytes);
}

Result<std::optional<LayerView::Kind>> LayerView::kind(std::string_view path) const {
  if (path.size() > kMaxPath) return invalid_argument(cat("a path of ", path.size(), " bytes"));
  auto found = Walk(layers_).to(path);
  if (!found) return fail_with(std::move(found.error()), cat("find the image's ", in_quotes(path)));
  if (!*found) return std::nullopt;
  const mode_t mode = (*found)->info.st_mode;
  return S_ISDIR(mode) ? Kind::kFolder : S_ISREG(mode) ? Kind::kFile : Kind::kOther;
}

// No descriptor is held for a step, of which there may be many: in the layers that have a folder nothing on the way to
// it is a link.
Status LayerView::Trail::step(std::string_view name) {
  const std::string path = path_.empty() ? std::string(name) : cat(path_, "/", name);
  std::vector<std::size_t> numbers;
  if (!steps_.empty()) {
    numbers = steps_.back().layers;
  } else {
    for (std::size_t i = 0; i < layers_.size(); ++i) numbers.push_back(i);
  }
  if (numbers.size() > left_) {
    return fail(Code::kResourceExhausted,
                "too many of its folders have no entry of their own, on top of too many layers that have them");
  }
  left_ -= numbers.size();
  std::vector<FdRef> dirs;
  for (std::size_t number : numbers) dirs.emplace_back(layers_[number]);
  auto found = look_up(dirs, path);
  if (!found) return std::unexpected(std::move(found.error()));
  Step step{std::string(name), {}, {}};
  if (*found) {
    for (std::size_t at : (*found)->layers) step.layers.push_back(numbers[at]);
    step.folder = {(*found)->info.st_mode & 07777, (*found)->info.st_uid, (*found)->info.st_gid};
  }
  steps_.push_back(std::move(step));
  path_ = path;
  return {};
}

Result<std::optional<LayerView::Folder>> LayerView::Trail::to(std::string_view path) {
  const std::vector<std::string_view> names = components(path);
  std::size_t common = 0;
  while (common < std::min(names.size(), steps_.size()) && steps_[common].name == names[common]) ++common;
  for (; steps_.size() > common; steps_.pop_back())
    path_.resize(path_.size() - std::min(path_.size(), steps_.back().name.size() + 1));
  while (steps_.size() < names.size() && (steps_.empty() || !steps_.back().layers.empty())) {
    if (auto done = step(names[steps_.size()]); !done) return std::unexpected(std::move(done.error()));
  }
  if (steps_.empty()) {
    auto root = sys::fstat(layers_.front());
    if (!root) return std::unexpected(std::move(root.error()));
    return Folder{root->st_mode & 07777, root->st_uid, root->st_gid};
  }
  if (steps_.back().layers.empty()) return std::nullopt;
  return steps_.back().folder;
}

}  // namespace gantry::images
