// SPDX-License-Identifier: Apache-2.0
#include "agent/pull_secrets.h"

#include <utility>

#include "base/text.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {

namespace core = k8s::io::api::core::v1;

Result<std::vector<images::CredentialEntry>> pull_credentials(const core::Secret& secret) {
  std::string key;
  if (secret.type() == "kubernetes.io/dockerconfigjson") key = ".dockerconfigjson";
  if (secret.type() == "kubernetes.io/dockercfg") key = ".dockercfg";
  const auto found = key.empty() ? secret.data().end() : secret.data().find(key);
  if (found == secret.data().end() || found->second.empty()) return std::vector<images::CredentialEntry>();
  // The older form is what the newer one has in "auths".
  const std::string text = key == ".dockercfg" ? cat("{\"auths\":", found->second, "}") : found->second;
  auto config = images::parse_docker_config(text);
  if (!config) return fail_with(std::move(config.error()), cat("secret ", quoted(secret.metadata().name()), ": ", key));
  return std::move(config->entries);
}

Task<Result<PullSecrets>> read_pull_secrets(api::Client* client, std::shared_ptr<const core::Pod> pod) {
  PullSecrets all;
  for (const auto& reference : pod->spec().image_pull_secrets()) {
    if (reference.name().empty()) continue;
    if (client == nullptr) {
      all.missing.push_back(reference.name());
      continue;
    }
    auto secret = co_await client->get<core::Secret>(pod->metadata().namespace_(), reference.name());
    if (!secret) {
      all.missing.push_back(reference.name());
      continue;
    }
    auto entries = pull_credentials(*secret);
    if (!entries) co_return std::unexpected(std::move(entries.error()));
    for (auto& entry : *entries) all.entries.push_back(std::move(entry));
  }
  co_return all;
}

}  // namespace gantry::agent
