// SPDX-License-Identifier: Apache-2.0
// Who may come in and what he may, put together: authenticators, authorizers, admission, and the questions about them
// that clients may ask. One for a control plane.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "control/authorization/rbac_follower.h"
#include "control/pki/key.h"
#include "control/server/access.h"
#include "control/server/action.h"
#include "control/server/admission.h"
#include "control/server/caches.h"
#include "control/server/documents.h"

namespace gantry::control {

class Security {
 public:
  struct Parts {
    Loop& home;
    const api::Kinds& kinds;
    Store& store;
    const Caches& caches;
    const PrivateKey& token_key;  // of service accounts' tokens
    std::function<api::Timestamp()> now;
    std::vector<PublicKey> older_token_keys = {};  // which verify, too
  };
  // Made and destroyed on `home`; what the parts refer to must outlive it.
  static Result<std::unique_ptr<Security>> make(Parts parts);
  ~Security();

  // Any thread: of tokens from now on.
  Status replace_token_keys(PrivateKey signing, std::vector<PublicKey> others);

  // On `home`: returns when all roles and pods count that were in the store before the call. Until it has returned
  // once, nobody but system:masters may do anything.
  Task<> ready();

  // In the order in which they are asked.
  std::vector<Authenticator*> authenticators() const;
  std::vector<Authorizer*> authorizers() const;
  const AdmissionChain& admission() const;
  // By which others verify service accounts' tokens: OpenID's discovery document and the keys. `url`: where the API is
  // reached, "https://192.0.2.1:6443".
  std::vector<Page> pages(const std::string& url) const;
  // serviceaccounts/token and the reviews.
  Actions actions() const;

 private:
  struct Impl;
  explicit Security(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry::control
