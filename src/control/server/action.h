// SPDX-License-Identifier: Apache-2.0
// Action: what is asked by a POST and is no write of an object: bindings, evictions, tokens, reviews. ApiServer is
// given them by what they are asked through; each is a file, and answers with a message.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "control/server/call.h"
#include "control/server/failure.h"

namespace gantry::control {

// Immutable after it was made; called on any loop.
class Action {
 public:
  virtual ~Action() = default;
  // Empty, of the type that the client sends.
  virtual std::unique_ptr<api::Message> make() const = 0;
  // What is answered, with 201. call.info names the object, if there is one; `sent` is normalized.
  virtual Task<Outcome<std::unique_ptr<api::Message>>> run(Call& call, std::unique_ptr<api::Message> sent) = 0;
};

// "pods/eviction", "serviceaccounts/token", "tokenreviews.authentication.k8s.io", "bindings". They are not owned.
using Actions = std::map<std::string, Action*, std::less<>>;

// "RESOURCE[.GROUP][/SUBRESOURCE]"
std::string action_name(const api::Kind& kind, const api::Subresource* subresource);

}  // namespace gantry::control
