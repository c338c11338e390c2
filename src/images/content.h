// SPDX-License-Identifier: Apache-2.0
// An image's content as it came, open to be sent elsewhere: it can be read to its end also when somebody removes the
// image meanwhile.
#pragma once

#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "images/documents.h"
#include "images/store.h"

namespace gantry::images {

struct ImageContent {
  struct Layer {
    Descriptor descriptor;
    OwnFd file;
  };
  Image image;
  Descriptor config;
  std::string config_text;
  std::vector<Layer> layers;  // lowest first
  // As it came, unless the store keeps a layer in another packing than it names: an image that shares the layer brought
  // it. Then this is the same manifest but for those layers' descriptors, and has another digest.
  Descriptor manifest;
  std::string manifest_text;
};

// "+gzip", "+zstd" or "", by a layer's first bytes.
std::string packing_of(std::string_view first_bytes);

}  // namespace gantry::images
