// SPDX-License-Identifier: Apache-2.0
// What the node itself knows of registries' passwords, for pulls that come with none. As kubelet has it: first what
// credential provider programs answer, then Docker's config.json files; of each of these first what its credential
// helper has for the registry (credential_helper.h), which kubelet does not ask.
//
// A provider is asked when one of its matchImages is for the image: its program reads one request and writes one
// response (credential_files.h), within a minute and 1 MiB, in this process' environment with its own variables added.
// The response is kept for as long as it says, for the image, the registry or all images. A helper is asked at each
// pull, within a minute and 128 KiB. Nothing is written down.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "images/registry/credential_files.h"

namespace gantry::images {

// In the folder of registries.
inline constexpr char kDockerConfigName[] = "config.json";
inline constexpr char kProviderConfigName[] = "credential-providers.yaml";
inline constexpr char kProviderFolderName[] = "credential-providers";

// The Docker configurations that are read: the folder of registries', kubelet's, root's own.
std::vector<std::string> docker_configs(const std::string& registries, const std::string& kubelet_root);

// $PATH, or what login has without one.
std::string program_path();

struct KeyringOptions {
  std::vector<CredentialProvider> providers;
  std::string provider_folder;                                         // of their programs
  std::chrono::milliseconds provider_limit = std::chrono::minutes(1);  // a helper's, too
  // Read anew each time, so that they may be changed; one that is not there says nothing.
  std::vector<std::string> docker_configs;
  std::string helper_path = program_path();  // where Docker's credential helpers are looked for
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

// Any thread.
class Keyring {
 public:
  explicit Keyring(KeyringOptions options);
  Keyring(const Keyring&) = delete;
  Keyring& operator=(const Keyring&) = delete;

  struct Found {
    std::vector<Credentials> credentials;  // in the order in which they are to be tried
    // What could not be asked or read; the pull may do without. It names program or file.
    std::vector<Error> problems;
  };
  // For "registry.example/team/app". Blocks for as long as providers take.
  Found find(std::string_view image);
  // Other providers from now on, whose answers are not known yet. Who is asking one of the former gets its answer.
  void set_providers(std::vector<CredentialProvider> providers);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Answer {
    std::vector<CredentialEntry> entries;
    Time until;
  };
  struct Provider {
    CredentialProvider settings;
    std::map<std::string, Answer> answers;  // by image, registry, or "" for all
    std::set<std::string> asked_now;        // images
  };

  Result<std::vector<CredentialEntry>> ask(Provider& provider, const std::string& image);
  const Answer* known(Provider& provider, const std::string& image);
  Status read_docker_config(const std::string& path, std::string_view image, Found& out) const;
  Result<ProviderAnswer> run(const CredentialProvider& settings, const std::string& image) const;

  const KeyringOptions options_;  // its providers are those of the beginning
  std::mutex mutex_;
  std::condition_variable answered_;
  std::vector<std::shared_ptr<Provider>> providers_;
};

}  // namespace gantry::images
