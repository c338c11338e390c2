// SPDX-License-Identifier: Apache-2.0
// Puts an image into a registry, by the OCI distribution spec 1.1: layers first, then the configuration, the manifest
// last, so that a name never means what is not all there. What the registry has does not go there again; what another
// of its repositories had when the image came from there is asked to be mounted.
//
// The registry itself is asked, never a mirror; with the credentials, authorities and proxies of a pull. Of an image
// that came with others in an index it is this machine's alone that goes.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "images/content.h"
#include "images/reference.h"
#include "images/registry/access.h"

namespace gantry::images {

struct PushProgress {
  enum class How { kSent, kWasThere, kMounted };
  Digest layer;
  std::uint64_t bytes = 0;
  How how = How::kSent;
  std::size_t done = 0;  // layers, with this one
  std::size_t layers = 0;
};

struct PushOptions {
  RegistryOptions registry;
  std::function<void(const PushProgress&)> progress;  // called for each layer
};

// The manifest's digest. With a digest in `to` it must be that of the content's manifest.
Result<Digest> push(const ImageContent& content, const Reference& to, const PushOptions& options);

}  // namespace gantry::images
