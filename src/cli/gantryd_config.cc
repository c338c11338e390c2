// SPDX-License-Identifier: Apache-2.0
#include "cli/gantryd_config.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "api/yaml.h"
#include "base/text.h"
#include "sys/file.h"

namespace gantry::cli {
namespace {

constexpr std::size_t kMaxConfig = 1 << 20;
constexpr std::size_t kMaxHandlers = 64;
constexpr std::size_t kMaxTexts = 256;
constexpr std::size_t kMaxTextBytes = 4096;
constexpr std::size_t kMaxNameBytes = 63;

// What gantryd gives each command itself.
constexpr std::string_view kOwnFlags[] = {"--root", "--log", "--log-format", "--systemd-cgroup", "--cgroup-manager"};

std::unexpected<Error> wrong(const std::string& field, std::string_view what) {
  return invalid_argument(cat(field, ": ", what));
}

Result<std::string> read_text(const api::Value& value, const std::string& field) {
  const std::string* text = value.as_string();
  if (text == nullptr || text->empty()) return wrong(field, "a string was expected");
  if (text->size() > kMaxTextBytes || text->find('\0') != std::string::npos)
    return wrong(field, cat("has a NUL byte or more than ", kMaxTextBytes, " bytes"));
  return *text;
}

Result<std::vector<std::string>> read_texts(const api::Value& value, const std::string& field) {
  const auto* list = value.as_list();
  if (list == nullptr) return wrong(field, "a list of strings was expected");
  if (list->size() > kMaxTexts) return wrong(field, cat("has more than ", kMaxTexts, " entries"));
  std::vector<std::string> out;
  for (const auto& each : *list) {
    auto text = read_text(each, cat(field, "[", out.size(), "]"));
    if (!text) return std::unexpected(std::move(text.error()));
    out.push_back(std::move(*text));
  }
  return out;
}

Status check_name(const std::string& name, const std::string& field) {
  auto is_good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (name == cri::kOwnHandler) return wrong(field, cat(quoted(name), " is gantryd's own"));
  if (std::ranges::all_of(name, is_good) && name.front() != '-' && name.back() != '-' && name.size() <= kMaxNameBytes)
    return {};
  return wrong(field, cat(quoted(name), ": a DNS label was expected (lower case, digits, '-'; at most ", kMaxNameBytes,
                          " characters)"));
}

Status check_flags(const std::vector<std::string>& flags, const std::string& field) {
  for (std::size_t i = 0; i < flags.size(); ++i) {
    std::string_view name = std::string_view(flags[i]).substr(0, flags[i].find('='));
    if (std::ranges::find(kOwnFlags, name) != std::end(kOwnFlags))
      return wrong(cat(field, "[", i, "]"), cat(quoted(flags[i]), " is given, or decided, by gantryd"));
  }
  return {};
}

Result<cri::RuntimeHandler> read_handler(const api::Value& value, const std::string& field) {
  const auto* object = value.as_object();
  if (object == nullptr) return wrong(field, "an object with name and path was expected");
  cri::RuntimeHandler handler;
  for (const auto& [key, member, position] : *object) {
    const std::string place = cat(field, ".", key);
    if (key == "name" || key == "path") {
      auto text = read_text(member, place);
      if (!text) return std::unexpected(std::move(text.error()));
      (key == "name" ? handler.name : handler.path) = std::move(*text);
    } else if (key == "flags" || key == "annotations") {
      auto texts = read_texts(member, place);
      if (!texts) return std::unexpected(std::move(texts.error()));
      (key == "flags" ? handler.flags : handler.annotations) = std::move(*texts);
    } else {
      return wrong(place, "is unknown; there are: name, path, flags, annotations");
    }
  }
  if (handler.name.empty()) return wrong(field, "name is missing");
  if (auto s = check_name(handler.name, field + ".name"); !s) return std::unexpected(std::move(s.error()));
  if (!handler.path.starts_with('/')) {
    return wrong(field + ".path", cat(quoted(handler.path), ": the absolute path of an OCI runtime was expected"));
  }
  if (auto s = check_flags(handler.flags, field + ".flags"); !s) return std::unexpected(std::move(s.error()));
  return handler;
}

Result<std::vector<cri::RuntimeHandler>> read_handlers(const api::Value& value) {
  const std::string field = "runtimeHandlers";
  const auto* list = value.as_list();
  if (list == nullptr) return wrong(field, "a list was expected");
  if (list->size() > kMaxHandlers) return wrong(field, cat("has more than ", kMaxHandlers, " entries"));
  std::vector<cri::RuntimeHandler> out;
  for (const auto& each : *list) {
    const std::string place = cat(field, "[", out.size(), "]");
    auto handler = read_handler(each, place);
    if (!handler) return std::unexpected(std::move(handler.error()));
    if (std::ranges::find(out, handler->name, &cri::RuntimeHandler::name) != out.end())
      return wrong(place + ".name", cat(quoted(handler->name), " is there twice"));
    out.push_back(std::move(*handler));
  }
  return out;
}

Status check_programs(const GantrydConfig& config) {
  for (const auto& handler : config.handlers) {
    const std::string field = cat("runtimeHandlers: path of ", handler.name);
    auto info = sys::fstatat(sys::kCwd, handler.path.c_str(), 0);
    if (!info) return fail_with(std::move(info.error()), cat(field, " ", quoted(handler.path)));
    if (!S_ISREG(info->st_mode) || (info->st_mode & 0111) == 0)
      return wrong(field, cat(quoted(handler.path), ": is no program"));
  }
  return {};
}

}  // namespace

Result<GantrydConfig> parse_gantryd_config(std::string_view text) {
  auto documents = api::parse_documents(text);
  if (!documents) return std::unexpected(std::move(documents.error()));
  GantrydConfig config;
  if (documents->empty()) return config;
  const auto* object = documents->front().as_object();
  if (documents->size() > 1 || object == nullptr) return invalid_argument("one document, an object, was expected");
  for (const auto& [key, value, position] : *object) {
    if (key == "kubeconfig") {
      const std::string* path = value.as_string();
      if (path == nullptr || !path->starts_with('/')) return wrong(key, "an absolute path was expected");
      config.kubeconfig = *path;
      continue;
    }
    if (key != "runtimeHandlers") return wrong(key, "is unknown; there are: kubeconfig, runtimeHandlers");
    auto handlers = read_handlers(value);
    if (!handlers) return std::unexpected(std::move(handlers.error()));
    config.handlers = std::move(*handlers);
  }
  return config;
}

Result<GantrydConfig> read_gantryd_config(const GantrydOptions& options) {
  const std::string path = options.config.empty() ? kConfigFile : options.config;
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NONBLOCK);
  if (!file && file.error().is_not_found() && options.config.empty()) return GantrydConfig();
  if (!file) return fail_with(std::move(file.error()), path);
  auto text = sys::read_all(*file, kMaxConfig);
  if (!text) return fail_with(std::move(text.error()), path);
  auto config = parse_gantryd_config(*text);
  Status good = config ? check_programs(*config) : std::unexpected(std::move(config.error()));
  if (!good) return fail_with(std::move(good.error()), path);
  return config;
}

std::string joined_kubeconfig(const GantrydOptions& options) {
  const std::string config = options.config.empty() ? kConfigFile : options.config;
  std::string path = config.substr(0, config.rfind('/') + 1) + "kubeconfig";
  return sys::fstatat(sys::kCwd, path.c_str(), 0) ? path : "";
}

}  // namespace gantry::cli
