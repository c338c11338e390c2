// SPDX-License-Identifier: Apache-2.0
#include "agent/eviction/record.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "api/json.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/private_file.h"

namespace gantry::agent {
namespace {

constexpr char kName[] = "evicted.json";
constexpr std::size_t kMaxBytes = 64 << 10;
constexpr std::int64_t kLongestGrace = 24L * 3600;

}  // namespace

Status write_eviction(const std::string& pod_folder, const PodEviction& eviction) {
  if (auto made = sys::make_folders(pod_folder, 0750); !made) return made;
  auto folder = sys::open_dir(sys::kCwd, pod_folder.c_str());
  if (!folder) return fail_with(std::move(folder.error()), pod_folder);
  const auto grace = std::chrono::duration_cast<std::chrono::seconds>(eviction.grace).count();
  const api::Value record = api::Value::object({{"reason", eviction.reason},
                                                {"message", eviction.message},
                                                {"isDisruption", eviction.is_disruption},
                                                {"graceSeconds", static_cast<std::int64_t>(grace)}});
  auto written = sys::write_private_file(*folder, kName, api::write_json(record));
  return written ? written : fail_with(std::move(written.error()), pod_folder);
}

Result<std::optional<PodEviction>> read_eviction(const std::string& pod_folder) {
  const std::string path = cat(pod_folder, "/", kName);
  auto text = sys::read_file(sys::kCwd, path.c_str(), kMaxBytes);
  if (!text && text.error().is_not_found()) return std::nullopt;
  if (!text) return fail_with(std::move(text.error()), path);
  auto record = api::parse_json(*text, {.bytes = kMaxBytes, .depth = 4, .nodes = 16});
  if (!record) return fail_with(std::move(record.error()), path);
  const auto* disruption = record->find("isDisruption");
  const auto* grace = record->find("graceSeconds");
  const auto seconds = grace == nullptr ? std::nullopt : grace->as_int64();
  return PodEviction{.reason = record->text_at("reason"),
                     .message = record->text_at("message"),
                     .is_disruption = disruption != nullptr && disruption->as_bool().value_or(false),
                     .grace = std::chrono::seconds(std::clamp<std::int64_t>(seconds.value_or(0), 0, kLongestGrace))};
}

}  // namespace gantry::agent
