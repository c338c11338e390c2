// SPDX-License-Identifier: Apache-2.0
// SpreadGroups: what makes pods belong together that say nothing of their spread: services, replication controllers,
// replica sets and stateful sets. One thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "api/label_selector.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control::scheduling {

class SpreadGroups {
 public:
  using Selector = k8s::io::apimachinery::pkg::apis::meta::v1::LabelSelector;

  // Without labels it has no pods.
  void put_service(const std::string& ns, const std::string& name, Selector pods);
  void remove_service(const std::string& ns, const std::string& name);
  // What owns pods; `kind` as an owner reference has it: "apps/v1", "ReplicaSet".
  struct Owner {
    std::string api_version, kind, ns, name;
    auto operator<=>(const Owner&) const = default;
  };
  void put_owner(const Owner& owner, Selector pods);
  void remove_owner(const Owner& owner);

  // The pods that are to be spread with this one; nothing: it is alone.
  std::optional<api::LabelSelector> of(const k8s::io::api::core::v1::Pod& pod) const;

 private:
  std::unordered_map<std::string, std::map<std::string, Selector>> services_;  // by namespace and name
  std::map<Owner, Selector> owners_;
};

}  // namespace gantry::control::scheduling
