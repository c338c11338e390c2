// SPDX-License-Identifier: Apache-2.0
#include "agent/kubelet_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

#include "api/merge_patch.h"
#include "api/quantity.h"
#include "api/yaml.h"
#include "base/duration.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/given_files.h"

namespace gantry::agent {

namespace {

using api::Value;

constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::size_t kMaxFiles = 256;
constexpr std::chrono::hours kMostTime{24 * 366};
constexpr std::int64_t kMaxCount = 1'000'000;

std::unexpected<Error> wrong(std::string_view field, std::string_view problem) {
  return invalid_argument(cat(field, ": ", problem));
}

// ---- a field's value, or why it is none

Status take_number(const Value& value, std::string_view field, std::int64_t least, std::int64_t most,
                   std::int64_t* out) {
  const auto number = value.as_int64();
  if (!number || *number < least || *number > most) {
    return wrong(field, cat("a number from ", least, " to ", most, " was expected"));
  }
  *out = *number;
  return {};
}

Status take_flag(const Value& value, std::string_view field, bool* out) {
  const auto flag = value.as_bool();
  if (!flag) return wrong(field, "true or false was expected");
  *out = *flag;
  return {};
}

// Zero is, as with kubelet, what is not said.
Status take_duration(const Value& value, std::string_view field, Duration* out) {
  const std::string* text = value.as_string();
  auto duration = text == nullptr ? invalid_argument("a duration was expected") : parse_duration(*text);
  if (!duration) return wrong(field, duration.error().message());
  if (*duration > kMostTime) return wrong(field, "at most a year was expected");
  if (*duration > Duration::zero()) *out = *duration;
  return {};
}

Status take_amounts(const Value& value, std::string_view field, std::map<std::string, std::string>* out) {
  const auto* object = value.as_object();
  if (object == nullptr) return wrong(field, "an object was expected");
  for (const auto& [name, amount, position] : *object) {
    const std::string* text = amount.as_string();
    auto quantity = text == nullptr ? invalid_argument("a quantity was expected") : api::Quantity::parse(*text);
    if (!quantity || quantity->is_negative())
      return wrong(cat(field, ".", name), "a quantity of 0 or more was expected");
    (*out)[name] = *text;
  }
  return {};
}

Result<EvictionThreshold> parse_threshold(std::string_view text) {
  if (!text.ends_with('%')) {
    auto quantity = api::Quantity::parse(text);
    if (!quantity || quantity->is_negative()) return invalid_argument("a quantity or a percentage was expected");
    return EvictionThreshold{.amount = std::string(text)};
  }
  text.remove_suffix(1);
  EvictionThreshold threshold;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threshold.percent);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (!is_number || !(threshold.percent >= 0 && threshold.percent <= 100)) {
    return invalid_argument("0% to 100% were expected");
  }
  return threshold;
}

// As with kubelet, who names one names all: the defaults are gone then.
Status take_thresholds(const Value& value, std::string_view field, std::map<std::string, EvictionThreshold>* out) {
  constexpr std::array<std::string_view, 6> kSignals = {"memory.available",  "nodefs.available",   "nodefs.inodesFree",
                                                        "imagefs.available", "imagefs.inodesFree", "pid.available"};
  const auto* object = value.as_object();
  if (object == nullptr) return wrong(field, "an object was expected");
  std::map<std::string, EvictionThreshold> all;
  for (const auto& [name, amount, position] : *object) {
    const std::string place = cat(field, ".", name);
    if (std::ranges::find(kSignals, name) == kSignals.end()) return wrong(place, "is no signal that is known here");
    const std::string* text = amount.as_string();
    auto threshold = text == nullptr ? invalid_argument("a text was expected") : parse_threshold(*text);
    if (!threshold) return wrong(place, threshold.error().message());
    all[name] = std::move(*threshold);
  }
  *out = std::move(all);
  return {};
}

Status take_taints(const Value& value, std::string_view field, std::vector<NodeTaint>* out) {
  const auto* list = value.as_list();
  if (list == nullptr) return wrong(field, "a list was expected");
  std::vector<NodeTaint> taints;
  for (const Value& one : *list) {
    NodeTaint taint{one.text_at("key"), one.text_at("value"), one.text_at("effect")};
    const bool is_effect =
        taint.effect == "NoSchedule" || taint.effect == "PreferNoSchedule" || taint.effect == "NoExecute";
    if (taint.key.empty() || !is_effect) {
      return wrong(cat(field, "[", taints.size(), "]"),
                   "a key, and an effect NoSchedule, PreferNoSchedule or NoExecute were expected");
    }
    taints.push_back(std::move(taint));
  }
  *out = std::move(taints);
  return {};
}

// Nothing: the field has no effect here.
std::optional<Status> take(std::string_view field, const Value& value, NodeConfig* node) {
  std::int64_t number = 0;
  if (field == "maxPods") return take_number(value, field, 0, kMaxCount, &node->max_pods);
  if (field == "podsPerCore") return take_number(value, field, 0, kMaxCount, &node->pods_per_core);
  if (field == "nodeLeaseDurationSeconds") {
    Status taken = take_number(value, field, 0, 24 * 3600, &number);
    if (taken && number > 0) node->lease_seconds = static_cast<std::int32_t>(number);
    return taken;
  }
  if (field == "nodeStatusMaxImages") {
    Status taken = take_number(value, field, -1, std::numeric_limits<std::int32_t>::max(), &number);
    if (taken)
      node->max_images = number < 0 ? std::numeric_limits<std::int32_t>::max() : static_cast<std::size_t>(number);
    return taken;
  }
  if (field == "nodeStatusUpdateFrequency") return take_duration(value, field, &node->status_update);
  if (field == "nodeStatusReportFrequency") return take_duration(value, field, &node->status_report);
  if (field == "evictionPressureTransitionPeriod") return take_duration(value, field, &node->pressure_transition);
  if (field == "registerNode") return take_flag(value, field, &node->registers);
  if (field == "registerWithTaints") return take_taints(value, field, &node->taints);
  if (field == "systemReserved") return take_amounts(value, field, &node->system_reserved);
  if (field == "kubeReserved") return take_amounts(value, field, &node->kube_reserved);
  if (field == "evictionHard") return take_thresholds(value, field, &node->eviction_hard);
  if (field == "providerID") {
    const std::string* text = value.as_string();
    if (text == nullptr) return wrong(field, "a text was expected");
    node->provider_id = *text;
    return Status();
  }
  return std::nullopt;
}

// ---- files

Result<Value> read_document(const std::string& path) {
  auto text = sys::read_given(path, kMaxFile);
  if (!text) return std::unexpected(std::move(text.error()));
  auto documents = api::parse_documents(*text);
  if (!documents) return fail_with(std::move(documents.error()), path);
  if (documents->size() != 1 || !documents->front().is_object()) {
    return invalid_argument(cat(path, ": one document, an object, was expected"));
  }
  const Value& document = documents->front();
  if (document.text_at("apiVersion") != "kubelet.config.k8s.io/v1beta1" ||
      document.text_at("kind") != "KubeletConfiguration") {
    return invalid_argument(cat(path, ": a KubeletConfiguration of kubelet.config.k8s.io/v1beta1 was expected"));
  }
  return std::move(documents->front());
}

Result<std::vector<std::string>> drop_ins(const std::string& folder) {
  auto opened = sys::open_dir(sys::kCwd, folder.c_str());
  if (!opened) return fail_with(std::move(opened.error()), folder);
  auto names = sys::list_ending(*opened, {".conf"}, kMaxFiles, "drop-in files");
  if (!names) return fail_with(std::move(names.error()), folder);
  std::erase_if(*names, [](const std::string& name) { return name.starts_with('.'); });
  for (auto& name : *names) name = folder + "/" + name;
  return names;
}

}  // namespace

