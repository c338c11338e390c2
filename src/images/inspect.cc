// SPDX-License-Identifier: Apache-2.0
#include "images/inspect.h"

#include <boost/json.hpp>

#include "images/documents.h"
#include "images/json_reader.h"

namespace gantry::images {
namespace {

namespace json = boost::json;

// What strangers wrote was nested at most 32 deep when it was parsed.
void print(const json::value& value, const std::string& indent, std::string& out) {
  const std::string deeper = indent + "  ";
  const char* separator = "\n";
  if (const json::object* object = value.if_object(); object != nullptr && !object->empty()) {
    out += '{';
    for (const auto& entry : *object) {
      out += separator + deeper + json::serialize(entry.key()) + ": ";
      print(entry.value(), deeper, out);
      separator = ",\n";
    }
    out += "\n" + indent + "}";
  } else if (const json::array* array = value.if_array(); array != nullptr && !array->empty()) {
    out += '[';
    for (const json::value& element : *array) {
      out += separator + deeper;
      print(element, deeper, out);
      separator = ",\n";
    }
    out += "\n" + indent + "]";
  } else {
    out += json::serialize(value);
  }
}

json::array to_array(const std::vector<std::string>& texts) {
  json::array out;
  for (const std::string& text : texts) out.push_back(json::string(text));
  return out;
}

}  // namespace

Result<std::string> inspection(const std::vector<std::pair<Image, ImageDocuments>>& images) {
  json::array list;
  for (const auto& [image, documents] : images) {
    json::object object{{"Id", json::string(image.id)},
                        {"RepoTags", to_array(image.tags)},
                        {"RepoDigests", to_array(image.digests)},
                        {"Size", image.size},
                        {"Pinned", image.pinned}};
    if (!documents.manifest.empty()) {
      auto manifest = parse_json_object(documents.manifest, "manifest", kMaxDocumentBytes);
      if (!manifest) return std::unexpected(std::move(manifest.error()));
      object["Manifest"] = std::move(*manifest);
    }
    auto config = parse_json_object(documents.config, "configuration", kMaxConfigBytes);
    if (!config) return std::unexpected(std::move(config.error()));
    object["Config"] = std::move(*config);
    list.push_back(std::move(object));
  }
  std::string out;
  print(list, "", out);
  return out;
}

}  // namespace gantry::images
