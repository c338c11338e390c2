// SPDX-License-Identifier: Apache-2.0
// What core/v1 Event and events.k8s.io/v1 Event share: they are one thing in two groups' words. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "api/kind.h"

namespace k8s::io::api::core::v1 {
class Event;
}

namespace gantry::api {

inline constexpr int64_t kEventLifetime = 3600;  // seconds

std::vector<Column> event_columns();
std::vector<Value> event_row(const k8s::io::api::core::v1::Event& event, int64_t now);
// The values of the fields by which a core/v1 Event can be selected: seven of the object, then reason,
// reportingComponent, source and type.
std::vector<std::string> event_selectable(const k8s::io::api::core::v1::Event& event);
// The rules of both APIs, `strict` those of the new one beside them. Fields are named as in v1, but who reports.
FieldProblems validate_event(const k8s::io::api::core::v1::Event& event, bool strict);
FieldProblems validate_event_update(const k8s::io::api::core::v1::Event& old,
                                    const k8s::io::api::core::v1::Event& updated, bool strict);

}  // namespace gantry::api
