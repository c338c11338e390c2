// SPDX-License-Identifier: Apache-2.0
// The config maps and secrets that a container's environment is taken from, as they are when the container is made: it
// sees them as they were then. While the API server is away they are as they were last (object_cache.h). Loop thread.
// Values are never logged, and kept in memory alone.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class Container;
}

namespace gantry::agent {

class ObjectCache;

// By object name, then by key. An optional object that does not exist is not there.
struct EnvObjects {
  using Data = std::map<std::string, std::string>;
  std::map<std::string, Data> config_maps, secrets;
};

// `cache` null is a node without an API server; else the container's pod holds in it what it refers to. kNotFound in
// kubelet's words: `configmap "settings" not found`.
Task<Result<EnvObjects>> fetch_env_objects(std::shared_ptr<ObjectCache> cache, std::string namespace_,
                                           const k8s::io::api::core::v1::Container& container);

}  // namespace gantry::agent
