// SPDX-License-Identifier: Apache-2.0
// Indexes and manifests, as registries and archives have them.
#include "images/documents.h"
#include "images/image_config.h"
#include "tests/fuzz/fuzz.h"

namespace images = gantry::images;
using gantry::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  for (const char* type : {"", images::kOciIndex, images::kOciManifest}) {
    auto document = images::parse_document(text, type);
    if (!document) {
      gantry::fuzz::expect_sentence(document.error());
      continue;
    }
    expect(document->is_index ? document->layers.empty() && !document->config
                              : document->manifests.empty() && document->config.has_value(),
           "an index or a manifest");
    expect(document->manifests.size() <= images::kMaxIndexEntries && document->layers.size() <= images::kMaxLayers,
           "within the bounds");
    expect(*type == '\0' || document->is_index == images::is_index_type(type), "of the kind that was said");
    auto ours = images::for_this_machine(document->manifests);
    expect(ours.size() <= document->manifests.size(), "a choice of what there is");
    images::platforms_of(document->manifests);
  }
  return 0;
}
