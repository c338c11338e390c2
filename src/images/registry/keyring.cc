// SPDX-License-Identifier: Apache-2.0
#include "images/registry/keyring.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "images/registry/credential_helper.h"
#include "images/registry/image_glob.h"
#include "images/text.h"
#include "sys/file.h"
#include "sys/program.h"

namespace gantry::images {
namespace {

constexpr std::size_t kMaxDockerConfig = 1 << 20;
constexpr std::size_t kMaxAnswers = 1000;  // of a provider, kept

std::string registry_of(const std::string& image) { return image.substr(0, image.find('/')); }

// "": of this answer's key, all images' is one.
std::string key_of(ProviderAnswer::Key key, const std::string& image) {
  if (key == ProviderAnswer::Key::kImage) return image;
  return key == ProviderAnswer::Key::kRegistry ? registry_of(image) : "";
}

bool is_for(const CredentialProvider& provider, std::string_view image) {
  return std::ranges::any_of(provider.match_images,
                             [&](const std::string& pattern) { return matches_image(pattern, image); });
}

void add(std::vector<Credentials>&& more, std::vector<Credentials>& to) {
  for (Credentials& one : more) {
    if (std::ranges::find(to, one) == to.end()) to.push_back(std::move(one));
  }
}

void take(const std::vector<CredentialEntry>& entries, std::string_view image, std::string_view source,
          Keyring::Found& out) {
  std::vector<Error> problems;
  add(credentials_in(entries, image, problems), out.credentials);
  for (Error& problem : problems) out.problems.push_back(std::move(problem).with_context(std::string(source)));
}

}  // namespace

std::vector<std::string> docker_configs(const std::string& registries, const std::string& kubelet_root) {
  return {cat(registries, "/", kDockerConfigName), cat(kubelet_root, "/config.json"), "/root/.docker/config.json"};
}

std::string program_path() {
  const char* path = ::getenv("PATH");
  return path != nullptr ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

Keyring::Keyring(KeyringOptions options) : options_(std::move(options)) { set_providers(options_.providers); }

void Keyring::set_providers(std::vector<CredentialProvider> providers) {
  std::vector<std::shared_ptr<Provider>> fresh;
  for (auto& settings : providers) fresh.push_back(std::make_shared<Provider>(std::move(settings)));
  std::lock_guard lock(mutex_);
  providers_ = std::move(fresh);
}

Keyring::Found Keyring::find(std::string_view image) {
  Found out;
  std::vector<CredentialEntry> answered;
  std::unique_lock lock(mutex_);
  const auto providers = providers_;
  lock.unlock();
  for (const auto& provider : providers) {
    if (!is_for(provider->settings, image)) continue;
    auto entries = ask(*provider, std::string(image));
    if (entries) {
      answered.insert(answered.end(), std::make_move_iterator(entries->begin()),
                      std::make_move_iterator(entries->end()));
    } else {
      out.problems.push_back(
          std::move(entries.error()).with_context(cat("credential provider ", in_quotes(provider->settings.name))));
    }
  }
  take(answered, image, "a credential provider's answer", out);
  for (const std::string& path : options_.docker_configs) {
    if (auto read = read_docker_config(path, image, out); !read)
      out.problems.push_back(std::move(read.error()).with_context(path));
  }
  return out;
}

// First what its helper keeps for the registry, then what stands in it.
Status Keyring::read_docker_config(const std::string& path, std::string_view image, Found& out) const {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY);
  if (!file && file.error().is_not_found()) return {};
  if (!file) return std::unexpected(std::move(file.error()));
  auto text = sys::read_all(*file, kMaxDockerConfig);
  if (!text) return std::unexpected(std::move(text.error()));
  auto config = parse_docker_config(*text);
  if (!config) return std::unexpected(std::move(config.error()));
  const std::string registry = registry_of(std::string(image));
  if (const std::string helper = config->helper_for(registry); !helper.empty()) {
    auto kept = ask_credential_helper(helper, registry, options_.helper_path, options_.provider_limit);
    if (kept && *kept) add({std::move(**kept)}, out.credentials);
    if (!kept) {
      kept.error() = std::move(kept.error()).with_context(cat("credential helper ", in_quotes(helper)));
      out.problems.push_back(std::move(kept.error()).with_context(path));
    }
  }
  take(config->entries, image, path, out);
  return {};
}

// Who wants the same image's waits for the answer.
Result<std::vector<CredentialEntry>> Keyring::ask(Provider& provider, const std::string& image) {
  std::unique_lock lock(mutex_);
  answered_.wait(lock, [&] { return !provider.asked_now.contains(image); });
  if (const Answer* answer = known(provider, image)) return answer->entries;
  provider.asked_now.insert(image);
  lock.unlock();
  auto answer = run(provider.settings, image);
  lock.lock();
  provider.asked_now.erase(image);
  answered_.notify_all();
  if (!answer) return std::unexpected(std::move(answer.error()));
  const auto duration = answer->cache_duration.value_or(provider.settings.cache_duration);
  if (duration.count() == 0) return std::move(answer->entries);
  const Time now = options_.now();
  std::erase_if(provider.answers, [&](const auto& entry) { return entry.second.until <= now; });
  if (provider.answers.size() == kMaxAnswers) provider.answers.clear();
  provider.answers.insert_or_assign(key_of(answer->cache_key, image), Answer{answer->entries, now + duration});
  return std::move(answer->entries);
}

const Keyring::Answer* Keyring::known(Provider& provider, const std::string& image) {
  for (auto key : {ProviderAnswer::Key::kImage, ProviderAnswer::Key::kRegistry, ProviderAnswer::Key::kGlobal}) {
    auto found = provider.answers.find(key_of(key, image));
    if (found != provider.answers.end() && found->second.until > options_.now()) return &found->second;
  }
  return nullptr;
}

Result<ProviderAnswer> Keyring::run(const CredentialProvider& settings, const std::string& image) const {
  Command command;
  command.path = cat(options_.provider_folder, "/", settings.name);
  command.argv = {settings.name};
  command.argv.insert(command.argv.end(), settings.arguments.begin(), settings.arguments.end());
  command.envp = sys::environment_with(settings.environment);
  auto end = sys::run_program(std::move(command), provider_request(image), kMaxProviderAnswer,
                              std::chrono::steady_clock::now() + options_.provider_limit);
  if (!end) return std::unexpected(std::move(end.error()));
  if (auto well = sys::ended_well(*end, quoted(trimmed(end->errors), 300)); !well)
    return std::unexpected(std::move(well.error()));
  return parse_provider_answer(end->output);
}

}  // namespace gantry::images
