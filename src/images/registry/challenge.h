// SPDX-License-Identifier: Apache-2.0
// What a server wants to be shown: the challenges of WWW-Authenticate (RFC 9110, 11.6.1), bounded. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::images {

struct Challenge {
  std::string scheme;                             // lower-case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  // names lower-case, values without their quotes

  // "" when it is not there.
  std::string parameter(const std::string& name) const;
};

// One header's value, which may hold several challenges. kInvalidArgument when it follows no grammar, has a parameter
// twice, or is longer than 8 KiB.
Result<std::vector<Challenge>> parse_challenges(std::string_view header);

}  // namespace gantry::images
