// SPDX-License-Identifier: Apache-2.0
#include "agent/container_volumes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/text.h"
#include "base/log.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

}  // namespace

std::vector<const core::Volume*> image_volumes_of(const core::Pod& pod, const core::Container& container) {
  std::vector<const core::Volume*> found;
  for (const auto& volume : pod.spec().volumes()) {
    const auto is_its = [&](const core::VolumeMount& mount) { return mount.name() == volume.name(); };
    if (volume.volume_source().has_image() && std::ranges::any_of(container.volume_mounts(), is_its)) {
      found.push_back(&volume);
    }
  }
  return found;
}

Result<std::vector<volumes::SubPath>> sub_paths_to_bind(const Environment& env, const core::Pod& pod,
                                                        const core::Container& container, ContainerInputs& inputs) {
  auto paths = sub_paths_of(pod, container, env.node, inputs);
  if (!paths) return std::unexpected(std::move(paths.error()));
  std::vector<volumes::SubPath> wanted;
  for (auto& [index, path] : *paths) {
    const std::string& volume = container.volume_mounts(index).name();
    auto prepared = inputs.volumes.find(volume);
    if (prepared == inputs.volumes.end()) continue;  // container_config() says so
    if (auto good = volumes::check_sub_path(path); !good) return std::unexpected(std::move(good.error()));
    if (prepared->second.image.empty()) {
      wanted.push_back({volume, container.name(), index, prepared->second.path, std::move(path)});
    } else {
      inputs.sub_paths[index] = std::move(path);
    }
  }
  return wanted;
}

Result<std::map<int, std::string>> bind_sub_paths(const std::string& pod, const std::string& pod_folder,
                                                  const std::vector<volumes::SubPath>& wanted) {
  std::map<int, std::string> all;
  for (const auto& one : wanted) {
    auto bound = volumes::bind_sub_path(pod_folder, one);
    if (!bound) {
      log::warning("a container's subPath", {{"pod", pod}, {"container", one.container}, {"error", bound.error()}});
      return fail(bound.error().code(),
                  absl::StrCat("failed to prepare subPath for volumeMount ", api::quoted(one.volume), " of container ",
                               api::quoted(one.container)));
    }
    all[one.index] = std::move(*bound);
  }
  return all;
}

}  // namespace gantry::agent
