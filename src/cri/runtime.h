// SPDX-License-Identifier: Apache-2.0
// The container runtime of this node: sandboxes and containers, over the shims. One loop thread owns all of its state.
//
// A call's work belongs to the runtime and not to its caller: it comes to its end, and is recorded, also when the
// caller has gone; a retry joins it. Whatever is made outside the process is recorded as an intent before, so that
// recover() can take back what a crash left half done.
#pragma once

#include <memory>
#include <vector>

#include "base/database.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/node.h"
#include "cri/runtime_service.h"
#include "images/registry/client.h"

namespace gantry::cri {

class NodeRuntime : public RuntimeService {
 public:
  // Before the first call, once: takes over what an earlier gantryd left (recovery.cc), then fills the pool.
  virtual Task<Status> recover() = 0;
  // For a clean stop, when no call comes any more: ends the sandboxes that wait in the pool. Pods go on.
  virtual Task<> drain() = 0;
  // In place of the node's. Pods keep the name of theirs.
  virtual void set_handlers(std::vector<RuntimeHandler> handlers) = 0;
};

// What of the node's SQLite file is the runtime's: give these to db::Database::open.
std::vector<db::Schema> schemas();

// `node` outlives it.
std::unique_ptr<NodeRuntime> make_runtime(Node& node);

// `disk` is where the store's calls block; a pull has a thread of its own. `registries` is how they are reached; its
// credentials are not used, each call brings its own.
std::unique_ptr<ImageService> make_image_service(Loop& loop, images::ImageStore& images, Pool& disk,
                                                 images::RegistryOptions registries);

}  // namespace gantry::cri
