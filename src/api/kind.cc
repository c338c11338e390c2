// SPDX-License-Identifier: Apache-2.0
#include "api/kind.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdlib>
#include <set>

#include "base/log.h"
#include "base/text.h"

namespace gantry::api {

namespace {

std::string path(std::string_view group, std::string_view version, std::string_view name) {
  return cat(group, "/", version, "/", name);
}

[[noreturn]] void mistake(const std::string& text) {
  log::error("a kind of the API is wrong", {{"problem", text}});
  std::abort();
}

GroupVersionKind gvk_of(const Schema& schema) {
  const size_t slash = schema.api_version.find('/');
  if (slash == std::string::npos) return {"", schema.api_version, schema.kind};
  return {schema.api_version.substr(0, slash), schema.api_version.substr(slash + 1), schema.kind};
}

}  // namespace

std::string GroupVersionKind::api_version() const { return group.empty() ? version : cat(group, "/", version); }

const Subresource* Kind::find_subresource(std::string_view name) const {
  for (const Subresource& subresource : subresources) {
    if (subresource.name == name) return &subresource;
  }
  return nullptr;
}

const Schema& Kind::schema() const { return schema_of(*descriptor); }

Kinds::Kinds(std::vector<Kind> kinds) : kinds_(std::move(kinds)) {
  std::set<std::string> stored;
  for (Kind& kind : kinds_) {
    kind.gvk = gvk_of(kind.schema());
    if (kind.gvk.kind.empty()) mistake(cat(kind.descriptor->full_name(), " is no kind"));
    const std::string resource = path(kind.gvk.group, kind.gvk.version, kind.plural);
    if (!by_resource_.emplace(resource, &kind).second) mistake(cat(resource, " is there twice"));
    if (!by_kind_.emplace(path(kind.gvk.group, kind.gvk.version, kind.gvk.kind), &kind).second) {
      mistake(cat(kind.gvk.kind, " is there twice"));
    }
    if (!kind.storage.empty() && !kind.conversion && !stored.insert(kind.storage).second) {
      mistake(cat("two kinds are stored under ", kind.storage));
    }
    if (kind.selectable.empty() != (kind.selectable_values == nullptr)) {
      mistake(cat(resource, " has selectable fields without values, or the reverse"));
    }
  }
  for (const Kind& kind : kinds_) {
    if (kind.conversion && find_kind(kind.conversion->storage) == nullptr) {
      mistake(cat(kind.gvk.kind, " is stored as ", kind.conversion->storage.kind, ", which is no kind"));
    }
  }
}

const Kind* Kinds::find_resource(std::string_view group, std::string_view version, std::string_view plural) const {
  const auto found = by_resource_.find(path(group, version, plural));
  return found == by_resource_.end() ? nullptr : found->second;
}

const Kind* Kinds::find_kind(const GroupVersionKind& gvk) const {
  const auto found = by_kind_.find(path(gvk.group, gvk.version, gvk.kind));
  return found == by_kind_.end() ? nullptr : found->second;
}

const Kind& Kinds::storage_of(const Kind& kind) const {
  return kind.conversion ? *find_kind(kind.conversion->storage) : kind;
}

}  // namespace gantry::api
