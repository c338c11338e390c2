// SPDX-License-Identifier: Apache-2.0
#include "agent/admission.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <tuple>

#include "agent/eviction/pod_use.h"
#include "agent/pod_resources.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/node_fit.h"
#include "api/quantity.h"
#include "api/text.h"
#include "base/text.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using PodPtr = std::shared_ptr<const core::Pod>;

constexpr std::string_view kOs = "linux";
constexpr char kOsLabel[] = "kubernetes.io/os";
// Of the classes that Kubernetes itself has.

// Of a namespace of the pod's own, and of no harm to anybody else. All are there since before Linux 6.1.
constexpr auto kSafeSysctls = std::to_array<std::string_view>({
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
});

// ---- what the pod says of itself

bool is_allowed(std::string_view sysctl, const std::vector<std::string>& allowed) {
  if (std::ranges::find(kSafeSysctls, sysctl) != kSafeSysctls.end()) return true;
  return std::ranges::any_of(allowed, [&](std::string_view pattern) {
    if (pattern.ends_with('*')) return sysctl.starts_with(pattern.substr(0, pattern.size() - 1));
    return sysctl == pattern;
  });
}

// The kind of namespace that has it.
std::string_view namespace_of(std::string_view sysctl) {
  if (sysctl.starts_with("net.")) return "net";
  for (std::string_view ipc : {"kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."}) {
    if (sysctl.starts_with(ipc)) return "ipc";
  }
  return "";
}

std::optional<Waiting> refuse_sysctls(const core::PodSpec& spec, const AdmissionRules& rules) {
  for (const auto& sysctl : spec.security_context().sysctls()) {
    std::string name = sysctl.name();
    std::ranges::replace(name, '/', '.');
    const std::string_view kind = namespace_of(name);
    std::string why;
    if (!is_allowed(name, rules.allowed_unsafe_sysctls)) {
      why = " not allowlisted";
    } else if ((kind == "net" && spec.host_network()) || (kind == "ipc" && spec.host_ipc())) {
      why = cat(" not allowed with host ", kind, " enabled");
    }
    if (!why.empty()) return Waiting{"SysctlForbidden", cat("forbidden sysctl: ", api::quoted(sysctl.name()), why)};
  }
  return std::nullopt;
}

bool wants_apparmor(const core::PodSpec& spec) {
  const auto is_profile = [](const auto& security) {
    return security.has_app_armor_profile() && security.app_armor_profile().type() != "Unconfined";
  };
  if (is_profile(spec.security_context())) return true;
  const auto has_profile = [&](const core::Container& container) { return is_profile(container.security_context()); };
  return std::ranges::any_of(spec.init_containers(), has_profile) ||
         std::ranges::any_of(spec.containers(), has_profile);
}

