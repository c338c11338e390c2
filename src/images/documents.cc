// SPDX-License-Identifier: Apache-2.0
#include "images/documents.h"

#include <algorithm>

#include "images/image_config.h"
#include "images/json_reader.h"
#include "images/text.h"

namespace gantry::images {
namespace {

namespace json = boost::json;

constexpr char kDockerList[] = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr char kDockerManifest[] = "application/vnd.docker.distribution.manifest.v2+json";
constexpr char kDockerConfig[] = "application/vnd.docker.container.image.v1+json";

bool is_config_type(std::string_view type) { return type == kOciConfig || type == kDockerConfig; }

bool is_layer_type(std::string_view type) {
  for (std::string_view base :
       {"application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar"}) {
    if (!type.starts_with(base)) continue;
    std::string_view rest = type.substr(base.size());
    if (rest.empty() || rest == "+gzip" || rest == "+zstd" || rest == ".gzip" || rest == ".zstd") return true;
  }
  return false;
}

Result<Descriptor> parse_descriptor(JsonReader& reader, const json::object& from, std::string_view key) {
  std::string media_type = reader.text(from, "mediaType");
  std::string digest_text = reader.text(from, "digest");
  auto size = reader.number(from, "size");
  auto annotations = reader.text_map(from, "annotations");
  std::optional<Platform> platform;
  if (const json::object* object = reader.object(from, "platform")) {
    platform =
        Platform{reader.text(*object, "architecture"), reader.text(*object, "os"), reader.text(*object, "variant")};
  }
  if (!size) reader.complain(key, "has an entry without a size");
  if (media_type.empty()) reader.complain(key, "has an entry without a mediaType");
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  auto digest = Digest::parse(digest_text);
  if (!digest) return fail_with(std::move(digest.error()), key);
  return Descriptor{std::move(media_type), std::move(*digest), *size, std::move(platform), std::move(annotations)};
}

Result<std::vector<Descriptor>> parse_descriptors(JsonReader& reader, const json::object& from, std::string_view key,
                                                  std::size_t limit) {
  std::vector<Descriptor> out;
  if (const json::array* list = reader.array(from, key, limit)) {
    for (const json::value& value : *list) {
      const json::object* object = reader.element(value, key);
      if (object == nullptr) break;
      auto descriptor = parse_descriptor(reader, *object, key);
      if (!descriptor) return std::unexpected(std::move(descriptor.error()));
      out.push_back(std::move(*descriptor));
    }
  }
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  return out;
}

json::object to_object(const Descriptor& descriptor) {
  json::object out{
      {"mediaType", descriptor.media_type}, {"digest", descriptor.digest.to_string()}, {"size", descriptor.size}};
  if (!descriptor.annotations.empty()) {
    json::object annotations;
    for (const auto& [key, value] : descriptor.annotations) annotations[key] = value;
    out["annotations"] = std::move(annotations);
  }
  if (descriptor.platform) {
    out["platform"] =
        json::object{{"architecture", descriptor.platform->architecture}, {"os", descriptor.platform->os}};
  }
  return out;
}

Result<Document> parse_manifest(JsonReader& reader, const json::object& from) {
  Document out;
  if (const json::object* config = reader.object(from, "config")) {
    auto descriptor = parse_descriptor(reader, *config, "config");
    if (!descriptor) return std::unexpected(std::move(descriptor.error()));
    out.config = std::move(*descriptor);
  } else {
    reader.complain("config", "is missing");
  }
  reader.text_map(from, "annotations");  // who shows them later can't refuse them any more
  auto layers = parse_descriptors(reader, from, "layers", kMaxLayers);
  if (!layers) return std::unexpected(std::move(layers.error()));
  out.layers = std::move(*layers);
  if (!is_config_type(out.config->media_type)) {
    return invalid_argument(
        cat("manifest: its configuration is ", in_quotes(out.config->media_type), ": this is no container image"));
  }
  for (const Descriptor& layer : out.layers) {
    if (!is_layer_type(layer.media_type)) {
      return invalid_argument(cat("manifest: layer ", layer.digest.to_string(), " has the media type ",
                                  in_quotes(layer.media_type), "; expected a tar archive, plain or with gzip or zstd"));
    }
  }
  return out;
}

}  // namespace

bool is_index_type(std::string_view type) { return type == kOciIndex || type == kDockerList; }
bool is_manifest_type(std::string_view type) { return type == kOciManifest || type == kDockerManifest; }

Result<Document> parse_document(std::string_view text, std::string_view media_type) {
  auto document = parse_json_object(text, "manifest", kMaxDocumentBytes);
  if (!document) return std::unexpected(std::move(document.error()));
  JsonReader reader("manifest");
  // Go's readers take keys in any case, ours only as written: what only they would see is refused as well.
  bool has_manifests = false;
  bool has_layers = false;
  for (const auto& entry : *document) {
    const std::string key = lowered(std::string_view(entry.key()));
    has_manifests |= key == "manifests";
    has_layers |= key == "layers" || key == "config" || key == "fslayers";
  }
  if (has_manifests && has_layers) {
    return invalid_argument(
        "manifest: it has both \"manifests\" and \"layers\" or \"config\", so it can't be told what it is");
  }
  if (reader.number(*document, "schemaVersion") != 2) reader.complain("schemaVersion", "is not 2");
  std::string own_type = reader.text(*document, "mediaType");
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  std::string_view type = media_type.empty() ? std::string_view(own_type) : media_type;
  if (!own_type.empty() && own_type != type) {
    return invalid_argument(
        cat("manifest: it calls itself ", in_quotes(own_type), ", what led to it ", in_quotes(type)));
  }
  if (type.empty() && has_manifests) type = kOciIndex;
  if (is_index_type(type)) {
    if (has_layers) return invalid_argument("manifest: an index that has \"layers\" or \"config\"");
    auto manifests = parse_descriptors(reader, *document, "manifests", kMaxIndexEntries);
    if (!manifests) return std::unexpected(std::move(manifests.error()));
    Document out;
    out.is_index = true;
    out.manifests = std::move(*manifests);
    return out;
  }
  if (!is_manifest_type(type)) {
    return invalid_argument(
        cat("manifest: media type ", in_quotes(type), "; expected an OCI or Docker schema 2 manifest or index"));
  }
  if (has_manifests) return invalid_argument("manifest: an image manifest that has \"manifests\"");
  return parse_manifest(reader, *document);
}

Result<std::map<std::string, std::string>> manifest_annotations(std::string_view text) {
  auto document = parse_json_object(text, "manifest", kMaxDocumentBytes);
  if (!document) return std::unexpected(std::move(document.error()));
  JsonReader reader("manifest");
  auto annotations = reader.text_map(*document, "annotations");
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  std::size_t bytes = 0;
  for (const auto& [key, value] : annotations) bytes += key.size() + value.size();
  if (bytes > kMaxAnnotationBytes) annotations.clear();
  return annotations;
}

std::vector<Descriptor> for_this_machine(const std::vector<Descriptor>& entries) {
  std::vector<Descriptor> out;
  for (const Descriptor& entry : entries) {
    if (!is_index_type(entry.media_type) && !is_manifest_type(entry.media_type)) continue;
    if (entry.platform && (entry.platform->os != "linux" || entry.platform->architecture != kHostArchitecture))
      continue;
    out.push_back(entry);
  }
  // Variants beyond the first level want a processor that this one may not be: "" and "v1" (amd64) or "v8" (arm64)
  // first.
  auto rank = [](const Descriptor& entry) {
    if (!entry.platform) return 2;
    const std::string& variant = entry.platform->variant;
    return variant.empty() || variant == "v1" || variant == "v8" ? 0 : 1;
  };
  std::ranges::sort(
      out, [&](const auto& a, const auto& b) { return std::pair(rank(a), a.digest) < std::pair(rank(b), b.digest); });
  return out;
}

std::string platforms_of(const std::vector<Descriptor>& entries) {
  std::string out;
  for (const Descriptor& entry : entries) {
    if (!entry.platform || entry.platform->os == "unknown") continue;
    if (out.size() > 200) return out + ", ...";
    out += cat(out.empty() ? "" : ", ", in_quotes(cat(entry.platform->os, "/", entry.platform->architecture)));
  }
  return out.empty() ? "none" : out;
}

std::string manifest_json(const Descriptor& config, const std::vector<Descriptor>& layers) {
  json::array list;
  for (const Descriptor& layer : layers) list.push_back(to_object(layer));
  return json::serialize(json::object{
      {"schemaVersion", 2}, {"mediaType", kOciManifest}, {"config", to_object(config)}, {"layers", std::move(list)}});
}

std::string index_json(const std::vector<Descriptor>& manifests) {
  json::array list;
  for (const Descriptor& manifest : manifests) list.push_back(to_object(manifest));
  return json::serialize(json::object{{"schemaVersion", 2}, {"mediaType", kOciIndex}, {"manifests", std::move(list)}});
}

Digest chain_id(const std::optional<Digest>& below, const Digest& diff_id) {
  return below ? digest_of(cat(below->to_string(), " ", diff_id.to_string())) : diff_id;
}

}  // namespace gantry::images
