// SPDX-License-Identifier: Apache-2.0
#include "api/client/discovery.h"

#include "base/text.h"

namespace gantry::api {

namespace {

std::string text_at(const Value& value, std::string_view key) {
  const Value* found = value.find(key);
  const std::string* text = found == nullptr ? nullptr : found->as_string();
  return text == nullptr ? std::string() : *text;
}

const Value::List& list_at(const Value& value, std::string_view key) {
  static const Value::List kNone;
  const Value* found = value.find(key);
  const Value::List* list = found == nullptr ? nullptr : found->as_list();
  return list == nullptr ? kNone : *list;
}

Verbs read_verbs(const Value& resource) {
  static constexpr std::pair<std::string_view, Verb> kNames[] = {
      {"get", Verb::kGet},       {"list", Verb::kList},
      {"watch", Verb::kWatch},   {"create", Verb::kCreate},
      {"update", Verb::kUpdate}, {"patch", Verb::kPatch},
      {"delete", Verb::kDelete}, {"deletecollection", Verb::kDeleteCollection}};
  Verbs verbs = 0;
  for (const Value& verb : list_at(resource, "verbs")) {
    for (const auto& [name, bit] : kNames) {
      if (verb.as_string() != nullptr && *verb.as_string() == name) verbs = verbs | bit;
    }
  }
  return verbs;
}

void add_resources(const Value& document, const std::string& group, const std::string& version, Discovered* out) {
  for (const Value& resource : list_at(document, "resources")) {
    const std::string name = text_at(resource, "name");
    if (name.empty() || name.find('/') != std::string::npos) continue;
    const Value* namespaced = resource.find("namespaced");
    out->targets.push_back({.group = group,
                            .version = version,
                            .plural = name,
                            .kind = text_at(resource, "kind"),
                            .namespaced = namespaced != nullptr && namespaced->as_bool().value_or(false),
                            .verbs = read_verbs(resource)});
  }
}

}  // namespace

Task<Answer<Discovered>> discover(Client& client) {
  Discovered found;
  Answer<Value> core = co_await client.document("GET", "/api/v1");
  if (!core) co_return fail(std::move(core.error()));
  add_resources(*core, "", "v1", &found);
  Answer<Value> groups = co_await client.document("GET", "/apis");
  if (!groups) co_return fail(std::move(groups.error()));
  for (const Value& group : list_at(*groups, "groups")) {
    const std::string name = text_at(group, "name");
    const Value* preferred = group.find("preferredVersion");
    const std::string version = preferred == nullptr ? std::string() : text_at(*preferred, "version");
    if (name.empty() || version.empty()) continue;
    Answer<Value> resources = co_await client.document("GET", cat("/apis/", name, "/", version));
    if (resources) {
      add_resources(*resources, name, version, &found);
    } else {
      found.failed.push_back(cat(name, "/", version, ": ", resources.error().message));
    }
  }
  co_return std::move(found);
}

}  // namespace gantry::api
