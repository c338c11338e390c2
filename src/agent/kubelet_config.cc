// SPDX-License-Identifier: Apache-2.0
#include "agent/kubelet_config.h"

#include <algorithm>

#include "agent/kubelet_fields.h"
#include "api/merge_patch.h"
#include "api/yaml.h"
#include "base/text.h"
#include "sys/file.h"
#include "sys/given_files.h"

namespace gantry::agent {

namespace {

using api::Value;

constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::size_t kMaxFiles = 256;

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

// Each field by itself: whether they go together only all files say.
Status take_fields(const Value& document, KubeletSettings* settings, std::vector<std::string>* ignored) {
  const auto* object = document.as_object();
  if (object == nullptr) return invalid_argument("an object was expected");
  for (const auto& [field, value, position] : *object) {
    if (field == "apiVersion" || field == "kind" || value.is_null()) continue;
    auto taken = take_field(field, value, settings);
    if (!taken) return std::unexpected(std::move(taken.error()));
    if (!*taken) ignored->push_back(field);
  }
  return Status();
}

}  // namespace

Result<KubeletConfig> apply_kubelet_config(const Value& document, KubeletSettings* settings) {
  KubeletConfig config;
  KubeletSettings changed = *settings;
  if (Status taken = take_fields(document, &changed, &config.ignored); !taken) {
    return std::unexpected(std::move(taken.error()));
  }
  if (changed.merges_eviction_defaults) {
    for (const auto& [signal, threshold] : NodeConfig().eviction_hard) {
      changed.node.eviction_hard.try_emplace(signal, threshold);
    }
  }
  changed.agent.eviction.hard = changed.node.eviction_hard;
  changed.agent.reserve.system = changed.node.system_reserved;
  changed.agent.reserve.kube = changed.node.kube_reserved;
  if (auto whole = check_fields(changed); !whole) return std::unexpected(std::move(whole.error()));
  std::ranges::sort(config.ignored);
  config.document = document;
  *settings = std::move(changed);
  return config;
}

Result<KubeletConfig> read_kubelet_config(const std::string& file, const std::string& folder,
                                          KubeletSettings* settings) {
  Value whole{Value::Object()};
  std::vector<std::string> paths;
  if (!file.empty()) paths.push_back(file);
  if (!folder.empty()) {
    auto more = drop_ins(folder);
    if (!more) return std::unexpected(std::move(more.error()));
    paths.insert(paths.end(), more->begin(), more->end());
  }
  for (const auto& path : paths) {
    auto document = read_document(path);
    if (!document) return std::unexpected(std::move(document.error()));
    auto merged = api::apply_merge_patch(std::move(whole), *document);
    if (!merged) return fail_with(std::move(merged.error()), path);
    whole = std::move(*merged);
    // So that an error names the file.
    KubeletSettings trial = *settings;
    std::vector<std::string> ignored;
    if (Status good = take_fields(*document, &trial, &ignored); !good) return fail_with(std::move(good.error()), path);
  }
  return apply_kubelet_config(whole, settings);
}

}  // namespace gantry::agent
