// SPDX-License-Identifier: Apache-2.0
// Sandboxes and names; container_to_cri.cc has the containers.
#include "agent/pod_spec_to_cri.h"

#include <algorithm>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "agent/names.h"
#include "agent/pod_resources.h"
#include "agent/pod_security.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

constexpr std::size_t kMaxHostname = 63;
constexpr std::size_t kMaxFileName = 255;
// What resolvers read. kubelet leaves out what is over it, too.
constexpr int kMaxNameservers = 3;
constexpr int kMaxSearches = 32;
constexpr std::size_t kMaxSearchCharacters = 2048;  // with a space between each two

bool any_privileged(const core::PodSpec& spec) {
  auto is_privileged = [](const core::Container& container) { return container.security_context().privileged(); };
  return std::ranges::any_of(spec.init_containers(), is_privileged) ||
         std::ranges::any_of(spec.containers(), is_privileged) ||
         std::ranges::any_of(spec.ephemeral_containers(), [](const core::EphemeralContainer& ephemeral) {
           return ephemeral.ephemeral_container_common().security_context().privileged();
         });
}

void read_resolv_conf(std::string_view text, v1::DNSConfig& dns) {
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    std::vector<std::string> values;
    for (std::string word; words >> word && !word.starts_with('#') && !word.starts_with(';');) values.push_back(word);
    if (key == "nameserver" && !values.empty()) dns.add_servers(values.front());
    if (key == "search" || key == "domain") {
      dns.clear_searches();  // the last one counts
      for (const auto& value : values) dns.add_searches(value);
    }
    if (key == "options") {
      for (const auto& value : values) dns.add_options(value);
    }
  }
}

void add_once(google::protobuf::RepeatedPtrField<std::string>& list, const std::string& value) {
  if (std::ranges::find(list, value) == list.end()) *list.Add() = value;
}

// The pod's own options take the place of those with the same name.
void add_options(const core::PodDNSConfig& config, v1::DNSConfig& dns) {
  auto name_of = [](std::string_view option) { return option.substr(0, option.find(':')); };
  for (const auto& option : config.options()) {
    auto& options = *dns.mutable_options();
    auto same = std::ranges::remove_if(options, [&](const std::string& old) { return name_of(old) == option.name(); });
    options.erase(same.begin(), options.end());
    dns.add_options(option.value().empty() ? option.name() : absl::StrCat(option.name(), ":", option.value()));
  }
}

// Leaves out what is over the limits. Returns a sentence about it, or nothing.
std::string fit_dns(v1::DNSConfig& dns) {
  std::string omitted;
  auto cut = [&](google::protobuf::RepeatedPtrField<std::string>& list, int fits, const char* what) {
    if (list.size() <= fits) return;
    absl::StrAppend(&omitted, omitted.empty() ? "" : "; ", "of ", list.size(), " ", what,
                    ", the pod's with the node's, ", "the first ", fits, " are used");
    list.DeleteSubrange(fits, list.size() - fits);
  };
  cut(*dns.mutable_servers(), kMaxNameservers, "nameservers");
  int fits = 0;
  std::size_t length = 0;
  for (const auto& search : dns.searches()) {
    length += search.size() + (fits == 0 ? 0 : 1);
    if (length > kMaxSearchCharacters || fits == kMaxSearches) break;
    ++fits;
  }
  cut(*dns.mutable_searches(), fits, "search domains");
  return omitted;
}

std::string set_dns(const core::PodSpec& spec, std::string_view host_resolv_conf, v1::PodSandboxConfig& config) {
  bool is_own = spec.dns_policy() == "None";
  if (!is_own && !spec.has_dns_config()) return "";
  auto& dns = *config.mutable_dns_config();
  if (!is_own) read_resolv_conf(host_resolv_conf, dns);
  for (const auto& server : spec.dns_config().nameservers()) add_once(*dns.mutable_servers(), server);
  for (const auto& search : spec.dns_config().searches()) add_once(*dns.mutable_searches(), search);
  add_options(spec.dns_config(), dns);
  return fit_dns(dns);
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

void set_sandbox_security(const core::Pod& pod, v1::LinuxPodSandboxConfig& linux) {
  const core::PodSecurityContext& from = pod.spec().security_context();
  auto& to = *linux.mutable_security_context();
  set_namespaces(pod.spec(), *to.mutable_namespace_options());
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

std::string pod_hostname(const core::Pod& pod) {
  if (pod.spec().has_hostname_override() && !pod.spec().hostname_override().empty())
    return pod.spec().hostname_override();
  std::string name = pod.spec().hostname().empty() ? pod.metadata().name() : pod.spec().hostname();
  name.resize(std::min(name.size(), kMaxHostname));
  while (name.ends_with('-') || name.ends_with('.')) name.pop_back();
  return name;
}

v1::PodSandboxConfig sandbox_config(const core::Pod& pod, const NodeFacts& node, std::uint32_t attempt,
                                    std::string_view host_resolv_conf, const std::string& manifest_file,
                                    std::string* omitted) {
  v1::PodSandboxConfig config;
  const auto& metadata = pod.metadata();
  auto& named = *config.mutable_metadata();
  named.set_name(metadata.name());
  named.set_namespace_(metadata.namespace_());
  named.set_uid(metadata.uid());
  named.set_attempt(attempt);
  // A pod on the host's network has the host's name.
  if (!pod.spec().host_network()) config.set_hostname(pod_hostname(pod));
  config.set_log_directory(absl::StrCat(node.pod_logs_dir, "/",
                                        pod_log_folder_name(metadata.namespace_(), metadata.name(), metadata.uid())));
  std::string omitted_dns = set_dns(pod.spec(), host_resolv_conf, config);
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
  set_pod_resources(pod, *linux.mutable_resources());
  linux.set_cgroup_parent(node.cgroup_driver == cgroups::DriverKind::kSystemd
                              ? pod_slice(qos_of(pod), metadata.uid())
                              : pod_cgroup(node.cgroup_root, qos_of(pod), metadata.uid()));
  set_sandbox_security(pod, linux);
  return config;
}

}  // namespace gantry::agent
