// SPDX-License-Identifier: Apache-2.0
// Docker's config.json, the settings of kubelet's credential providers, and what such a provider or a helper of Docker
// answers.
#include <string>

#include "images/registry/credential_files.h"
#include "images/registry/credential_helper.h"
#include "tests/fuzz/fuzz.h"

namespace images = gantry::images;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

namespace {

void check_sent(const images::Credentials& one) {
  if (!one.has_password()) return;
  for (char c : images::basic_authorization(one)) expect(c >= ' ' && c < 0x7f, "what is sent is one line");
}

void check(const std::vector<images::CredentialEntry>& entries) {
  for (std::string_view image : {"a.example/team/app", "docker.io/library/app", "a.example:5000/app"}) {
    std::vector<gantry::Error> problems;
    auto found = images::credentials_in(entries, image, problems);
    for (const gantry::Error& problem : problems) expect_sentence(problem);
    expect(found.size() + problems.size() <= entries.size(), "none comes from nowhere");
    for (const images::Credentials& one : found) check_sent(one);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  if (auto config = images::parse_docker_config(text); config) {
    check(config->entries);
    for (const char* registry : {"a.example", "docker.io"}) {
      const std::string helper = config->helper_for(registry);
      expect(helper.empty() || images::is_helper_name(helper), "a program of $PATH's folders");
    }
  } else {
    expect_sentence(config.error());
  }
  if (auto kept = images::parse_helper_answer(text); kept) {
    expect(*kept != images::Credentials(), "a helper's answer says something");
    check_sent(*kept);
  } else {
    expect_sentence(kept.error());
  }
  if (auto providers = images::parse_provider_config(text); providers) {
    expect(providers->size() <= 64, "providers are bounded");
    for (const auto& provider : *providers) {
      expect(!provider.name.empty() && provider.name.find('/') == std::string::npos, "a program of the folder's");
      for (const std::string& entry : provider.environment) expect(entry.find('=') + 1 > 1, "NAME=value");
    }
  } else {
    expect_sentence(providers.error());
  }
  if (auto answer = images::parse_provider_answer(text); answer) {
    check(answer->entries);
    expect(!answer->cache_duration || answer->cache_duration->count() >= 0, "a time is not negative");
  } else {
    expect_sentence(answer.error());
  }
  return 0;
}
