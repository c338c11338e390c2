// SPDX-License-Identifier: Apache-2.0
// What a write can't change of an object, whatever it says, and so nobody comes to own by it: its status through the
// main resource, its spec through its status; some kinds have rules of their own. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"

namespace gantry::api {

// Paths in JSON, {"metadata", "labels"}. `subresource` is empty for the main resource. Of the metadata as a whole these
// are, beside what is the server's own, labels, annotations, finalizers and owners.
std::vector<std::vector<std::string>> kept_fields(const Kind& kind, std::string_view subresource);

// Copies one of them back from the object as it was.
void put_back(const Message& old, const std::vector<std::string>& path, Message* updated);

}  // namespace gantry::api
