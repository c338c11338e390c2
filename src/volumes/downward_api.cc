// SPDX-License-Identifier: Apache-2.0
#include "volumes/downward_api.h"

#include <cstdio>
#include <map>
#include <optional>
#include <utility>

#include "api/text.h"
#include "base/map_text.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

// How many bytes the character that begins here has; 0: it is none.
std::size_t character_size(std::string_view rest) {
  for (std::size_t size = 1; size <= 4 && size <= rest.size(); ++size) {
    if (api::is_utf8(rest.substr(0, size))) return size;
  }
  return 0;
}

// As Go's strconv.Quote has it. Characters that can't be seen are written as they are, but for the controls: labels
// have none, and who reads annotations unquotes both.
std::string go_quoted(std::string_view text) {
  std::string out = "\"";
  char code[8];
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    const auto byte = static_cast<unsigned char>(text.front());
    static constexpr std::string_view kLetters = "abtnvfr";  // of 7, 8, 9, ...
    if (size == 0 || byte < 0x20 || byte == 0x7f) {
      // Go has the order \a \b \t \n \v \f \r, and that is the order of their numbers.
      if (byte >= 7 && byte < 7 + kLetters.size()) {
        out += {'\\', kLetters[byte - 7]};
      } else {
        std::snprintf(code, sizeof code, "\\x%02x", byte);
        out += code;
      }
    } else {
      if (byte == '"' || byte == '\\') out += '\\';
      out += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out + '"';
}

// "metadata.labels['a/b']" -> "a/b", with "metadata.labels" given. Nothing when the path is of another form.
std::optional<std::string> subscript(std::string_view path, std::string_view map) {
  if (!path.starts_with(map)) return std::nullopt;
  path.remove_prefix(map.size());
  if (!path.starts_with("['") || !path.ends_with("']") || path.size() < 4) return std::nullopt;
  return std::string(path.substr(2, path.size() - 4));
}

Result<std::string> field_text(const core::Pod& pod, const std::string& path) {
  const auto& metadata = pod.metadata();
  if (auto text = metadata_field(pod, path)) return std::move(*text);
  if (path == "metadata.labels") return map_text({metadata.labels().begin(), metadata.labels().end()});
  if (path == "metadata.annotations") return map_text({metadata.annotations().begin(), metadata.annotations().end()});
  return invalid_argument(cat("fieldPath ", api::quoted(path), " is not supported"));
}

}  // namespace

std::optional<std::string> metadata_field(const core::Pod& pod, std::string_view path) {
  const auto& metadata = pod.metadata();
  if (path == "metadata.name") return metadata.name();
  if (path == "metadata.namespace") return metadata.namespace_();
  if (path == "metadata.uid") return metadata.uid();
  if (auto key = subscript(path, "metadata.labels")) return text_at(metadata.labels(), *key);
  if (auto key = subscript(path, "metadata.annotations")) return text_at(metadata.annotations(), *key);
  return std::nullopt;
}

std::string map_text(const std::map<std::string, std::string>& map) {
  std::string out;
  for (const auto& [key, value] : map) {
    if (!out.empty()) out += '\n';
    out += cat(key, "=", go_quoted(value));
  }
  return out;
}

Status add_downward_api(const core::Pod& pod,
                        const google::protobuf::RepeatedPtrField<core::DownwardAPIVolumeFile>& items,
                        mode_t default_mode, const ResourceValue& resource, Payload& payload) {
  for (const auto& item : items) {
    Result<std::string> text;
    if (item.has_field_ref()) {
      text = field_text(pod, item.field_ref().field_path());
    } else if (item.has_resource_field_ref()) {
      text = resource(item.resource_field_ref());
    }
    if (!text) return std::unexpected(std::move(text.error()));
    const mode_t mode = item.has_mode() ? static_cast<mode_t>(item.mode()) & 07777 : default_mode;
    if (auto added = add_file(payload, item.path(), {std::move(*text), mode, {}}); !added) return added;
  }
  return {};
}

}  // namespace gantry::volumes
