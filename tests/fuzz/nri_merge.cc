// SPDX-License-Identifier: Apache-2.0
// What NRI plugins answer about one container, put together and into its configuration: answers one after the other,
// each with its length (16 bits) before it.
#include <string>

#include "cri/plugin_adjust.h"
#include "nri/merge.h"
#include "nri/nri.pb.h"
#include "tests/fuzz/fuzz.h"

namespace cri = gantry::cri;
namespace api = ::nri::pkg::api::v1alpha1;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view rest = gantry::fuzz::text_of(bytes, size);
  api::CreateContainerRequest request;
  request.mutable_container()->set_id("c");
  request.mutable_container()->add_env("A=1");
  gantry::nri::Adjustments all(request);
  for (int plugin = 0; rest.size() >= 2; ++plugin) {
    std::size_t length = static_cast<std::uint8_t>(rest[0]) << 8 | static_cast<std::uint8_t>(rest[1]);
    std::string part(rest.substr(2, length));
    rest.remove_prefix(2 + part.size());
    api::CreateContainerResponse response;
    if (!response.ParseFromString(part)) return 0;
    if (auto applied = all.apply(response, "p" + std::to_string(plugin)); !applied) {
      gantry::fuzz::expect_sentence(applied.error());
      return 0;
    }
  }
  cri::Adjusted adjusted;
  if (auto done = cri::adjust(all.all(), adjusted); !done) {
    gantry::fuzz::expect_sentence(done.error());
    return 0;
  }
  if (auto extras = cri::parse_extras(adjusted.extras, {}); !extras) gantry::fuzz::expect_sentence(extras.error());
  if (adjusted.edits.empty()) return 0;
  auto edits = gantry::cdi::parse_edits("[" + adjusted.edits + "]");
  if (!edits) gantry::fuzz::expect_sentence(edits.error());
  return 0;
}
