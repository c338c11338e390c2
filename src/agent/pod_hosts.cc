// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_hosts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::size_t kMaxHostname = 63;
constexpr std::size_t kMaxKernelHostname = 64;

// Its first line is what programs know a managed file by.
constexpr std::string_view kUsual =
    "# Kubernetes-managed hosts file.\n"
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n";
constexpr std::string_view kOfNode = "# Kubernetes-managed hosts file (host network).\n";

}  // namespace

std::string pod_hostname(const core::Pod& pod) {
  const core::PodSpec& spec = pod.spec();
  std::string name = spec.hostname().empty() ? pod.metadata().name() : spec.hostname();
  if (!spec.hostname_override().empty()) name = spec.hostname_override();
  if (name.size() <= kMaxHostname) return name;
  name.resize(kMaxHostname);
  while (name.ends_with('-') || name.ends_with('.')) name.pop_back();
  return name;
}

std::string pod_domain(const core::Pod& pod, const std::string& cluster_domain) {
  if (!pod.spec().hostname_override().empty() || pod.spec().subdomain().empty()) return {};
  return absl::StrCat(pod.spec().subdomain(), ".", pod.metadata().namespace_(), ".svc.", cluster_domain);
}

std::string kernel_hostname(const core::Pod& pod, const std::string& cluster_domain) {
  std::string name = pod_hostname(pod);
  const std::string domain = pod_domain(pod, cluster_domain);
  return pod.spec().set_hostname_as_fqdn() && !domain.empty() ? absl::StrCat(name, ".", domain) : name;
}

Status check_hostname(const core::Pod& pod, const std::string& cluster_domain) {
  const std::string name = kernel_hostname(pod, cluster_domain);
  if (pod.spec().host_network() || name.size() <= kMaxKernelHostname) return {};
  return invalid_argument(absl::StrCat("Failed to construct FQDN from pod hostname and cluster domain, FQDN ", name,
                                       " is too long (", kMaxKernelHostname, " characters is the max, ", name.size(),
                                       " characters requested)"));
}

bool needs_hosts_file(const core::Pod& pod, const core::Container& container, const std::vector<std::string>& ips) {
  if (ips.empty() && !pod.spec().host_network()) return false;
  return std::ranges::none_of(container.volume_mounts(),
                              [](const auto& mount) { return mount.mount_path() == "/etc/hosts"; });
}

std::string hosts_file(const core::Pod& pod, const std::vector<std::string>& ips, const std::string& cluster_domain,
                       std::string_view node_hosts) {
  std::string text;
  if (pod.spec().host_network()) {
    text = std::string(kOfNode).append(node_hosts);
  } else {
    text = kUsual;
    const std::string name = pod_hostname(pod), domain = pod_domain(pod, cluster_domain);
    for (const auto& ip : ips) {
      absl::StrAppend(&text, ip, "\t", domain.empty() ? "" : absl::StrCat(name, ".", domain, "\t"), name, "\n");
    }
  }
  if (pod.spec().host_aliases_size() == 0) return text;
  text += "\n# Entries added by HostAliases.\n";
  for (const auto& alias : pod.spec().host_aliases()) {
    absl::StrAppend(&text, alias.ip(), "\t", absl::StrJoin(alias.hostnames(), "\t"), "\n");
  }
  return text;
}

}  // namespace gantry::agent
