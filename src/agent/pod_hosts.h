// SPDX-License-Identifier: Apache-2.0
// What a pod is called from within, and the /etc/hosts that its containers find. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace k8s::io::api::core::v1 {
class Container;
class Pod;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

// spec.hostnameOverride, spec.hostname, or the pod's name; cut to 63 characters.
std::string pod_hostname(const k8s::io::api::core::v1::Pod& pod);
// "SUBDOMAIN.NAMESPACE.svc.CLUSTER-DOMAIN", or empty.
std::string pod_domain(const k8s::io::api::core::v1::Pod& pod, const std::string& cluster_domain);
// What the kernel says: with setHostnameAsFQDN host name and domain.
std::string kernel_hostname(const k8s::io::api::core::v1::Pod& pod, const std::string& cluster_domain);
// The kernel has no room for more than 64 characters of it.
Status check_hostname(const k8s::io::api::core::v1::Pod& pod, const std::string& cluster_domain);

// For a container that does not mount a file of its own there, in a pod that has addresses. One on the host's network
// gets the node's file, `node_hosts`.
bool needs_hosts_file(const k8s::io::api::core::v1::Pod& pod, const k8s::io::api::core::v1::Container& container,
                      const std::vector<std::string>& ips);
std::string hosts_file(const k8s::io::api::core::v1::Pod& pod, const std::vector<std::string>& ips,
                       const std::string& cluster_domain, std::string_view node_hosts);

}  // namespace gantry::agent
