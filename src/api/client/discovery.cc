// SPDX-License-Identifier: Apache-2.0
#include "api/client/discovery.h"

#include "base/text.h"

namespace gantry::api {

namespace {

Verbs read_verbs(const Value& resource) {
  static constexpr std::pair<std::string_view, Verb> kNames[] = {
      {"get", Verb::kGet},       {"list", Verb::kList},
      {"watch", Verb::kWatch},   {"create", Verb::kCreate},
      {"update", Verb::kUpdate}, {"patch", Verb::kPatch},
      {"delete", Verb::kDelete}, {"deletecollection", Verb::kDeleteCollection}};
  Verbs verbs = 0;
  for (const Value& verb : resource.list_at("verbs")) {
    for (const auto& [name, bit] : kNames) {
      if (verb.as_string() != nullptr && *verb.as_string() == name) verbs = verbs | bit;
    }
  }
  return verbs;
}

void add_resources(const Value& document, const std::string& group, const std::string& version, Discovered* out) {
  for (const Value& resource : document.list_at("resources")) {
    const std::string name = resource.text_at("name");
    if (name.empty() || name.find('/') != std::string::npos) continue;
    const Value* namespaced = resource.find("namespaced");
    out->targets.push_back({.group = group,
                            .version = version,
                            .plural = name,
                            .kind = resource.text_at("kind"),
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
  for (const Value& group : groups->list_at("groups")) {
    const std::string name = group.text_at("name");
    const Value* preferred = group.find("preferredVersion");
    const std::string version = preferred == nullptr ? std::string() : preferred->text_at("version");
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
