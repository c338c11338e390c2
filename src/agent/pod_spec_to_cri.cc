// SPDX-License-Identifier: Apache-2.0
// Sandboxes and names; container_to_cri.cc has the containers.
#include "agent/pod_spec_to_cri.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agent/names.h"
#include "agent/pod_dns.h"
#include "agent/pod_hosts.h"
#include "agent/pod_security.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

constexpr std::size_t kMaxFileName = 255;

bool any_privileged(const core::PodSpec& spec) {
  auto is_privileged = [](const core::Container& container) { return container.security_context().privileged(); };
  return std::ranges::any_of(spec.init_containers(), is_privileged) ||
         std::ranges::any_of(spec.containers(), is_privileged) ||
         std::ranges::any_of(spec.ephemeral_containers(), [](const core::EphemeralContainer& ephemeral) {
           return ephemeral.ephemeral_container_common().security_context().privileged();
         });
}

void set_ports(const core::PodSpec& spec, v1::PodSandboxConfig& config) {
  if (spec.host_network()) return;  // nothing to map
  for (const auto& container : spec.containers()) {
    for (const auto& port : container.ports()) {
      auto& mapping = *config.add_port_mappings();
      mapping.set_container_port(port.container_port());
      mapping.set_host_port(port.host_port());
      mapping.set_host_ip(port.host_ip());
      mapping.set_protocol(port.protocol() == "UDP" ? v1::UDP : port.protocol() == "SCTP" ? v1::SCTP : v1::TCP);
    }
  }
}

void set_sandbox_security(const core::Pod& pod, std::optional<UserRange> users, v1::LinuxPodSandboxConfig& linux) {
  const core::PodSecurityContext& from = pod.spec().security_context();
  auto& to = *linux.mutable_security_context();
  set_namespaces(pod.spec(), users, *to.mutable_namespace_options());
  to.set_privileged(any_privileged(pod.spec()));
  if (from.has_run_as_user()) to.mutable_run_as_user()->set_value(from.run_as_user());
  // The CRI takes no group without a user.
  if (from.has_run_as_group() && from.has_run_as_user()) to.mutable_run_as_group()->set_value(from.run_as_group());
  for (auto group : pod_groups(from)) to.add_supplemental_groups(group);
  if (from.supplemental_groups_policy() == "Strict") to.set_supplemental_groups_policy(v1::Strict);
  to.mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  if (from.has_se_linux_options()) set_selinux(from.se_linux_options(), *to.mutable_selinux_options());
  for (const auto& sysctl : from.sysctls()) (*linux.mutable_sysctls())[sysctl.name()] = sysctl.value();
}

}  // namespace

std::string pod_log_folder_name(std::string_view namespace_, std::string_view name, std::string_view uid) {
  return std::string(namespace_).append("_").append(name).append("_").append(uid);
}

std::string container_log_path(std::string_view container, std::uint32_t attempt) {
  return std::string(container).append("/").append(std::to_string(attempt)).append(".log");
}

std::string container_log_link(std::string_view pod_name, std::string_view pod_namespace, std::string_view container,
                               std::string_view id) {
  constexpr std::string_view kEnding = ".log";
  std::string name(pod_name);
  name.append("_").append(pod_namespace).append("_").append(container).append("-").append(id);
  name.resize(std::min(name.size(), kMaxFileName - kEnding.size()));
  return name.append(kEnding);
}

v1::PodSandboxConfig sandbox_config(const core::Pod& pod, const NodeFacts& node, std::uint32_t attempt,
                                    std::string_view host_resolv_conf, const std::string& manifest_file,
                                    std::optional<UserRange> users, std::string* omitted) {
  v1::PodSandboxConfig config;
  const auto& metadata = pod.metadata();
  auto& named = *config.mutable_metadata();
  named.set_name(metadata.name());
  named.set_namespace_(metadata.namespace_());
  named.set_uid(metadata.uid());
  named.set_attempt(attempt);
  // A pod on the host's network has the host's name.
  if (!pod.spec().host_network()) config.set_hostname(kernel_hostname(pod, node.cluster_domain));
  config.set_log_directory(absl::StrCat(node.pod_logs_dir, "/",
                                        pod_log_folder_name(metadata.namespace_(), metadata.name(), metadata.uid())));
  std::string omitted_dns = set_dns(pod, {node.cluster_domain, node.cluster_dns}, host_resolv_conf, config);
  if (omitted != nullptr) *omitted = std::move(omitted_dns);
  set_ports(pod.spec(), config);
  auto& labels = *config.mutable_labels();
  labels.insert(metadata.labels().begin(), metadata.labels().end());
  labels[kPodNameLabel] = metadata.name();
  labels[kPodNamespaceLabel] = metadata.namespace_();
  labels[kPodUidLabel] = metadata.uid();
  *config.mutable_annotations() = metadata.annotations();
  // Whose it is, is not the pod's to say.
  auto& annotations = *config.mutable_annotations();
  annotations.erase(kManifestFileAnnotation);
  annotations.erase(kApiNodeAnnotation);
  if (manifest_file.empty()) {
    annotations[kApiNodeAnnotation] = node.node_name;
  } else {
    annotations[kManifestFileAnnotation] = manifest_file;
  }
  auto& linux = *config.mutable_linux();
  set_pod_resources(pod, node.resources, *linux.mutable_resources());
  if (pod.spec().overhead_size() > 0) set_pod_overhead(pod, node.resources, *linux.mutable_overhead());
  if (node.pod_pids_limit > 0) {
    (*linux.mutable_resources()->mutable_unified())["pids.max"] = absl::StrCat(node.pod_pids_limit);
  }
  linux.set_cgroup_parent(node.cgroup_driver == cgroups::DriverKind::kSystemd
                              ? pod_slice(qos_of(pod), metadata.uid())
                              : pod_cgroup(node.cgroup_root, qos_of(pod), metadata.uid()));
  set_sandbox_security(pod, users, linux);
  return config;
}

}  // namespace gantry::agent
