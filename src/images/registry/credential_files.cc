// SPDX-License-Identifier: Apache-2.0
#include "images/registry/credential_files.h"

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "base/duration.h"
#include "images/json_reader.h"
#include "images/registry/credential_helper.h"
#include "images/registry/image_glob.h"
#include "images/text.h"

namespace gantry::images {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::size_t kMaxProviders = 64;
constexpr std::string_view kConfigVersion = "kubelet.config.k8s.io/v1";
constexpr std::string_view kProtocolVersion = "credentialprovider.kubelet.k8s.io/v1";

CredentialWords words_in(JsonReader& reader, const json::object& from) {
  CredentialWords words;
  words.username = reader.text(from, "username");
  words.password = reader.text(from, "password");
  words.auth = reader.text(from, "auth");
  words.identity_token = reader.text(from, "identitytoken");
  words.registry_token = reader.text(from, "registrytoken");
  return words;
}

// The members of an object of objects.
std::vector<CredentialEntry> entries_in(JsonReader& reader, const json::object& from, std::string_view key) {
  std::vector<CredentialEntry> out;
  const json::object* members = reader.object(from, key);
  if (members == nullptr) return out;
  for (const auto& member : *members) {
    const std::string_view name(member.key().data(), member.key().size());
    const json::object* entry = reader.element(member.value(), name);
    if (entry == nullptr) return {};
    out.push_back({normal_pattern(name), words_in(reader, *entry)});
  }
  return out;
}

void expect(JsonReader& reader, const json::object& from, std::string_view key, std::string_view value) {
  if (const std::string said = reader.text(from, key); said != value)
    reader.complain(key, cat("is ", in_quotes(said), ", expected ", in_quotes(value)));
}

std::optional<milliseconds> duration_in(JsonReader& reader, const json::object& from, std::string_view key) {
  const std::string text = reader.text(from, key);
  if (text.empty()) return std::nullopt;
  auto time = parse_duration(text);
  if (time) return *time;
  reader.complain(key, cat("is ", time.error().message()));
  return std::nullopt;
}

void complain_of_helper(JsonReader& reader, std::string_view key, const std::string& helper) {
  reader.complain(key,
                  cat("names the helper ", in_quotes(helper), ", expected letters, digits, \"-\", \"_\" and \".\""));
}

CredentialProvider provider_in(JsonReader& reader, const json::object& from) {
  CredentialProvider out;
  out.name = reader.text(from, "name");
  if (out.name.empty() || out.name == "." || out.name == ".." || out.name.find_first_of("/ \t\n") != std::string::npos)
    reader.complain("name", cat("is ", in_quotes(out.name), ", expected that of a program, without a folder"));
  expect(reader, from, "apiVersion", kProtocolVersion);
  out.match_images = reader.texts(from, "matchImages");
  for (const std::string& pattern : out.match_images) {
    if (pattern.empty() || pattern.find("://") != std::string::npos)
      reader.complain("matchImages", cat("has ", in_quotes(pattern), ", expected a host, with or without a path"));
  }
  if (out.match_images.empty()) reader.complain("matchImages", "is empty");
  auto duration = duration_in(reader, from, "defaultCacheDuration");
  if (!duration) reader.complain("defaultCacheDuration", "is not given");
  out.cache_duration = duration.value_or(milliseconds(0));
  out.arguments = reader.texts(from, "args");
  if (const json::array* variables = reader.array(from, "env", 1000)) {
    for (const json::value& variable : *variables) {
      const json::object* object = reader.element(variable, "env");
      if (object == nullptr) break;
      const std::string name = reader.text(*object, "name");
      if (name.empty() || name.find('=') != std::string::npos)
        reader.complain("env", cat("has the name ", in_quotes(name)));
      out.environment.push_back(cat(name, "=", reader.text(*object, "value")));
    }
  }
  if (from.contains("tokenAttributes"))
    reader.complain("tokenAttributes", "is given: providers get no tokens of service accounts here");
  return out;
}

}  // namespace

