// SPDX-License-Identifier: Apache-2.0
#include <boost/json.hpp>

#include "images/content.h"
#include "images/json_reader.h"
#include "images/store_impl.h"
#include "images/text.h"

namespace gantry::images {
namespace {

namespace json = boost::json;

struct KeptLayer {
  Digest digest;
  std::uint64_t size = 0;
};

class ContentReader {
 public:
  ContentReader(ImageStore::Impl& store, std::string id) : store_(store), id_(std::move(id)) {}

  Result<ImageContent> run(Image image, ImageDocuments documents) {
    std::string text = std::move(documents.manifest);
    if (text.empty()) {
      return fail(Code::kFailedPrecondition,
                  "an older Gantry brought it and kept no note of its manifest; remove it and bring it again");
    }
    auto type = type_of(text);
    if (!type) return std::unexpected(std::move(type.error()));
    auto document = parse_document(text, *type);
    if (!document) return std::unexpected(std::move(document.error()));
    std::vector<ImageContent::Layer> layers;
    bool as_it_came = true;
    for (std::size_t i = 0; i < document->layers.size(); ++i) {
      auto layer = open_layer(document->layers[i], i, type->find("docker") != std::string::npos);
      if (!layer) return std::unexpected(std::move(layer.error()));
      as_it_came &= layer->descriptor.digest == document->layers[i].digest;
      layers.push_back(std::move(*layer));
    }
    if (!as_it_came) {
      auto made = with_layers(text, layers);
      if (!made) return std::unexpected(std::move(made.error()));
      text = std::move(*made);
    }
    Descriptor manifest{std::move(*type), digest_of(text), text.size(), std::nullopt, {}};
    return ImageContent{std::move(image),  *document->config,   std::move(documents.config),
                        std::move(layers), std::move(manifest), std::move(text)};
  }

 private:
  // OCI's may leave it out.
  static Result<std::string> type_of(std::string_view manifest) {
    auto object = parse_json_object(manifest, "manifest", kMaxDocumentBytes);
    if (!object) return std::unexpected(std::move(object.error()));
    JsonReader reader("manifest");
    std::string type = reader.text(*object, "mediaType");
    if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
    return type.empty() ? kOciManifest : type;
  }

  // The blob that the manifest names, or the one that the layer was unpacked from.
  Result<ImageContent::Layer> open_layer(const Descriptor& named, std::size_t position, bool is_docker) {
    auto kept = store_.read([&](db::Connection& database) -> Result<std::optional<KeptLayer>> {
      auto has = has_blob(database, named.digest);
      if (!has) return std::unexpected(std::move(has.error()));
      if (*has) return KeptLayer{named.digest, named.size};
      auto rows = database.query(
          "SELECT digest, size FROM image_blobs WHERE complete = 1 AND digest IN (SELECT blob FROM image_layers WHERE"
          "  name IN (SELECT layer FROM image_image_layers WHERE image = ? AND position = ?))",
          {id_, position});
      if (!rows) return std::unexpected(std::move(rows.error()));
      auto more = rows->next();
      if (!more) return std::unexpected(std::move(more.error()));
      if (!*more) return std::nullopt;
      auto digest = Digest::from_hex(rows->text(0));
      if (!digest) return std::unexpected(std::move(digest.error()));
      return KeptLayer{std::move(*digest), static_cast<std::uint64_t>(rows->integer(1))};
    });
    if (!kept) return std::unexpected(std::move(kept.error()));
    if (!*kept) {
      return fail(Code::kFailedPrecondition, cat("layer ", named.digest.to_string(),
                                                 ": it is not kept packed; remove the image and bring it again"));
    }
    auto file = sys::openat(store_.blobs, (*kept)->digest.hex().c_str(), O_RDONLY | O_NOFOLLOW);
    if (!file) return fail_with(std::move(file.error()), cat("layer ", named.digest.to_string()));
    ImageContent::Layer layer{named, std::move(*file)};
    if ((*kept)->digest == named.digest) return layer;
    char first[4] = {};
    auto count = sys::pread(layer.file, first, sizeof(first), 0);
    if (!count) return std::unexpected(std::move(count.error()));
    std::string packing = packing_of(std::string_view(first, *count));
    if (is_docker && !packing.empty()) packing[0] = '.';
    layer.descriptor.media_type = cat(is_docker ? kDockerLayer : kOciLayer, packing);
    layer.descriptor.digest = (*kept)->digest;
    layer.descriptor.size = (*kept)->size;
    return layer;
  }

  static Result<std::string> with_layers(std::string_view manifest, const std::vector<ImageContent::Layer>& layers) {
    auto object = parse_json_object(manifest, "manifest", kMaxDocumentBytes);
    if (!object) return std::unexpected(std::move(object.error()));
    json::array& list = object->at("layers").as_array();  // parse_document() has read them
    for (std::size_t i = 0; i < layers.size(); ++i) {
      json::object& layer = list[i].as_object();
      layer["mediaType"] = layers[i].descriptor.media_type;
      layer["digest"] = layers[i].descriptor.digest.to_string();
      layer["size"] = layers[i].descriptor.size;
    }
    return json::serialize(*object);
  }

  ImageStore::Impl& store_;
  std::string id_;
};

}  // namespace

std::string packing_of(std::string_view first_bytes) {
  if (first_bytes.starts_with("\x1f\x8b")) return "+gzip";
  if (first_bytes.starts_with("\x28\xb5\x2f\xfd")) return "+zstd";
  return "";
}

Result<std::optional<ImageContent>> ImageStore::content(std::string_view query) const {
  auto image = find(query);
  if (!image) return std::unexpected(std::move(image.error()));
  if (!*image) return std::nullopt;
  const std::string id = (*image)->id;
  auto texts = documents(id);
  if (!texts) return std::unexpected(std::move(texts.error()));
  if (!*texts) return std::nullopt;
  auto out = ContentReader(*impl_, id.substr(id.find(':') + 1)).run(std::move(**image), std::move(**texts));
  if (!out) return fail_with(std::move(out.error()), cat("image ", id));
  return std::move(*out);
}

}  // namespace gantry::images
