// SPDX-License-Identifier: Apache-2.0
// Bootstrap tokens, the secrets of kube-system by which nodes join: kube-public/cluster-info is signed with each of
// them (jws-kubeconfig-ID), so that who has one can tell it from a forged one, and those that have ended are removed.
// Each sees no secrets but these.
#pragma once

#include "control/controllers/controller.h"

namespace k8s::io::api::core::v1 {
class Secret;
}

namespace gantry::control {

class BootstrapSigner final : public Controller {
 public:
  explicit BootstrapSigner(ControllerParts parts);
  void start() override;
  void stop() override { tokens_.stop(); }

 private:
  Task<Status> work();

  ControllerParts parts_;
  api::InformerOf<k8s::io::api::core::v1::Secret> tokens_;
  api::WorkQueue queue_;
};

class TokenCleaner final : public Controller {
 public:
  explicit TokenCleaner(ControllerParts parts);
  void start() override;
  void stop() override { tokens_.stop(); }

 private:
  Task<Status> work(std::string key);

  ControllerParts parts_;
  api::InformerOf<k8s::io::api::core::v1::Secret> tokens_;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
