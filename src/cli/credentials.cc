// SPDX-License-Identifier: Apache-2.0
#include "cli/credentials.h"

#include <fcntl.h>

#include "api/json.h"
#include "api/yaml.h"
#include "base/text.h"
#include "sys/file.h"

namespace gantry::cli {
namespace {

constexpr std::size_t kMaxConfig = 1 << 20;

Result<std::vector<images::CredentialProvider>> read_providers(const std::string& path, bool must_be,
                                                               const std::string& folder) {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY);
  if (!file && file.error().is_not_found() && !must_be) return std::vector<images::CredentialProvider>();
  if (!file) return std::unexpected(std::move(file.error()));
  auto text = sys::read_all(*file, kMaxConfig);
  if (!text) return fail_with(std::move(text.error()), path);
  auto documents = api::parse_documents(*text);
  if (!documents) return fail_with(std::move(documents.error()), path);
  if (documents->size() != 1) return invalid_argument(cat(path, ": ", documents->size(), " documents, expected one"));
  auto providers = images::parse_provider_config(api::write_json(documents->front()));
  if (!providers) return fail_with(std::move(providers.error()), path);
  for (const images::CredentialProvider& provider : *providers) {
    auto program = sys::openat(sys::kCwd, cat(folder, "/", provider.name).c_str(), O_PATH);
    if (!program) return fail_with(std::move(program.error()), cat(path, ": provider ", quoted(provider.name)));
  }
  return providers;
}

}  // namespace

Result<images::KeyringOptions> keyring_options(const GantrydOptions& options) {
  images::KeyringOptions out;
  out.docker_configs = images::docker_configs(options.registries, options.kubelet_root);
  const auto or_default = [&](const std::string& given, const char* name) {
    return given.empty() ? cat(options.registries, "/", name) : given;
  };
  out.provider_folder = or_default(options.provider_folder, images::kProviderFolderName);
  auto providers = read_providers(or_default(options.provider_config, images::kProviderConfigName),
                                  !options.provider_config.empty(), out.provider_folder);
  if (!providers) return std::unexpected(std::move(providers.error()));
  out.providers = std::move(*providers);
  return out;
}

}  // namespace gantry::cli
