// SPDX-License-Identifier: Apache-2.0
#include "agent/env_objects.h"

#include <utility>

#include "absl/strings/str_cat.h"
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

template <typename M>
Task<Status> fetch(api::Client* client, std::string namespace_, const char* kind, std::map<std::string, bool> names,
                   std::map<std::string, EnvObjects::Data>& into,
                   std::map<std::string, std::optional<EnvObjects::Data>>& last) {
  for (const auto& [name, optional] : names) {
    if (client == nullptr) co_return fail(Code::kFailedPrecondition, absl::StrCat(kind, ": there is no API server"));
    auto object = co_await client->get<M>(namespace_, name);
    if (!object && object.error().is_not_found()) {
      last[name] = std::nullopt;
      if (optional) continue;
      co_return fail(Code::kNotFound, absl::StrCat(kind, " ", api::quoted(name), " not found"));
    }
    if (auto known = last.find(name); !object && known != last.end() && (known->second || optional)) {
      if (known->second) into[name] = *known->second;
      continue;
    }
    if (!object) {
      co_return fail(Code::kUnavailable, absl::StrCat(kind, " ", api::quoted(name), ": ", object.error().message));
    }
    EnvObjects::Data& data = into[name];
    for (const auto& [key, value] : object->data()) data[key] = value;
    last[name] = data;
  }
  co_return Status();
}

}  // namespace

Task<Result<EnvObjects>> fetch_env_objects(api::Client* client, std::string namespace_,
                                           const core::Container& container, LastEnvObjects& last) {
  EnvObjects objects;
  Needed needed = needed_by(container);
  auto done = co_await fetch<core::ConfigMap>(client, namespace_, "configmap", std::move(needed.config_maps),
                                              objects.config_maps, last.config_maps);
  if (done) {
    done = co_await fetch<core::Secret>(client, namespace_, "secret", std::move(needed.secrets), objects.secrets,
                                        last.secrets);
  }
  if (!done) co_return std::unexpected(std::move(done.error()));
  co_return objects;
}

}  // namespace gantry::agent
