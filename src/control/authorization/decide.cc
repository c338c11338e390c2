// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/decide.h"

#include "base/text.h"

namespace gantry::control {

Task<Authorizer::Answer> decide(Loop& here, const std::vector<Authorizer*>& authorizers, const AccessRequest& request) {
  if (request.user.is_in(kMastersGroup)) co_return Authorizer::Answer{Authorizer::Decision::kAllow, ""};
  Authorizer::Answer all;
  for (Authorizer* authorizer : authorizers) {
    Authorizer::Answer answer = co_await authorizer->authorize(here, request);
    if (answer.decision != Authorizer::Decision::kNoOpinion) co_return answer;
    if (!answer.reason.empty()) all.reason += cat(all.reason.empty() ? "" : ", ", answer.reason);
  }
  co_return all;
}

}  // namespace gantry::control
