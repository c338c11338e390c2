// SPDX-License-Identifier: Apache-2.0
// Volumes whose files are made from objects of the API and facts about the pod: configMap, secret, downwardAPI and
// projected. They are read-only in every container, and are written again while the pod runs whenever their payload
// changes; who mounts a part of one by subPath keeps what was there then.
//
// All but configMap are in memory alone (a tmpfs, not swapped where the kernel can do that: Linux 6.4).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "volumes/downward_api.h"
#include "volumes/payload.h"

namespace k8s::io::api::core::v1 {
class ConfigMap;
class Pod;
class Secret;
class ServiceAccountTokenProjection;
class Volume;
}  // namespace k8s::io::api::core::v1

namespace gantry::volumes {

bool is_config_volume(const k8s::io::api::core::v1::Volume& volume);

// The names of what the volume is made from.
struct ConfigSources {
  std::vector<std::string> config_maps, secrets;
  std::vector<const k8s::io::api::core::v1::ServiceAccountTokenProjection*> tokens;  // the volume's
};
ConfigSources sources_of(const k8s::io::api::core::v1::Volume& volume);

// Objects of the pod's namespace, by name: null for one that does not exist. An error is that nobody knows.
struct PayloadInputs {
  template <typename T>
  using Find = std::function<Result<std::shared_ptr<const T>>(const std::string& name)>;

  const k8s::io::api::core::v1::Pod& pod;
  Find<k8s::io::api::core::v1::ConfigMap> config_map;
  Find<k8s::io::api::core::v1::Secret> secret;
  std::function<Result<std::string>(const k8s::io::api::core::v1::ServiceAccountTokenProjection&)> token;
  ResourceValue resource;
};

// Pure. Errors are in kubelet's words: `configmap "settings" not found`.
Result<Payload> payload_of(const k8s::io::api::core::v1::Volume& volume, const PayloadInputs& inputs);

// Where write_config_volume() has it, below the pod's folder.
std::string config_volume_path(const k8s::io::api::core::v1::Volume& volume, const std::string& pod_folder);

// Makes the volume or finds it, and writes what is not in it yet. True: something was written. Blocking; one writer of
// a pod at a time.
Result<bool> write_config_volume(const k8s::io::api::core::v1::Pod& pod, const k8s::io::api::core::v1::Volume& volume,
                                 const std::string& pod_folder, const Payload& payload);

// It was written before, whatever it is made from now. Blocking.
bool is_config_volume_written(const k8s::io::api::core::v1::Volume& volume, const std::string& pod_folder);

// The file at `path` of a volume that was written before, of at most `limit` bytes; nothing when there is none.
// Blocking.
std::optional<std::string> read_config_file(const k8s::io::api::core::v1::Volume& volume, const std::string& pod_folder,
                                            const std::string& path, std::size_t limit);

}  // namespace gantry::volumes
