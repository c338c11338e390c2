// SPDX-License-Identifier: Apache-2.0
// Brings an image from its registry into the store: manifest, configuration, and those layers that the store lacks, a
// few at a time, each hashed and unpacked (in the confined worker) while it comes. Complete, or not there: on failure,
// also of the whole process, the store is as it was.
//
// A layer that the store has unpacked already is not asked for again, whoever brought it and by whatever credentials:
// who knows the digests of a layer and of all below it, which stand in images' configurations, gets it by an image of
// his own that names them. That is as containerd's and CRI-O's stores are shared among all who pull on a node. Manifest
// and configuration always come from the registry, so no image is had without the right to it.
//
// Blocks for as long as the registry goes on answering, with threads of its own for the layers: not for a pool that
// others need. Memory does not grow with the layers' sizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>

#include "base/result.h"
#include "images/reference.h"
#include "images/registry/client.h"
#include "images/store.h"

namespace gantry::images {

// One layer has come, or is here already.
struct PullProgress {
  Digest layer;
  std::uint64_t bytes = 0;  // packed, as the manifest says
  bool was_here = false;
  std::size_t done = 0;  // layers, with this one
  std::size_t layers = 0;
};

// How much of what the store lacks has come.
struct PullBytes {
  std::uint64_t came = 0;
  std::uint64_t of = 0;    // packed, as the manifest says
  std::size_t layers = 0;  // of the image
};

struct PullOptions {
  RegistryOptions registry;
  // To the registry, at most, for layers: one each, and those that are left help with big ones (registry/parts.h).
  std::size_t connections = 3;
  // When it is asked for, the pull ends with kCancelled: within a second or two, unless a worker hangs.
  std::stop_token stop;
  // Called for each layer, by one thread at a time.
  std::function<void(const PullProgress&)> progress;
  // Called while layers come, by one thread at a time, at most ten times a second, and after each progress().
  std::function<void(const PullBytes&)> moved;
};

// The image gets the reference as its name: by tag, with the digest that this means today, or by digest alone. Of the
// keyring's credentials one after the other is tried while the registry refuses; none, when there are none. Errors name
// image and registry (client.h says their codes), and after a refusal what was wrong with the keyring, too.
Result<Image> pull(ImageStore& store, const Reference& reference, const PullOptions& options);

}  // namespace gantry::images
