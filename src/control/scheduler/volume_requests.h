// SPDX-License-Identifier: Apache-2.0
// What is asked of the API server for the volumes of a pod that was given a node. One loop's thread.
#pragma once

#include <string>

#include "control/controllers/controller.h"
#include "control/scheduler/volumes.h"

namespace gantry::control::scheduling {

// The claim is given its volume here, and is bound to it by whoever binds claims. False: somebody was faster, or it
// could not be asked. All outlive the answer.
Task<bool> bring_volume(api::Client& client, const VolumeChoice& choice, const std::string& node);

// Whether there will be no volume for the claim on the node.
bool is_declined(const VolumeChoice& choice, const StorageState& storage, const std::string& node);

}  // namespace gantry::control::scheduling
