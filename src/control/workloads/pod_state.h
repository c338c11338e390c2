// SPDX-License-Identifier: Apache-2.0
// How far a pod is, as those see it that count pods. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control::workloads {

// It runs or will: it has not ended, and is not asked to.
bool is_active(const k8s::io::api::core::v1::Pod& pod);
// It was asked to end, and has not.
bool is_terminating(const k8s::io::api::core::v1::Pod& pod);
bool is_ready(const k8s::io::api::core::v1::Pod& pod);
// In seconds since 1970; none while it is not ready, or when nobody said since when.
std::optional<std::int64_t> ready_since(const k8s::io::api::core::v1::Pod& pod);
// It has been ready for so many seconds.
bool is_available(const k8s::io::api::core::v1::Pod& pod, std::int64_t min_ready_seconds, std::int64_t now);
// The seconds until it will be, if it stays ready; none if it is already, or is not ready.
std::optional<std::int64_t> seconds_to_available(const k8s::io::api::core::v1::Pod& pod, std::int64_t min_ready_seconds,
                                                 std::int64_t now);

}  // namespace gantry::control::workloads
