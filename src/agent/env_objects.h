// SPDX-License-Identifier: Apache-2.0
// The config maps and secrets that a container's environment is taken from, asked of the API server when the container
// is made: a container sees them as they were then. While the API server is away they are as they were read last, so
// that what runs can be started again. Loop thread, the client's. Values are never logged, and kept in memory alone.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "api/client/client.h"
#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class Container;
}

namespace gantry::agent {

// By object name, then by key. An optional object that does not exist is not there.
struct EnvObjects {
  using Data = std::map<std::string, std::string>;
  std::map<std::string, Data> config_maps, secrets;
};

// What was read last, by name; nothing: it did not exist.
struct LastEnvObjects {
  std::map<std::string, std::optional<EnvObjects::Data>> config_maps, secrets;
};

// Each object is read once. `client` null is a node without an API server. kNotFound in kubelet's words: `configmap
// "settings" not found`. `last` is what was read before, of other containers too, and takes what is read now: an object
// that can't be read is the one of there. It outlives the task.
Task<Result<EnvObjects>> fetch_env_objects(api::Client* client, std::string namespace_,
                                           const k8s::io::api::core::v1::Container& container, LastEnvObjects& last);

}  // namespace gantry::agent
