// SPDX-License-Identifier: Apache-2.0
// What every cluster has before anybody asks it for anything: the namespaces default, kube-system, kube-public and
// kube-node-lease, the priority classes of the system, the default roles.
#pragma once

#include <functional>

#include "api/time.h"
#include "control/server/objects.h"

namespace gantry::control {

// Makes those that are missing.
Task<Status> make_system_objects(Loop& here, Objects objects, std::function<api::Timestamp()> now);

// Makes the object unless there is one of its name; true when it did. With uid and time of creation, defaults and what
// the kind prepares.
Task<Result<bool>> make_missing(Loop& here, Objects objects, std::unique_ptr<api::Message> wanted, api::Timestamp now);

}  // namespace gantry::control
