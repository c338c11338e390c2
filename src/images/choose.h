// SPDX-License-Identifier: Apache-2.0
// Which image a tree of documents has for this machine: from an index, through indexes in it, to a manifest and its
// configuration, wherever the documents come from (an archive, a registry). Internal to src/images.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "images/documents.h"
#include "images/image_config.h"

namespace gantry::images {

// A manifest that is for this machine, with what led to it.
struct Chosen {
  Descriptor top;       // where it began: its digest is the image's repo digest
  Descriptor manifest;  // the entry that names the manifest itself
  Document document;
  std::string manifest_text;
  std::string config_text;
  ImageConfig config;
};

// Gives a document whole, checked against the descriptor's digest and size.
using ReadDocument = std::function<Result<std::string>(const Descriptor&)>;

// Nothing when none is for this machine. Who reads over a network is asked for a bounded number of documents. A
// manifest whose layers and configuration don't fit together is kInvalidArgument.
Result<std::optional<Chosen>> choose_image(const Descriptor& top, const ReadDocument& read);

}  // namespace gantry::images
