// SPDX-License-Identifier: Apache-2.0
#include "agent/pull_secrets.h"

#include <algorithm>
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

std::vector<PullCredentials> pull_credentials_for(const PullSecrets& secrets, std::string_view image,
                                                  std::vector<Error>& problems) {
  std::vector<images::CredentialEntry> entries;
  for (const PullSecret& secret : secrets.secrets) {
    entries.insert(entries.end(), secret.entries.begin(), secret.entries.end());
  }
  std::vector<PullCredentials> all;
  for (auto& credentials : images::credentials_in(entries, image, problems)) {
    all.push_back({std::move(credentials), {}});
  }
  for (const PullSecret& secret : secrets.secrets) {
    std::vector<Error> told_already;
    const auto own = images::credentials_in(secret.entries, image, told_already);
    for (PullCredentials& one : all) {
      if (std::ranges::find(own, one.credentials) != own.end()) one.secrets.push_back(secret.secret);
    }
  }
  return all;
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
    const auto& metadata = secret->metadata();
    all.secrets.push_back({{metadata.uid(), metadata.namespace_(), metadata.name()}, std::move(*entries)});
  }
  co_return all;
}

}  // namespace gantry::agent
