// SPDX-License-Identifier: Apache-2.0
// Secrets of the type kubernetes.io/service-account-token, which people make for programs outside the cluster: each gets
// its account's uid, and what is missing of a token, the namespace and the cluster's CAs. One whose account is gone, or
// was made anew, is removed.
//
// The token is bound to the secret and ends with it, and with the account; it has no other end that anybody lives to
// see. (Upstream's of this kind are not bound, and verified by looking for the secret.)
#pragma once

#include <string>

#include "control/controllers/controller.h"

namespace k8s::io::api::core::v1 {
class Secret;
class ServiceAccount;
}  // namespace k8s::io::api::core::v1

namespace gantry::control {

class TokenSecrets final : public Controller {
 public:
  // `certificate`: PEM of the CAs that sign the API server's certificates; may be empty.
  TokenSecrets(ControllerParts parts, std::string certificate);
  void start() override;
  void stop() override { secrets_.stop(); }
  // From now on, in every such secret.
  void publish(std::string certificate);

 private:
  using Secret = k8s::io::api::core::v1::Secret;
  Task<Status> work(std::string key);
  Task<Status> fill(Secret secret, std::string account_uid);
  Task<Result<std::string>> token_for(const Secret& secret, std::string account);

  ControllerParts parts_;
  std::string certificate_;
  api::InformerOf<Secret> secrets_;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
