// SPDX-License-Identifier: Apache-2.0
// A network's configuration for CNI, and what its plugins print.
#include <algorithm>

#include "api/json.h"
#include "cni/answer.h"
#include "cni/network_config.h"
#include "tests/fuzz/fuzz.h"

namespace cni = gantry::cni;
namespace api = gantry::api;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

namespace {

void check_config(const cni::NetworkConfig& config) {
  expect(!config.name.empty() && config.name.find('/') == std::string::npos && config.name[0] != '.',
         "a network's name can be a file's");
  expect(!config.versions.empty() && std::ranges::is_sorted(config.versions), "versions are in order");
  expect(config.plugins.size() <= cni::kMaxPlugins, "plugins are bounded");
  const cni::Version highest = config.versions.back();
  auto again = cni::parse_network_list(cni::network_text(config, highest));
  expect(again.has_value(), "what is recorded is read again");
  expect(again->name == config.name && again->plugins.size() == config.plugins.size(), "as the same");
  const api::Value told = api::Value::object({{"dns", "x"}});
  for (const cni::Plugin& plugin : config.plugins) {
    expect(!plugin.type.empty() && plugin.type.find('/') == std::string::npos, "a type is a program's name");
    auto request = api::parse_json(api::write_json(cni::plugin_request(config, plugin, highest, told, &told)));
    expect(request.has_value(), "a request is JSON");
    expect(*request->find("name")->as_string() == config.name, "with the network's name");
    expect(*request->find("cniVersion")->as_string() == cni::to_string(highest), "and the version");
    expect(request->find("capabilities") == nullptr && request->find("prevResult")->is_object(), "and a result");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  for (auto* parse : {cni::parse_network_list, cni::parse_single_network}) {
    if (auto config = parse(text)) {
      check_config(*config);
    } else {
      expect_sentence(config.error());
    }
  }
  for (cni::Version version : {cni::Version::k0_2_0, cni::Version::k1_1_0}) {
    auto result = cni::parse_result(text, version, "eth0");
    if (!result) {
      expect_sentence(result.error());
      continue;
    }
    expect(result->addresses.size() <= 64, "addresses are bounded");
    auto again = cni::parse_result(api::write_json(result->json), version, "eth0");
    expect(again && again->addresses == result->addresses, "a result is read again as the same");
  }
  (void)cni::parse_plugin_error(text);
  if (auto versions = cni::parse_versions(text); !versions) expect_sentence(versions.error());
  return 0;
}
