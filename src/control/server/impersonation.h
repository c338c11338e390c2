// SPDX-License-Identifier: Apache-2.0
// Acting as somebody else: Impersonate-User, -Group, -Uid and -Extra-KEY, for those who may (kubectl --as). Pure.
#pragma once

#include <vector>

#include "control/server/access.h"

namespace gantry::control {

// What the user must be allowed for what the request's headers ask; none when they ask nothing. `user` must outlive it.
std::vector<AccessRequest> impersonation_requests(const User& user, const http::Request& request);

// The user as whom the request goes on. 400 when groups, uid or extras are named without a user.
Outcome<User> impersonate(User user, const http::Request& request);

}  // namespace gantry::control
