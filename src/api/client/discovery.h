// SPDX-License-Identifier: Apache-2.0
// Discovery: which resources an API server has, for programs that work on whatever there is.
#pragma once

#include <string>
#include <vector>

#include "api/client/client.h"

namespace gantry::api {

struct Discovered {
  // Of each group its preferred version alone. Without subresources.
  std::vector<Target> targets;
  // Groups that could not be asked: what is said of the rest holds all the same.
  std::vector<std::string> failed;
};

Task<Answer<Discovered>> discover(Client& client);

}  // namespace gantry::api
