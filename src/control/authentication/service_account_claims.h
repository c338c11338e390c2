// SPDX-License-Identifier: Apache-2.0
// What a service account's token says, in upstream's claims. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::control {

struct ObjectId {
  std::string name;
  std::string uid;
};

struct ServiceAccountClaims {
  std::string issuer;
  std::vector<std::string> audiences;
  std::string id;         // "jti"
  int64_t issued_at = 0;  // seconds since 1970
  int64_t not_before = 0;
  int64_t expires = 0;
  std::optional<int64_t> warn_after;  // from then on whoever uses it should have fetched a new one

  std::string ns;
  ObjectId account;
  // To what it is bound: it ends with it. A token of a pod also names the pod's node.
  std::optional<ObjectId> pod;
  std::optional<ObjectId> node;
  std::optional<ObjectId> secret;

  // "system:serviceaccount:NAMESPACE:NAME"
  std::string user_name() const;
};

std::string write_claims(const ServiceAccountClaims& claims);
// kUnauthenticated for claims that are no service account's; repeats nothing of them. What they say is not judged.
Result<ServiceAccountClaims> read_claims(std::string_view json);

}  // namespace gantry::control
