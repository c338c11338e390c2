// SPDX-License-Identifier: Apache-2.0
#include "images/docker_archive.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <string>
#include <vector>

#include "images/content.h"
#include "images/documents.h"
#include "images/image_config.h"
#include "images/json_reader.h"
#include "images/layout_writer.h"
#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

namespace json = boost::json;

constexpr char kList[] = "manifest.json";
constexpr std::size_t kBlock = 256 << 10;

class DockerArchive {
 public:
  explicit DockerArchive(FdRef folder) : folder_(folder) {}

  Status make_layout(std::string_view list_text) {
    for (const char* name : {"blobs", "blobs/sha256"}) {
      auto made = sys::mkdirat(folder_, name, 0700);
      if (!made && !made.error().is_already_exists()) return made;
    }
    // A list, where documents are objects.
    auto document = parse_json_object(cat("{\"images\":", list_text, "}"), kList, kMaxDocumentBytes + 16);
    if (!document) return std::unexpected(std::move(document.error()));
    JsonReader reader(kList);
    const json::array* list = reader.array(*document, "images", kMaxIndexEntries);
    if (auto read = reader.status(); !read) return read;
    if (list == nullptr || list->empty()) return invalid_argument(cat(kList, ": it names no image"));
    for (const json::value& value : *list) {
      if (auto added = add_image(reader, value); !added) return added;
    }
    if (auto written = write_new(folder_, "index.json", index_json(images_)); !written) return written;
    return write_new(folder_, "oci-layout", kLayoutMark);
  }

 private:
  Status add_image(JsonReader& reader, const json::value& value) {
    const json::object* object = reader.element(value, "images");
    if (object == nullptr) return reader.status();
    std::string config = reader.text(*object, "Config");
    auto tags = reader.texts(*object, "RepoTags");
    auto layers = reader.texts(*object, "Layers");
    if (config.empty()) reader.complain("Config", "is missing");
    if (layers.size() > kMaxLayers) reader.complain("Layers", cat("has more than ", kMaxLayers, " entries"));
    if (auto read = reader.status(); !read) return read;
    auto described = add_document(config);
    if (!described) return fail_with(std::move(described.error()), in_quotes(config));
    std::vector<Descriptor> descriptors;
    for (const std::string& path : layers) {
      auto layer = add_layer(path);
      if (!layer) return fail_with(std::move(layer.error()), in_quotes(path));
      descriptors.push_back(std::move(*layer));
    }
    auto manifest = write_document(folder_, kOciManifest, manifest_json(*described, descriptors));
    if (!manifest) return std::unexpected(std::move(manifest.error()));
    if (tags.empty()) images_.push_back(*manifest);
    for (std::string& tag : tags) {
      images_.push_back(*manifest);
      images_.back().annotations["io.containerd.image.name"] = std::move(tag);
    }
    if (images_.size() > kMaxIndexEntries)
      return invalid_argument(cat(kList, ": more than ", kMaxIndexEntries, " names of images"));
    return {};
  }

  // A regular file, behind links, too.
  Result<OwnFd> open(const std::string& path) {
    auto file = sys::openat2(folder_, path.c_str(), O_RDONLY | O_NONBLOCK,
                             sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks | sys::Resolve::kNoXdev);
    if (!file && file.error().is_not_found())
      return invalid_argument(cat(kList, " names it, and it is not in the archive"));
    if (!file) return file;
    auto info = sys::fstat(*file);
    if (!info) return std::unexpected(std::move(info.error()));
    if (!S_ISREG(info->st_mode)) return invalid_argument("it is no regular file");
    return file;
  }

  Result<Descriptor> add_document(const std::string& path) {
    auto file = open(path);
    if (!file) return std::unexpected(std::move(file.error()));
    auto text = sys::read_all(*file, kMaxConfigBytes);
    if (!text) return std::unexpected(std::move(text.error()));
    return write_document(folder_, kOciConfig, *text);
  }

  Result<Descriptor> add_layer(const std::string& path) {
    auto file = open(path);
    if (!file) return std::unexpected(std::move(file.error()));
    auto info = sys::fstat(*file);
    if (!info) return std::unexpected(std::move(info.error()));
    // However often and by whatever names it is listed, it is read once.
    auto known = layers_.find(info->st_ino);
    if (known != layers_.end()) return known->second;
    Hasher hasher;
    std::string media_type;
    std::uint64_t size = 0;
    std::string block(kBlock, '\0');
    for (;;) {
      auto count = sys::read(*file, block.data(), block.size());
      if (!count) return std::unexpected(std::move(count.error()));
      if (*count == 0) break;
      std::string_view bytes(block.data(), *count);
      if (size == 0) media_type = cat(kOciLayer, packing_of(bytes));
      size += bytes.size();
      hasher.update(bytes);
    }
    if (size == 0) return invalid_argument("an empty file is no layer");
    Descriptor layer{std::move(media_type), hasher.finish(), size, std::nullopt, {}};
    const std::string source = cat("/proc/self/fd/", file->get());
    const std::string name = cat("blobs/sha256/", layer.digest.hex());
    auto linked = sys::linkat(sys::kCwd, source.c_str(), folder_, name.c_str(), AT_SYMLINK_FOLLOW);
    if (!linked && !linked.error().is_already_exists()) return std::unexpected(std::move(linked.error()));
    return layers_.emplace(info->st_ino, std::move(layer)).first->second;
  }

  FdRef folder_;
  std::vector<Descriptor> images_;
  std::map<ino_t, Descriptor> layers_;
};

Result<bool> exists(FdRef folder, const char* name) {
  auto found = sys::fstatat(folder, name, AT_SYMLINK_NOFOLLOW);
  if (!found && !found.error().is_not_found()) return std::unexpected(std::move(found.error()));
  return found.has_value();
}

}  // namespace

bool is_docker_archive_part(std::string_view path) {
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos) return path.ends_with(".json") || path.ends_with(".tar");
  return path.substr(slash) == "/layer.tar";
}

Result<bool> make_layout_of_docker_archive(FdRef folder) {
  auto is_layout = exists(folder, "index.json");
  if (!is_layout || *is_layout) return is_layout;
  auto has_list = exists(folder, kList);
  if (!has_list || !*has_list) return has_list;
  auto file = sys::openat2(folder, kList, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, sys::Resolve::kBeneath);
  if (!file) return fail_with(std::move(file.error()), kList);
  auto text = sys::read_all(*file, kMaxDocumentBytes);
  if (!text) return fail_with(std::move(text.error()), kList);
  if (auto made = DockerArchive(folder).make_layout(*text); !made)
    return fail_with(std::move(made.error()), "docker archive");
  return true;
}

}  // namespace gantry::images