Result<KubeletConfig> apply_kubelet_config(const Value& document, NodeConfig* node) {
  KubeletConfig config;
  const auto* object = document.as_object();
  if (object == nullptr) return invalid_argument("an object was expected");
  for (const auto& [field, value, position] : *object) {
    if (field == "apiVersion" || field == "kind" || value.is_null()) continue;
    const std::optional<Status> taken = take(field, value, node);
    if (!taken) {
      config.ignored.push_back(field);
    } else if (!*taken) {
      return std::unexpected(taken->error());
    }
  }
  std::ranges::sort(config.ignored);
  return config;
}

Result<KubeletConfig> read_kubelet_config(const std::string& file, const std::string& folder, NodeConfig* node) {
  Value whole{Value::Object()};
  std::vector<std::string> paths;
  if (!file.empty()) paths.push_back(file);
  if (!folder.empty()) {
    auto more = drop_ins(folder);
    if (!more) return std::unexpected(std::move(more.error()));
    paths.insert(paths.end(), more->begin(), more->end());
  }
  NodeConfig changed = *node;
  for (const auto& path : paths) {
    auto document = read_document(path);
    if (!document) return std::unexpected(std::move(document.error()));
    auto merged = api::apply_merge_patch(std::move(whole), *document);
    if (!merged) return fail_with(std::move(merged.error()), path);
    whole = std::move(*merged);
    // Each by itself, so that an error names the file.
    NodeConfig trial = *node;
    if (auto good = apply_kubelet_config(*document, &trial); !good) return fail_with(std::move(good.error()), path);
  }
  auto config = apply_kubelet_config(whole, &changed);
  if (config) *node = std::move(changed);
  return config;
}

}  // namespace gantry::agent
