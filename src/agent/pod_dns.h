// SPDX-License-Identifier: Apache-2.0
// A pod's resolv.conf, as the CRI is told of it. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace k8s::io::api::core::v1 {
class Pod;
}
namespace runtime::v1 {
class PodSandboxConfig;
}

namespace gantry::agent {

struct ClusterDns {
  const std::string& domain;                // may be empty: no search domains
  const std::vector<std::string>& servers;  // empty: there is none, and ClusterFirst is Default
};

// `host_resolv_conf` is the text of the node's file. Returned is what was left out over the limits of resolvers, as a
// sentence; empty: nothing.
std::string set_dns(const k8s::io::api::core::v1::Pod& pod, const ClusterDns& cluster,
                    std::string_view host_resolv_conf, ::runtime::v1::PodSandboxConfig& config);

}  // namespace gantry::agent
