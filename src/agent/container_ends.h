// SPDX-License-Identifier: Apache-2.0
// What a pod's status says of its containers' ends, beyond what the runtime says of each. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace k8s::io::api::core::v1 {
class PodStatus;
}

namespace gantry::agent {

// What a container wrote, as text that may be in an object: bytes of no character are U+FFFD.
std::string as_text(std::string_view bytes);

// All containers' last words together are 12 KiB at most, and each has the same share of that, as with kubelet.
void limit_messages(k8s::io::api::core::v1::PodStatus& status);

// Of a pod in which nothing is started any more: a container of which nothing is known has ended in some way nobody
// knows of (ContainerStatusUnknown). Those whose turn had not come wait for ever.
void mark_unknown_ends(k8s::io::api::core::v1::PodStatus& status);

}  // namespace gantry::agent
