// SPDX-License-Identifier: Apache-2.0
#include "api/documents/discovery.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "api/text.h"
#include "base/text.h"

namespace gantry::api {

namespace {

// v10 before v2 before v1, stable ones before v2beta1, those before v3alpha1, anything else last and by name.
std::tuple<int, int, int, std::string_view> version_rank(std::string_view version) {
  const char* at = version.data() + 1;
  const char* const end = version.data() + version.size();
  int major = 0;
  if (!version.starts_with('v')) return {3, 0, 0, version};
  auto number = std::from_chars(at, end, major);
  if (number.ec != std::errc()) return {3, 0, 0, version};
  const std::string_view rest(number.ptr, static_cast<size_t>(end - number.ptr));
  if (rest.empty()) return {0, -major, 0, {}};
  for (const auto& [stage, rank] : {std::pair<std::string_view, int>{"beta", 1}, {"alpha", 2}}) {
    int minor = 0;
    if (rest.starts_with(stage)) {
      number = std::from_chars(rest.data() + stage.size(), end, minor);
      if (number.ec == std::errc() && number.ptr == end) return {rank, -major, -minor, {}};
    }
  }
  return {3, 0, 0, version};
}

Value strings(const std::vector<std::string>& texts) {
  Value::List list;
  for (const std::string& text : texts) list.emplace_back(text);
  return list;
}

Value verbs_value(Verbs verbs) {
  static constexpr std::array<std::pair<Verb, std::string_view>, 8> kNames = {
      {{Verb::kCreate, "create"},
       {Verb::kDelete, "delete"},
       {Verb::kDeleteCollection, "deletecollection"},
       {Verb::kGet, "get"},
       {Verb::kList, "list"},
       {Verb::kPatch, "patch"},
       {Verb::kUpdate, "update"},
       {Verb::kWatch, "watch"}}};
  Value::List list;
  for (const auto& [verb, name] : kNames) {
    if (has(verbs, verb)) list.emplace_back(name);
  }
  return list;
}

// By the resources' names, as upstream lists them.
std::vector<const Kind*> kinds_of(const Kinds& kinds, std::string_view group, std::string_view version) {
  std::vector<const Kind*> found;
  for (const Kind& kind : kinds.all()) {
    if (kind.gvk.group == group && kind.gvk.version == version) found.push_back(&kind);
  }
  std::ranges::sort(found, {}, &Kind::plural);
  return found;
}

std::vector<const Subresource*> subresources_of(const Kind& kind) {
  std::vector<const Subresource*> found;
  for (const Subresource& subresource : kind.subresources) found.push_back(&subresource);
  std::ranges::sort(found, {}, &Subresource::name);
  return found;
}

bool is_view(const Subresource& subresource) { return subresource.kind.kind.empty(); }

// Changes when objects of the kind are stored in another version, so that clients can tell.
std::string storage_version_hash(const Kinds& kinds, const Kind& kind) {
  const GroupVersionKind& stored = kinds.storage_of(kind).gvk;
  const std::string text = cat(stored.group, '/', stored.version, '/', stored.kind);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return encode_base64(std::string_view(reinterpret_cast<const char*>(digest), 8));
}

Value kind_value(const GroupVersionKind& gvk) {
  return Value::object({{"group", gvk.group}, {"version", gvk.version}, {"kind", gvk.kind}});
}

Value aggregated_resource(const Kind& kind) {
  Value resource = Value::object({{"resource", kind.plural},
                                  {"responseKind", kind_value(kind.gvk)},
                                  {"scope", kind.namespaced ? "Namespaced" : "Cluster"},
                                  {"singularResource", kind.singular},
                                  {"verbs", verbs_value(kind.verbs)}});
  if (!kind.short_names.empty()) resource["shortNames"] = strings(kind.short_names);
  if (!kind.categories.empty()) resource["categories"] = strings(kind.categories);
  Value::List subresources;
  for (const Subresource* subresource : subresources_of(kind)) {
    subresources.push_back(
        Value::object({{"subresource", subresource->name},
                       {"responseKind", kind_value(is_view(*subresource) ? kind.gvk : subresource->kind)},
                       {"verbs", verbs_value(subresource->verbs)}}));
  }
  if (!subresources.empty()) resource["subresources"] = std::move(subresources);
  return resource;
}

Value aggregated_group(const Kinds& kinds, const ServedGroup& group) {
  Value::List versions;
  for (const std::string& version : group.versions) {
    Value::List resources;
    for (const Kind* kind : kinds_of(kinds, group.name, version)) resources.push_back(aggregated_resource(*kind));
    versions.push_back(
        Value::object({{"version", version}, {"resources", std::move(resources)}, {"freshness", "Current"}}));
  }
  Value metadata = group.name.empty() ? Value(Value::Object()) : Value::object({{"name", group.name}});
  return Value::object({{"metadata", std::move(metadata)}, {"versions", std::move(versions)}});
}

Value aggregated(Value::List groups) {
  return Value::object({{"kind", "APIGroupDiscoveryList"},
                        {"apiVersion", "apidiscovery.k8s.io/v2"},
                        {"metadata", Value::Object()},
                        {"items", std::move(groups)}});
}

Value group_version(std::string_view group, const std::string& version) {
  return Value::object({{"groupVersion", cat(group, '/', version)}, {"version", version}});
}

// The members of an APIGroup after its kind.
void add_group(const ServedGroup& group, Value* out) {
  Value::List versions;
  for (const std::string& version : group.versions) versions.push_back(group_version(group.name, version));
  (*out)["name"] = group.name;
  (*out)["versions"] = std::move(versions);
  (*out)["preferredVersion"] = group_version(group.name, group.versions.front());
}

Value legacy_subresource(const Kind& kind, const Subresource& subresource) {
  Value resource = Value::object(
      {{"name", cat(kind.plural, '/', subresource.name)}, {"singularName", ""}, {"namespaced", kind.namespaced}});
  const GroupVersionKind& gvk = is_view(subresource) ? kind.gvk : subresource.kind;
  if (gvk.group != kind.gvk.group || gvk.version != kind.gvk.version) {
    if (!gvk.group.empty()) resource["group"] = gvk.group;
    resource["version"] = gvk.version;
  }
  resource["kind"] = gvk.kind;
  resource["verbs"] = verbs_value(subresource.verbs);
  return resource;
}

void add_legacy(const Kinds& kinds, const Kind& kind, Value::List* out) {
  Value resource = Value::object({{"name", kind.plural},
                                  {"singularName", kind.singular},
                                  {"namespaced", kind.namespaced},
                                  {"kind", kind.gvk.kind},
                                  {"verbs", verbs_value(kind.verbs)}});
  if (!kind.short_names.empty()) resource["shortNames"] = strings(kind.short_names);
  if (!kind.categories.empty()) resource["categories"] = strings(kind.categories);
  if (!kinds.storage_of(kind).storage.empty()) {
    resource["storageVersionHash"] = storage_version_hash(kinds, kind);
  }
  out->push_back(std::move(resource));
  for (const Subresource* subresource : subresources_of(kind)) {
    out->push_back(legacy_subresource(kind, *subresource));
  }
}

}  // namespace

std::vector<ServedGroup> served_groups(const Kinds& kinds) {
  std::vector<ServedGroup> groups = {{"", {}}};
  for (const Kind& kind : kinds.all()) {
    auto group = std::ranges::find(groups, kind.gvk.group, &ServedGroup::name);
    if (group == groups.end()) group = groups.insert(groups.end(), {kind.gvk.group, {}});
    const auto known = std::ranges::find(group->versions, kind.gvk.version);
    if (known == group->versions.end()) group->versions.push_back(kind.gvk.version);
  }
  std::erase_if(groups, [](const ServedGroup& group) { return group.versions.empty(); });
  for (ServedGroup& group : groups) std::ranges::sort(group.versions, {}, version_rank);
  return groups;
}

Value aggregated_core(const Kinds& kinds) {
  Value::List groups;
  for (const ServedGroup& group : served_groups(kinds)) {
    if (group.name.empty()) groups.push_back(aggregated_group(kinds, group));
  }
  return aggregated(std::move(groups));
}

Value aggregated_groups(const Kinds& kinds) {
  Value::List groups;
  for (const ServedGroup& group : served_groups(kinds)) {
    if (!group.name.empty()) groups.push_back(aggregated_group(kinds, group));
  }
  return aggregated(std::move(groups));
}

Value api_versions(const Kinds& kinds, std::string_view server_address) {
  Value::List versions;
  for (const ServedGroup& group : served_groups(kinds)) {
    if (group.name.empty()) versions = *strings(group.versions).as_list();
  }
  Value::List addresses;
  addresses.push_back(Value::object({{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", server_address}}));
  return Value::object({{"kind", "APIVersions"},
                        {"versions", std::move(versions)},
                        {"serverAddressByClientCIDRs", std::move(addresses)}});
}

Value api_group_list(const Kinds& kinds) {
  Value::List groups;
  for (const ServedGroup& group : served_groups(kinds)) {
    if (group.name.empty()) continue;
    Value::Object members;
    add_group(group, &groups.emplace_back(std::move(members)));
  }
  return Value::object({{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}});
}

std::optional<Value> api_group(const Kinds& kinds, std::string_view name) {
  for (const ServedGroup& group : served_groups(kinds)) {
    if (name.empty() || group.name != name) continue;
    Value document = Value::object({{"kind", "APIGroup"}, {"apiVersion", "v1"}});
    add_group(group, &document);
    return document;
  }
  return std::nullopt;
}

std::optional<Value> api_resource_list(const Kinds& kinds, std::string_view group, std::string_view version) {
  Value::List resources;
  for (const Kind* kind : kinds_of(kinds, group, version)) add_legacy(kinds, *kind, &resources);
  if (resources.empty()) return std::nullopt;
  return Value::object({{"kind", "APIResourceList"},
                        {"apiVersion", "v1"},
                        {"groupVersion", group.empty() ? std::string(version) : cat(group, '/', version)},
                        {"resources", std::move(resources)}});
}

}  // namespace gantry::api
