// SPDX-License-Identifier: Apache-2.0
// The files and answers that credentials stand in, as Docker and kubelet have them. Pure. Errors name the key, never a
// secret.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "images/registry/credentials.h"

namespace gantry::images {

// Credentials and the images that they are for (image_glob.h); not checked yet.
struct CredentialEntry {
  std::string pattern;
  CredentialWords words;
};

// Those that are for an image, the most telling pattern first; the same twice is once. Words that can't be sent
// are a problem, told by their pattern, and the others are found all the same.
std::vector<Credentials> credentials_in(const std::vector<CredentialEntry>& entries, std::string_view image,
                                        std::vector<Error>& problems);

// A Docker config.json.
struct DockerConfig {
  // "auths"; entries that say nothing, because a helper keeps their secret, are left out.
  std::vector<CredentialEntry> entries;
  std::map<std::string, std::string> helpers;  // "credHelpers": by registry, as helper_for() calls it; "" for none
  std::string store;                           // "credsStore": of all others; "" for none

  // The helper that is asked for this registry ("docker.io", "registry.example:5000"); "" for none.
  std::string helper_for(const std::string& registry) const;
};
// kInvalidArgument also for a helper whose name can't be a program's (credential_helper.h).
Result<DockerConfig> parse_docker_config(std::string_view json);

// One of "providers" in a CredentialProviderConfig (kubelet.config.k8s.io/v1).
struct CredentialProvider {
  std::string name;  // of a program
  std::vector<std::string> match_images;
  std::chrono::milliseconds cache_duration{0};  // when an answer says none
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // "NAME=value"
};

// A kind of the file that we do not have (tokenAttributes: pods' service accounts) is refused by name. At most 1 MiB
// and 64 providers.
Result<std::vector<CredentialProvider>> parse_provider_config(std::string_view json);

// The CredentialProviderRequest that a program reads.
std::string provider_request(std::string_view image);

// Its CredentialProviderResponse.
struct ProviderAnswer {
  enum class Key { kImage, kRegistry, kGlobal };
  Key cache_key = Key::kImage;
  std::optional<std::chrono::milliseconds> cache_duration;
  std::vector<CredentialEntry> entries;
};
inline constexpr std::size_t kMaxProviderAnswer = 1 << 20;
Result<ProviderAnswer> parse_provider_answer(std::string_view json);

}  // namespace gantry::images
