// SPDX-License-Identifier: Apache-2.0
#include "control/plane/config_file.h"

#include <algorithm>

#include "api/json.h"
#include "api/yaml.h"
#include "base/text.h"
#include "sys/given_files.h"

namespace gantry::control {

namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr std::size_t kMaxShown = 200;

// The text of a scalar as a flag would have it.
std::optional<std::string> scalar_text(const api::Value& value) {
  if (const std::string* text = value.as_string()) return *text;
  if (const std::optional<bool> truth = value.as_bool()) return *truth ? "true" : "false";
  return value.number_text();
}

std::unexpected<Error> wrong(const Setting& setting, const api::Value& value) {
  return invalid_argument(cat(setting.field, " is ", quoted(api::write_json(value), kMaxShown), "; expected ",
                              setting.is_list ? "a list: " : "", setting.expected));
}

Result<std::vector<std::string>> read_value(const Setting& setting, const api::Value& value) {
  if (std::optional<std::string> text = scalar_text(value)) return std::vector<std::string>{std::move(*text)};
  const api::Value::List* list = value.as_list();
  if (list == nullptr || !setting.is_list) return wrong(setting, value);
  std::vector<std::string> texts;
  for (const api::Value& each : *list) {
    std::optional<std::string> text = scalar_text(each);
    if (!text) return wrong(setting, value);
    texts.push_back(std::move(*text));
  }
  return texts;
}

std::string all_fields() {
  std::string all;
  for (const Setting& setting : settings()) all += cat(all.empty() ? "" : ", ", setting.field);
  return all;
}

}  // namespace

Result<SettingValues> parse_config(std::string_view text) {
  Result<std::vector<api::Value>> documents = api::parse_documents(text);
  if (!documents) return std::unexpected(std::move(documents.error()));
  SettingValues values;
  if (documents->empty()) return values;
  const api::Value::Object* object = documents->front().as_object();
  if (documents->size() > 1 || object == nullptr) return invalid_argument("expected one document, an object");
  for (const auto& [key, value, position] : *object) {
    const auto setting = std::ranges::find(settings(), std::string_view(key), &Setting::field);
    if (setting == settings().end()) {
      return invalid_argument(cat(quoted(key), " (line ", position.line, ") is unknown; there are: ", all_fields()));
    }
    if (values.contains(key)) return invalid_argument(cat(key, " is there twice (line ", position.line, ")"));
    Result<std::vector<std::string>> texts = read_value(*setting, value);
    if (!texts) return std::unexpected(std::move(texts.error()));
    values.emplace(key, std::move(*texts));
  }
  return values;
}

Result<PlaneOptions> read_options(const std::string& config_file, const SettingValues& flags) {
  SettingValues values = flags;
  if (!config_file.empty()) {
    Result<std::string> text = sys::read_given(config_file, kMaxBytes);
    if (!text) return std::unexpected(std::move(text.error()));
    Result<SettingValues> written = parse_config(*text);
    if (!written) return fail_with(std::move(written.error()), config_file);
    values.merge(*written);
  }
  return read_settings(values, [&](const Setting& setting) {
    return flags.contains(setting.field) ? cat("--", setting.flag) : cat(config_file, ": ", setting.field);
  });
}

}  // namespace gantry::control
