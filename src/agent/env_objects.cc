// SPDX-License-Identifier: Apache-2.0
#include "agent/env_objects.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/object_cache.h"
#include "api/text.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

// Names, and whether the container can do without: it can't when one of its references says so.
struct Needed {
  std::map<std::string, bool> config_maps, secrets;
};

void need(std::map<std::string, bool>& names, const std::string& name, bool optional) {
  auto [place, is_new] = names.try_emplace(name, optional);
  place->second &= optional;
}

Needed needed_by(const core::Container& container) {
  Needed needed;
  for (const auto& source : container.env_from()) {
    if (source.has_config_map_ref()) {
      const auto& from = source.config_map_ref();
      need(needed.config_maps, from.local_object_reference().name(), from.optional());
    }
    if (source.has_secret_ref()) {
      const auto& from = source.secret_ref();
      need(needed.secrets, from.local_object_reference().name(), from.optional());
    }
  }
  for (const auto& variable : container.env()) {
    const auto& source = variable.value_from();
    if (source.has_config_map_key_ref()) {
      const auto& from = source.config_map_key_ref();
      need(needed.config_maps, from.local_object_reference().name(), from.optional());
    }
    if (source.has_secret_key_ref()) {
      const auto& from = source.secret_key_ref();
      need(needed.secrets, from.local_object_reference().name(), from.optional());
    }
  }
  return needed;
}

// One of them, from what the cache found.
template <typename M>
Status take(const ObjectCache::Found<M>& found, const char* kind, const std::string& name, bool optional,
            std::map<std::string, EnvObjects::Data>& into) {
  if (!found)
    return fail(found.error().code(), absl::StrCat(kind, " ", api::quoted(name), ": ", found.error().message()));
  if (*found != nullptr) {
    into[name] = {(*found)->data().begin(), (*found)->data().end()};
  } else if (!optional) {
    return fail(Code::kNotFound, absl::StrCat(kind, " ", api::quoted(name), " not found"));
  }
  return {};
}

}  // namespace

Task<Result<EnvObjects>> fetch_env_objects(std::shared_ptr<ObjectCache> cache, std::string namespace_,
                                           const core::Container& container) {
  EnvObjects objects;
  const Needed needed = needed_by(container);
  if (!cache && !(needed.config_maps.empty() && needed.secrets.empty())) {
    co_return fail(Code::kFailedPrecondition, "config maps and secrets: there is no API server");
  }
  for (const auto& [name, optional] : needed.config_maps) {
    auto done = take(co_await cache->config_map(namespace_, name), "configmap", name, optional, objects.config_maps);
    if (!done) co_return std::unexpected(std::move(done.error()));
  }
  for (const auto& [name, optional] : needed.secrets) {
    auto done = take(co_await cache->secret(namespace_, name), "secret", name, optional, objects.secrets);
    if (!done) co_return std::unexpected(std::move(done.error()));
  }
  co_return objects;
}

}  // namespace gantry::agent
