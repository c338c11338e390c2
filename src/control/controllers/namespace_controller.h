// SPDX-License-Identifier: Apache-2.0
// Empties namespaces that are being deleted, whatever resources the server has: pods first, since they may need the
// rest (secrets, claims) to end well; then everything else. What holds it up is said in the namespace's conditions.
// When nothing is left, the finalizer "kubernetes" goes, and the namespace with it.
#pragma once

#include "api/client/discovery.h"
#include "control/controllers/controller.h"

namespace k8s::io::api::core::v1 {
class Namespace;
}

namespace gantry::control {

class NamespaceController final : public Controller {
 public:
  explicit NamespaceController(ControllerParts parts);
  void start() override { queue_.start(); }

 private:
  struct Remains;
  Task<Status> work(std::string name);
  Task<Status> empty(const std::string& name, Remains* remains);
  Task<Status> empty(const api::Target& target, const std::string& name, Remains* remains);
  Task<Status> tell(k8s::io::api::core::v1::Namespace object, const Remains& remains);

  ControllerParts parts_;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
