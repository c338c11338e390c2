// SPDX-License-Identifier: Apache-2.0
// What every namespace has: the service account "default", and the ConfigMap "kube-root-ca.crt" by which pods know the
// API server. Whoever removes or changes them gets them again.
#pragma once

#include "control/controllers/controller.h"

namespace gantry::control {

class ServiceAccountController final : public Controller {
 public:
  explicit ServiceAccountController(ControllerParts parts);
  void start() override { queue_.start(); }

 private:
  Task<Status> work(std::string ns);

  ControllerParts parts_;
  api::WorkQueue queue_;
};

class RootCaController final : public Controller {
 public:
  // `certificate`: PEM of the CAs that sign the API server's certificates.
  RootCaController(ControllerParts parts, std::string certificate);
  void start() override { queue_.start(); }
  // From now on, in every namespace.
  void publish(std::string certificate);

 private:
  Task<Status> work(std::string ns);

  ControllerParts parts_;
  std::string certificate_;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
