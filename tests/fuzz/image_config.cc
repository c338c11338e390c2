// SPDX-License-Identifier: Apache-2.0
// An image's configuration, and what `gantry image build --config` is given.
#include "images/image_config.h"

#include "tests/fuzz/fuzz.h"

namespace images = gantry::images;
using gantry::fuzz::expect;

namespace {

bool is_clean(std::string_view text) {
  return text.size() <= images::kMaxConfigString && text.find('\0') == text.npos &&
         gantry::fuzz::is_utf8(std::string(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  auto built = images::parse_build_config(text);
  if (!built) gantry::fuzz::expect_sentence(built.error());
  auto config = images::parse_image_config(text);
  if (!config) {
    gantry::fuzz::expect_sentence(config.error());
    return 0;
  }
  expect(config->diff_ids.size() <= images::kMaxLayers, "layers are bounded");
  for (const auto* texts :
       {&config->entrypoint, &config->cmd, &config->env, &config->volumes, &config->exposed_ports}) {
    expect(texts->size() <= images::kMaxConfigEntries, "lists are bounded");
    for (const std::string& each : *texts) expect(is_clean(each), "texts are what the header promises");
  }
  for (const std::string& entry : config->env) expect(entry.find('=') + 1 > 1, "NAME=value");
  for (const auto& [name, value] : config->labels) expect(is_clean(name) && is_clean(value), "labels, too");
  expect(is_clean(config->user) && is_clean(config->working_dir) && is_clean(config->stop_signal), "and the rest");
  std::string once = images::to_json(*config);
  auto again = images::parse_image_config(once);
  expect(again && images::to_json(*again) == once, "it is written and read as it is");
  return 0;
}
