// SPDX-License-Identifier: Apache-2.0
// Who asks, and whether he may: the two questions that come before every request. Implementations stand in
// authentication/ and authorization/. Called on any loop.
#pragma once

#include <optional>
#include <string>

#include "control/server/call.h"
#include "http/message.h"

namespace gantry::control {

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // The user whom the request's credentials name; empty when it bears none of the kind that this one knows. A failure
  // (401) when it bears such credentials and they are no good.
  virtual Task<Outcome<std::optional<User>>> authenticate(Loop& here, const http::Request& request) = 0;
};

// What somebody wants to do, as authorization sees it.
struct AccessRequest {
  const User& user;
  bool is_resource = false;
  std::string verb;
  // Of a resource:
  std::string group;
  std::string version;
  std::string ns;
  std::string resource;
  std::string subresource;
  std::string name;
  std::string field_selector;  // of a list or watch, as it was sent
  std::string label_selector;  // the same
  // Else:
  std::string path;
};

class Authorizer {
 public:
  virtual ~Authorizer() = default;
  enum class Decision { kAllow, kDeny, kNoOpinion };
  struct Answer {
    Decision decision = Decision::kNoOpinion;
    std::string reason;
  };
  virtual Task<Answer> authorize(Loop& here, const AccessRequest& request) = 0;
};

}  // namespace gantry::control
