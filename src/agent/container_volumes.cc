// SPDX-License-Identifier: Apache-2.0
#include "agent/container_volumes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/text.h"
#include "base/log.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "volumes/sub_path.h"

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

Task<Status> bind_sub_paths(std::shared_ptr<Environment> env, const core::Pod& pod, const core::Container& container,
                            ContainerInputs& inputs) {
  auto paths = sub_paths_of(pod, container, env->node, inputs);
  if (!paths) co_return std::unexpected(std::move(paths.error()));
  for (auto& [index, path] : *paths) {
    const std::string& volume = container.volume_mounts(index).name();
    auto prepared = inputs.volumes.find(volume);
    if (prepared == inputs.volumes.end()) continue;  // container_config() says so
    if (auto good = volumes::check_sub_path(path); !good) co_return good;
    if (!prepared->second.image.empty()) {
      inputs.sub_paths[index] = std::move(path);
      continue;
    }
    volumes::SubPath wanted{volume, container.name(), index, prepared->second.path, std::move(path)};
    std::string pod_folder = env->folders.pod_folder(pod.metadata().uid());
    auto bound = co_await env->volumes.run([pod_folder, wanted] { return volumes::bind_sub_path(pod_folder, wanted); });
    if (!bound) {
      log::warning("a container's subPath",
                   {{"pod", absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name())},
                    {"container", container.name()},
                    {"error", bound.error()}});
      co_return fail(bound.error().code(),
                     absl::StrCat("failed to prepare subPath for volumeMount ", api::quoted(volume), " of container ",
                                  api::quoted(container.name())));
    }
    inputs.sub_paths[index] = std::move(*bound);
  }
  co_return Status();
}

}  // namespace gantry::agent
