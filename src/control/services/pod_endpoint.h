// SPDX-License-Identifier: Apache-2.0
// What a service needs to know of a pod that it leads to. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace k8s::io::api::core::v1 {
class Pod;
class Service;
class ServicePort;
}  // namespace k8s::io::api::core::v1

namespace gantry::control::services {

// It has an address and has not ended; of those that are asked to end only with `with_terminating`.
bool can_be_reached(const k8s::io::api::core::v1::Pod& pod, bool with_terminating);

// Its addresses of a family, but for those that no endpoint can have, such as loopback's.
std::vector<std::string> addresses_of(const k8s::io::api::core::v1::Pod& pod, bool is_v6);

// The port of the pod that the service's leads to; none if no container calls one so.
std::optional<std::int32_t> find_port(const k8s::io::api::core::v1::ServicePort& port,
                                      const k8s::io::api::core::v1::Pod& pod);

// The pod has a name of its own beneath the service's.
bool has_name_in(const k8s::io::api::core::v1::Service& service, const k8s::io::api::core::v1::Pod& pod);

// The service has no address of its own.
bool is_headless(const k8s::io::api::core::v1::Service& service);

// Its endpoints are made from its pods. Those of others are written by somebody else.
bool is_led_by_selector(const k8s::io::api::core::v1::Service& service);

// Both are the same to who wants to reach them. Precondition: the same pod at two times.
bool same_endpoint(const k8s::io::api::core::v1::Pod& a, const k8s::io::api::core::v1::Pod& b);

}  // namespace gantry::control::services
