// SPDX-License-Identifier: Apache-2.0
// Objects of a watch cache in protobuf, made of the bytes that are stored where that is possible (api/wire.h).
#pragma once

#include <string>

#include "api/wire.h"
#include "control/server/caches.h"

namespace gantry::control {

// The message's bytes of an object as `served`, with its resourceVersion. kInternal for one that has no such form.
Result<std::string> object_bytes(const CachedItem& item, const api::Kind& served);

// Adds them to a list.
Status add_object(api::WireList& list, const CachedItem& item, const api::Kind& served);

}  // namespace gantry::control
