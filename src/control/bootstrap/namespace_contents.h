// SPDX-License-Identifier: Apache-2.0
// What every namespace has, and gets again when it is taken away: the service account "default", and the config map
// kube-root-ca.crt with the cluster's CA, which pods verify the API server by. (Upstream: the controllers
// serviceaccount and root-ca-cert-publisher.)
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/time.h"
#include "control/server/objects.h"

namespace gantry::control {

class NamespaceContents {
 public:
  // Follows namespaces, service accounts and config maps. Made and destroyed on `home`; `home` and what `objects`
  // refers to must outlive it.
  NamespaceContents(Loop& home, Objects objects, std::string ca_pem, std::function<api::Timestamp()> now);
  ~NamespaceContents();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gantry::control
