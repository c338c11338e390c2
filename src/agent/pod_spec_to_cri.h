// SPDX-License-Identifier: Apache-2.0
// From a Pod to the CRI's configurations, with kubelet's names, labels, places and defaults, so that what runs here is
// found and read by the tools that know kubelet's nodes. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/env_objects.h"
#include "agent/pod_resources.h"
#include "agent/user_ranges.h"
#include "api/kinds/core/resource_field.h"
#include "base/result.h"
#include "cgroups/driver.h"
#include "volumes/prepare.h"

namespace k8s::io::api::core::v1 {
class Container;
class Pod;
}  // namespace k8s::io::api::core::v1
namespace runtime::v1 {
class ContainerConfig;
class Image;
class PodSandboxConfig;
}  // namespace runtime::v1

namespace gantry::agent {

// What a pod is told of its node.
struct NodeFacts {
  std::string node_name;
  std::string host_ip;  // may be empty
  std::string pod_logs_dir;
  std::string root_dir;     // ROOT/seccomp holds the profiles of the type Localhost
  std::string cgroup_root;  // "/..." or empty
  cgroups::DriverKind cgroup_driver = cgroups::DriverKind::kCgroupfs;
  std::int64_t pod_pids_limit = -1;     // 0 or less: none
  bool kills_whole_containers = false;  // memory.oom.group of containers
  ResourceRules resources = {};
  std::vector<std::string> masked_paths, read_only_paths;
  bool seccomp_by_default = true;  // of containers that say nothing of it: RuntimeDefault, else none
  // Empty: there is no DNS of a cluster.
  std::string cluster_domain = {};
  std::vector<std::string> cluster_dns = {};
};

// /var/log/pods/NAMESPACE_NAME_UID
std::string pod_log_folder_name(std::string_view namespace_, std::string_view name, std::string_view uid);
// NAME/ATTEMPT.log, beneath it.
std::string container_log_path(std::string_view container, std::uint32_t attempt);
// What /var/log/containers calls it: NAME_NAMESPACE_CONTAINER-ID.log, cut to 255 bytes.
std::string container_log_link(std::string_view pod_name, std::string_view pod_namespace, std::string_view container,
                               std::string_view id);
// `host_resolv_conf` is the text of the node's file, resolvConf of its configuration. Nameservers and search domains
// over what resolvers read are left out, and `omitted` says so in a sentence, empty when all is there. `manifest_file`
// is empty for a pod of the API server's. `users` are the ids of its user namespace, if it has one.
::runtime::v1::PodSandboxConfig sandbox_config(const k8s::io::api::core::v1::Pod& pod, const NodeFacts& node,
                                               std::uint32_t attempt, std::string_view host_resolv_conf,
                                               const std::string& manifest_file,
                                               std::optional<UserRange> users = std::nullopt,
                                               std::string* omitted = nullptr);

// What a container is made with besides its spec.
struct ContainerInputs {
  std::uint32_t attempt = 0;
  std::vector<std::string> pod_ips;
  const ::runtime::v1::Image* image = nullptr;  // as the store has it
  volumes::PreparedVolumes volumes;
  // Of its mounts that have one, by index: where they are bound on the host; of an image, the path in it.
  std::map<int, std::string> sub_paths;
  std::string target_id = {};                        // the container whose process namespace it joins; or empty
  EnvObjects env = {};                               // that the environment is taken from
  std::map<std::string, std::string> services = {};  // their variables, before all others
  std::string termination_log;        // the host's file that is mounted at terminationMessagePath; or empty
  std::string hosts;                  // and at /etc/hosts; or empty
  api::Allocatable allocatable = {};  // of the node
  // Of the pod's user namespace, if it has one. Volumes belong in there to the ids that they have on the host.
  std::optional<UserRange> users = {};
  // The runtime handler can make what is mounted beneath a mount read-only, too.
  bool recursive_read_only = false;
};

// The mounts that take a part of a volume, by index, and which: subPath, or subPathExpr with the container's
// environment in it. A variable that is missing or empty is an error, in kubelet's words.
Result<std::map<int, std::string>> sub_paths_of(const k8s::io::api::core::v1::Pod& pod,
                                                const k8s::io::api::core::v1::Container& container,
                                                const NodeFacts& node, const ContainerInputs& inputs);

// The error is one that the pod's author can repair (CreateContainerConfigError): runAsNonRoot with an image of root's,
// a field that an environment variable names and the pod has not.
Result<::runtime::v1::ContainerConfig> container_config(const k8s::io::api::core::v1::Pod& pod,
                                                        const k8s::io::api::core::v1::Container& container,
                                                        const NodeFacts& node, const ContainerInputs& inputs);

}  // namespace gantry::agent
