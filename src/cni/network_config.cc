// SPDX-License-Identifier: Apache-2.0
#include "cni/network_config.h"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "api/json.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/given_files.h"

namespace gantry::cni {
namespace {

using api::Value;

constexpr api::ParseLimits kLimits{.bytes = kMaxConfigBytes, .depth = 64, .nodes = 100'000};
constexpr std::array<std::string_view, 7> kVersions{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
constexpr std::size_t kMaxName = 255;  // plugins make files of it

// The member, if it is there and not null.
const Value* member(const Value& object, std::string_view key) {
  const Value* found = object.find(key);
  return found && !found->is_null() ? found : nullptr;
}

std::unexpected<Error> wrong(std::string_view field, const Value& value, std::string_view expected) {
  return invalid_argument(cat(field, ": ", describe(value), " is wrong: ", expected, " was expected"));
}

Result<std::string> text_of(const Value& object, std::string_view key) {
  const Value* value = member(object, key);
  if (!value) return std::string();
  if (!value->is_string()) return wrong(key, *value, "a string");
  return *value->as_string();
}

// Also as a string, as the specification had it once.
Status read_flag(const Value& object, std::string_view key, bool& out) {
  const Value* value = member(object, key);
  if (!value) return {};
  const std::string* text = value->as_string();
  if (auto flag = value->as_bool()) {
    out = *flag;
  } else if (text && (*text == "true" || *text == "false")) {
    out = *text == "true";
  } else {
    return wrong(key, *value, "true or false");
  }
  return {};
}

Result<Value> parse_object(std::string_view text) {
  auto value = api::parse_json(text, kLimits);
  if (value && !value->is_object()) return invalid_argument(cat(describe(*value), ": an object was expected"));
  return value;
}

bool is_name(std::string_view text) {
  auto plain = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !text.empty() && text.size() <= kMaxName && plain(text.front()) &&
         std::ranges::all_of(text, [&](char c) { return plain(c) || c == '_' || c == '.' || c == '-'; });
}

Status read_name(const Value& object, NetworkConfig& config) {
  auto name = text_of(object, "name");
  if (!name) return std::unexpected(std::move(name.error()));
  if (!is_name(*name)) {
    return invalid_argument(
        cat("name: ", quoted(*name),
            " is wrong: letters, digits, '_', '.' and '-', a letter or digit first, were expected"));
  }
  config.name = std::move(*name);
  return {};
}

Status read_versions(const Value& object, NetworkConfig& config) {
  auto first = text_of(object, "cniVersion");
  if (!first) return std::unexpected(std::move(first.error()));
  std::vector<std::string> all;
  if (const Value* more = member(object, "cniVersions")) {
    if (!more->is_list()) return wrong("cniVersions", *more, "a list of strings");
    for (const Value& entry : *more->as_list()) {
      if (!entry.is_string()) return wrong("cniVersions", entry, "a list of strings");
      all.push_back(*entry.as_string());
    }
  }
  if (!first->empty() || all.empty()) all.push_back(first->empty() ? std::string(kVersions[0]) : *first);
  std::string words;
  for (const std::string& text : all) {
    words += cat(words.empty() ? "" : ", ", quoted(text));
    if (auto version = parse_version(text)) config.versions.push_back(*version);
  }
  if (config.versions.empty())
    return invalid_argument(cat("cniVersion: ", words, " is not supported: 0.1.0 to 1.1.0 were expected"));
  std::ranges::sort(config.versions);
  config.versions.erase(std::ranges::unique(config.versions).begin(), config.versions.end());
  return {};
}

Status read_plugin(const Value& object, NetworkConfig& config) {
  if (config.plugins.size() == kMaxPlugins) return invalid_argument(cat("has more than ", kMaxPlugins, " plugins"));
  Plugin plugin;
  auto type = text_of(object, "type");
  if (!type) return std::unexpected(std::move(type.error()));
  if (type->empty() || type->size() > 255 || *type == "." || *type == ".." ||
      type->find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
    return invalid_argument(cat("type: ", quoted(*type), " is wrong: the name of a plugin's program was expected"));
  }
  plugin.type = std::move(*type);
  if (const Value* wanted = member(object, "capabilities")) {
    if (!wanted->is_object()) return wrong("capabilities", *wanted, "an object");
    for (const auto& [key, value, at] : *wanted->as_object()) {
      if (!value.as_bool()) return wrong(cat("capabilities.", key), value, "true or false");
      if (*value.as_bool()) plugin.capabilities.push_back(key);
    }
  }
  plugin.config = object;
  config.plugins.push_back(std::move(plugin));
  return {};
}

Status read_plugins(const Value& object, NetworkConfig& config) {
  const Value* plugins = member(object, "plugins");
  if (!plugins) return {};
  if (!plugins->is_list()) return wrong("plugins", *plugins, "a list");
  std::size_t index = 0;
  for (const Value& entry : *plugins->as_list()) {
    std::string field = cat("plugins[", index++, "]");
    if (!entry.is_object()) return wrong(field, entry, "an object");
    if (auto read = read_plugin(entry, config); !read) return fail_with(std::move(read.error()), field);
  }
  return {};
}

// ---- files

Result<std::vector<std::string>> names_in(const std::string& folder, std::initializer_list<std::string_view> suffixes) {
  auto opened = sys::open_dir(sys::kCwd, folder.c_str());
  if (!opened) return std::unexpected(std::move(opened.error()));
  auto names = sys::list_ending(*opened, suffixes, kMaxConfigFiles, "configurations");
  if (!names) return fail_with(std::move(names.error()), folder);
  return names;
}

Result<std::string> read_config(const std::string& path) {
  // Not blocking, for a FIFO that nobody writes to.
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::read_regular(*file, kMaxConfigBytes);
}

Status add_folder(NetworkConfig& config, const std::string& folder) {
  auto names = names_in(folder, {".conf"});
  if (!names && names.error().is_not_found()) return {};
  if (!names) return std::unexpected(std::move(names.error()));
  for (const std::string& name : *names) {
    auto text = read_config(cat(folder, "/", name));
    Status added = text ? add_plugin(config, *text) : std::unexpected(std::move(text.error()));
    if (!added) return fail_with(std::move(added.error()), cat(folder, "/", name));
  }
  return {};
}

}  // namespace

std::string_view to_string(Version version) { return kVersions[static_cast<std::size_t>(version)]; }

std::optional<Version> parse_version(std::string_view text) {
  auto found = std::ranges::find(kVersions, text);
  if (found == kVersions.end()) return std::nullopt;
  return static_cast<Version>(found - kVersions.begin());
}

Result<NetworkConfig> parse_network_list(std::string_view text) {
  auto object = parse_object(text);
  if (!object) return std::unexpected(std::move(object.error()));
  NetworkConfig config;
  Status read = read_name(*object, config);
  if (read) read = read_versions(*object, config);
  if (read) read = read_flag(*object, "disableCheck", config.disable_check);
  if (read) read = read_flag(*object, "disableGC", config.disable_gc);
  if (read) read = read_flag(*object, "loadOnlyInlinedPlugins", config.only_inlined);
  if (read) read = read_plugins(*object, config);
  if (!read) return std::unexpected(std::move(read.error()));
  return config;
}

Result<NetworkConfig> parse_single_network(std::string_view text) {
  auto object = parse_object(text);
  if (!object) return std::unexpected(std::move(object.error()));
  if (object->find("plugins")) return invalid_argument("plugins: a list of plugins is a .conflist file's");
  NetworkConfig config;
  config.only_inlined = true;
  Status read = read_name(*object, config);
  if (read) read = read_versions(*object, config);
  if (read) read = read_plugin(*object, config);
  if (!read) return std::unexpected(std::move(read.error()));
  return config;
}

Status add_plugin(NetworkConfig& config, std::string_view text) {
  auto object = parse_object(text);
  if (!object) return std::unexpected(std::move(object.error()));
  return read_plugin(*object, config);
}

Result<NetworkConfig> read_network_config(const std::string& folder) {
  auto names = names_in(folder, {".conflist", ".conf", ".json"});
  if (!names && !names.error().is_not_found()) return fail_with(std::move(names.error()), "CNI configuration");
  if (!names || names->empty())
    return not_found(cat("there is no CNI configuration (.conflist, .conf or .json) in ", folder));
  std::string path = cat(folder, "/", names->front());
  std::string what = cat("CNI configuration ", path);
  auto text = read_config(path);
  if (!text) return fail_with(std::move(text.error()), what);
  auto config = path.ends_with(".conflist") ? parse_network_list(*text) : parse_single_network(*text);
  if (!config) return fail_with(std::move(config.error()), what);
  if (!config->only_inlined) {
    if (auto added = add_folder(*config, cat(folder, "/", config->name)); !added)
      return fail_with(std::move(added.error()), what);
  }
  if (config->plugins.empty()) return invalid_argument(cat(what, ": plugins: has none; one at least was expected"));
  return config;
}

void set_member(Value& object, std::string_view key, Value value) {
  std::erase_if(*object.as_object(), [&](const Value::Member& member) { return member.key == key; });
  object.as_object()->emplace_back(std::string(key), std::move(value));
}

std::string network_text(const NetworkConfig& config, Version version) {
  Value::List plugins;
  for (const Plugin& plugin : config.plugins) plugins.push_back(plugin.config);
  return api::write_json(Value::object({{"cniVersion", to_string(version)},
                                        {"name", config.name},
                                        {"disableCheck", config.disable_check},
                                        {"disableGC", config.disable_gc},
                                        {"loadOnlyInlinedPlugins", true},
                                        {"plugins", std::move(plugins)}}));
}

Value plugin_request(const NetworkConfig& config, const Plugin& plugin, Version version, const Value& capabilities,
                     const Value* previous) {
  Value request = plugin.config;
  // Of the list alone, or the runtime's to say.
  std::erase_if(*request.as_object(), [](const Value::Member& member) {
    return member.key == "capabilities" || member.key == "runtimeConfig" || member.key == "prevResult" ||
           member.key == "cniVersions" || member.key.starts_with("cni.dev/");
  });
  set_member(request, "cniVersion", to_string(version));
  set_member(request, "name", config.name);
  Value::Object told;
  for (const std::string& wanted : plugin.capabilities) {
    if (const Value* value = capabilities.find(wanted)) told.emplace_back(wanted, *value);
  }
  if (!told.empty()) set_member(request, "runtimeConfig", std::move(told));
  if (previous) set_member(request, "prevResult", *previous);
  return request;
}

}  // namespace gantry::cni
