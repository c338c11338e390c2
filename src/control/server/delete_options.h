// SPDX-License-Identifier: Apache-2.0
// What a deletion asks for, from where clients say it. Pure.
#pragma once

#include "control/server/resource_writer.h"
#include "http/message.h"

namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class DeleteOptions;
}

namespace gantry::control {

// 400 for a propagation policy that there is not.
Outcome<DeleteOptions> delete_options_of(const k8s::io::apimachinery::pkg::apis::meta::v1::DeleteOptions& message);
// From the query, and from the body, whose word counts.
Outcome<DeleteOptions> parse_delete_options(const http::Request& request, const RequestInfo& info);

}  // namespace gantry::control
