// SPDX-License-Identifier: Apache-2.0
#include "agent/object_references.h"

#include "kubernetes/core/v1/pod.pb.h"
#include "volumes/config_volume.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

struct Collector {
  const std::string& namespace_;
  ObjectNames names;

  void add(ObjectKind kind, const std::string& name) {
    if (!name.empty()) names.insert({kind, namespace_, name});
  }
  // Containers of all kinds have these fields.
  template <typename Container>
  void add_environment(const Container& container) {
    for (const auto& source : container.env_from()) {
      add(ObjectKind::kConfigMap, source.config_map_ref().local_object_reference().name());
      add(ObjectKind::kSecret, source.secret_ref().local_object_reference().name());
    }
    for (const auto& variable : container.env()) {
      const auto& from = variable.value_from();
      add(ObjectKind::kConfigMap, from.config_map_key_ref().local_object_reference().name());
      add(ObjectKind::kSecret, from.secret_key_ref().local_object_reference().name());
    }
  }
};

}  // namespace

ObjectNames objects_of(const core::Pod& pod) {
  Collector all{pod.metadata().namespace_(), {}};
  for (const auto& container : pod.spec().init_containers()) all.add_environment(container);
  for (const auto& container : pod.spec().containers()) all.add_environment(container);
  for (const auto& container : pod.spec().ephemeral_containers()) {
    all.add_environment(container.ephemeral_container_common());
  }
  for (const auto& volume : pod.spec().volumes()) {
    const auto sources = volumes::sources_of(volume);
    for (const auto& name : sources.config_maps) all.add(ObjectKind::kConfigMap, name);
    for (const auto& name : sources.secrets) all.add(ObjectKind::kSecret, name);
  }
  return std::move(all.names);
}

}  // namespace gantry::agent
