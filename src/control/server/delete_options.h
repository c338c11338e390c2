// SPDX-License-Identifier: Apache-2.0
// What a deletion asks for, from where clients say it. Pure.
#pragma once

#include "control/server/resource_writer.h"
#include "http/message.h"

namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class DeleteOptions;
}

namespace gantry::control {

// 422 for a propagation policy or a dry run that there is not. Both make the call a dry run when they say so.
Outcome<DeleteOptions> delete_options_of(const k8s::io::apimachinery::pkg::apis::meta::v1::DeleteOptions& message,
                                         Call* call);
// From the query, and from the body, whose word counts.
Outcome<DeleteOptions> parse_delete_options(const http::Request& request, Call* call);

}  // namespace gantry::control