std::vector<Credentials> credentials_in(const std::vector<CredentialEntry>& entries, std::string_view image,
                                        std::vector<Error>& problems) {
  std::vector<const CredentialEntry*> matching;
  for (const CredentialEntry& entry : entries) {
    if (matches_image(entry.pattern, image)) matching.push_back(&entry);
  }
  // As kubelet does: Docker's own name for its registry, when nothing else is for it.
  if (matching.empty() && image.starts_with("docker.io/")) {
    for (const CredentialEntry& entry : entries) {
      if (entry.pattern == "index.docker.io") matching.push_back(&entry);
    }
  }
  std::ranges::sort(matching, [](const auto* a, const auto* b) {
    return a->pattern == b->pattern ? a < b : a->pattern > b->pattern;  // of equals the first in the file
  });
  std::vector<Credentials> out;
  for (const CredentialEntry* entry : matching) {
    auto credentials = credentials_for(entry->words, "");
    if (!credentials) {
      problems.push_back(std::move(credentials.error()).with_context(in_quotes(entry->pattern)));
      continue;
    }
    if (*credentials != Credentials() && std::ranges::find(out, *credentials) == out.end())
      out.push_back(std::move(*credentials));
  }
  return out;
}

Result<DockerConfig> parse_docker_config(std::string_view text) {
  auto object = parse_json_object(text, "the file", kMaxFile);
  if (!object) return std::unexpected(std::move(object.error()));
  JsonReader reader("the file");
  DockerConfig out;
  out.entries = entries_in(reader, *object, "auths");
  out.store = reader.text(*object, "credsStore");
  if (!out.store.empty() && !is_helper_name(out.store)) complain_of_helper(reader, "credsStore", out.store);
  for (const auto& [name, helper] : reader.text_map(*object, "credHelpers")) {
    const std::string registry = normal_pattern(name);
    out.helpers[registry == "index.docker.io" ? "docker.io" : registry] = helper;
    if (!helper.empty() && !is_helper_name(helper)) complain_of_helper(reader, "credHelpers", helper);
  }
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  std::erase_if(out.entries, [](const CredentialEntry& entry) {
    auto credentials = credentials_for(entry.words, "");
    return credentials && *credentials == Credentials();
  });
  return out;
}

std::string DockerConfig::helper_for(const std::string& registry) const {
  const auto own = helpers.find(registry);
  return own == helpers.end() ? store : own->second;
}

Result<std::vector<CredentialProvider>> parse_provider_config(std::string_view text) {
  auto object = parse_json_object(text, "the file", kMaxFile);
  if (!object) return std::unexpected(std::move(object.error()));
  JsonReader reader("the file");
  expect(reader, *object, "apiVersion", kConfigVersion);
  expect(reader, *object, "kind", "CredentialProviderConfig");
  std::vector<CredentialProvider> out;
  const json::array* providers = reader.array(*object, "providers", kMaxProviders);
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  if (providers == nullptr || providers->empty()) return invalid_argument("the file: \"providers\" is empty");
  std::set<std::string> names;
  for (std::size_t i = 0; i < providers->size(); ++i) {
    JsonReader one(cat("providers[", i, "]"));
    const json::object* provider = one.element((*providers)[i], "provider");
    if (provider != nullptr) out.push_back(provider_in(one, *provider));
    if (provider != nullptr && !names.insert(out.back().name).second)
      one.complain("name", cat("is ", in_quotes(out.back().name), ", which is there twice"));
    if (auto read = one.status(); !read) return std::unexpected(std::move(read.error()));
  }
  return out;
}

std::string provider_request(std::string_view image) {
  return json::serialize(
      json::object{{"apiVersion", json::string_view(kProtocolVersion.data(), kProtocolVersion.size())},
                   {"kind", "CredentialProviderRequest"},
                   {"image", json::string_view(image.data(), image.size())}});
}

Result<ProviderAnswer> parse_provider_answer(std::string_view text) {
  constexpr char kWhat[] = "its answer";
  auto object = parse_json_object(text, kWhat, kMaxProviderAnswer);
  if (!object) return std::unexpected(std::move(object.error()));
  JsonReader reader(kWhat);
  expect(reader, *object, "apiVersion", kProtocolVersion);
  expect(reader, *object, "kind", "CredentialProviderResponse");
  ProviderAnswer out;
  const std::string key = reader.text(*object, "cacheKeyType");
  constexpr std::string_view kKeys[] = {"Image", "Registry", "Global"};
  const auto* found = std::ranges::find(kKeys, key);
  if (found == std::end(kKeys)) {
    reader.complain("cacheKeyType", cat("is ", in_quotes(key), ", expected \"Image\", \"Registry\" or \"Global\""));
  } else {
    out.cache_key = static_cast<ProviderAnswer::Key>(found - kKeys);
  }
  out.cache_duration = duration_in(reader, *object, "cacheDuration");
  out.entries = entries_in(reader, *object, "auth");
  if (auto read = reader.status(); !read) return std::unexpected(std::move(read.error()));
  return out;
}

}  // namespace gantry::images
