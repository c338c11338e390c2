// SPDX-License-Identifier: Apache-2.0
#include "cri/object_table.h"

#include <functional>

#include "cri/ids.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

// The first letter of a fact is its kind.
Term hash_of(const std::string& fact) { return std::hash<std::string>()(fact); }

}  // namespace

Term label_term(std::string_view key, std::string_view value) { return hash_of(cat("l", key, '\0', value)); }

Term pod_term(std::string_view sandbox_id) { return hash_of(cat("p", sandbox_id)); }

Term name_term(const v1::PodSandboxMetadata& metadata) {
  return hash_of(
      cat("n", metadata.namespace_(), '\0', metadata.name(), '\0', metadata.uid(), '\0', metadata.attempt()));
}

Term name_term(std::string_view sandbox_id, const v1::ContainerMetadata& metadata) {
  return hash_of(cat("n", sandbox_id, '\0', metadata.name(), '\0', metadata.attempt()));
}

Terms terms_of(const Sandbox& sandbox) {
  Terms terms{name_term(sandbox.status.metadata())};
  for (const auto& [key, value] : sandbox.status.labels()) terms.push_back(label_term(key, value));
  return terms;
}

Terms terms_of(const Container& container) {
  Terms terms{pod_term(container.sandbox_id), name_term(container.sandbox_id, container.status.metadata())};
  for (const auto& [key, value] : container.status.labels()) terms.push_back(label_term(key, value));
  return terms;
}

Terms terms_of(const google::protobuf::Map<std::string, std::string>& label_selector, std::string_view sandbox_id) {
  Terms terms;
  if (sandbox_id.size() == kIdBytes) terms.push_back(pod_term(sandbox_id));
  for (const auto& [key, value] : label_selector) terms.push_back(label_term(key, value));
  return terms;
}

}  // namespace gantry::cri
