// SPDX-License-Identifier: Apache-2.0
// What a probe and a lifecycle hook ask by HTTP, from their spec, as kubelet asks it. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace k8s::io {
namespace api::core::v1 {
class Container;
class HTTPGetAction;
}  // namespace api::core::v1
namespace apimachinery::pkg::util::intstr {
class IntOrString;
}
}  // namespace k8s::io

namespace gantry::agent {

// 1 to 65535.
Result<std::uint16_t> valid_port(int number);
// A number, or the name of one of the container's ports. is_not_found() when it has none of that name.
Result<std::uint16_t> resolve_port(const k8s::io::apimachinery::pkg::util::intstr::IntOrString& port,
                                   const k8s::io::api::core::v1::Container& container);

// The path with its query as it is put into a request line: without a fragment, and what can't stand there as %XX.
std::string request_target(const k8s::io::api::core::v1::HTTPGetAction& action);
// The action's own headers, and Accept and User-Agent where it has none. That one of these, or Host, is empty says that
// there is to be none.
http::HeaderList request_headers(const k8s::io::api::core::v1::HTTPGetAction& action, std::string_view user_agent);

}  // namespace gantry::agent