std::optional<Waiting> refuse_itself(const core::Pod& pod, const AdmissionRules& rules) {
  if (auto why = refuse_sysctls(pod.spec(), rules)) return why;
  if (!rules.has_apparmor && wants_apparmor(pod.spec())) {
    return Waiting{"AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"};
  }
  const auto label = pod.metadata().labels().find(kOsLabel);
  if (label != pod.metadata().labels().end() && label->second != kOs) {
    return Waiting{"PodOSSelectorNodeLabelDoesNotMatch",
                   "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"};
  }
  if (pod.spec().has_os() && pod.spec().os().name() != kOs) {
    return Waiting{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"};
  }
  return std::nullopt;
}

// ---- what there is of the node

Waiting out_of(std::string_view resource, std::int64_t requested, std::int64_t used, std::int64_t capacity) {
  return {cat("OutOf", resource), cat("Node didn't have enough resource: ", resource, ", requested: ", requested,
                                      ", used: ", used, ", capacity: ", capacity)};
}

std::int64_t allocatable(const core::Node& node, const std::string& name) {
  const auto found = node.status().allocatable().find(name);
  if (found == node.status().allocatable().end()) return 0;
  const auto amount = api::Quantity::parse(found->second.string()).value_or(api::Quantity());
  return name == "cpu" ? amount.milli_value() : amount.value();
}

// Resources of the cluster's that no node has are somebody else's to count.
bool is_counted(const core::Node& node, const std::string& name) {
  return !api::is_extended_resource(name) || node.status().allocatable().contains(name);
}

std::optional<Waiting> refuse_amounts(const core::Pod& pod, const core::Node& node, const std::vector<PodPtr>& others) {
  if (node.status().allocatable().empty()) return std::nullopt;  // nobody has said it yet
  const auto count = static_cast<std::int64_t>(others.size());
  if (const std::int64_t pods = allocatable(node, "pods"); count + 1 > pods) return out_of("pods", 1, count, pods);
  const auto requests = pod_requests(pod);
  std::map<std::string, std::int64_t> used;
  for (const auto& other : others) {
    for (const auto& [name, amount] : pod_requests(*other)) used[name] += amount;
  }
  std::vector<std::string> names{"cpu", "memory", "ephemeral-storage"};
  for (const auto& [name, amount] : requests) {
    if (std::ranges::find(names, name) == names.end() && is_counted(node, name)) names.push_back(name);
  }
  for (const auto& name : names) {
    const auto asked = requests.find(name);
    if (asked == requests.end() || asked->second == 0) continue;
    const std::int64_t capacity = allocatable(node, name);
    if (asked->second > capacity - used[name]) return out_of(name, asked->second, used[name], capacity);
  }
  return std::nullopt;
}

struct Port {
  std::string_view protocol, address;
  std::int32_t number = 0;

  bool meets(const Port& other) const {
    const auto is_any = [](std::string_view address) { return address.empty() || address == "0.0.0.0"; };
    return number == other.number && protocol == other.protocol &&
           (address == other.address || is_any(address) || is_any(other.address));
  }
};

// The views are the pod's.
std::vector<Port> ports_of(const core::PodSpec& spec) {
  std::vector<Port> ports;
  const auto add = [&ports](const core::Container& container) {
    for (const auto& port : container.ports()) {
      if (port.host_port() <= 0) continue;
      ports.push_back(
          {port.protocol().empty() ? "TCP" : std::string_view(port.protocol()), port.host_ip(), port.host_port()});
    }
  };
  for (const auto& container : spec.init_containers()) {
    if (container.restart_policy() == "Always") add(container);
  }
  for (const auto& container : spec.containers()) add(container);
  return ports;
}

bool has_free_ports(const core::Pod& pod, const std::vector<PodPtr>& others) {
  const auto wanted = ports_of(pod.spec());
  if (wanted.empty()) return true;
  return std::ranges::none_of(others, [&](const PodPtr& other) {
    const auto taken = ports_of(other->spec());
    return std::ranges::any_of(wanted, [&](const Port& port) {
      return std::ranges::any_of(taken, [&](const Port& other_port) { return port.meets(other_port); });
    });
  });
}

bool stands_taints(const core::PodSpec& spec, const core::Node& node) {
  return std::ranges::all_of(node.spec().taints(), [&](const core::Taint& taint) {
    return taint.effect() != "NoExecute" || api::tolerates(spec, {taint.key(), taint.value(), taint.effect()});
  });
}

Waiting failed(std::string_view predicate, std::string_view why) {
  return {std::string(predicate), cat("Predicate ", predicate, " failed: ", why)};
}

std::tuple<bool, bool, std::int64_t, std::int32_t, const std::string&> rank(const core::Pod& pod, bool is_static) {
  const auto& created = pod.metadata().creation_timestamp();
  return {!is_static, !is_critical(pod), created.seconds(), created.nanos(), pod.metadata().uid()};
}

}  // namespace

std::optional<Waiting> refusal(const core::Pod& pod, bool is_static, const core::Node* node,
                               const std::vector<PodPtr>& others, const AdmissionRules& rules) {
  if (auto why = refuse_itself(pod, rules)) return why;
  if (node == nullptr) return std::nullopt;
  // Nobody would ask again for a static pod, which is of the node's own: for kubelet, too, all of them are critical.
  if (auto why = is_static ? std::nullopt : refuse_amounts(pod, *node, others)) return why;
  if (!api::selects_node(pod.spec(), {node->metadata().name(), node->metadata().labels()})) {
    return failed(kNodeAffinityReason, "node(s) didn't match Pod's node affinity/selector");
  }
  if (!has_free_ports(pod, others)) {
    return failed("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  }
  if (!is_static && !stands_taints(pod.spec(), *node)) {
    return failed("TaintToleration", "node(s) had taints that the pod didn't tolerate");
  }
  return std::nullopt;
}

bool comes_before(const core::Pod& one, bool is_static, const core::Pod& other, bool is_other_static) {
  return rank(one, is_static) < rank(other, is_other_static);
}

}  // namespace gantry::agent
