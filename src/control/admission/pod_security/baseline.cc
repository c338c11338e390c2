// SPDX-License-Identifier: Apache-2.0
// The level baseline: nothing by which a pod is known to become root of its node.
#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "control/admission/pod_security/check.h"

namespace gantry::control::pod_security {

namespace {

constexpr std::string_view kAppArmorAnnotation = "container.apparmor.security.beta.kubernetes.io/";
constexpr std::string_view kSeccompPodAnnotation = "seccomp.security.alpha.kubernetes.io/pod";
constexpr std::string_view kSeccompAnnotation = "container.seccomp.security.alpha.kubernetes.io/";

// A capability that a runtime gives by itself, too.
bool is_default_capability(std::string_view name) {
  constexpr std::string_view kNames[] = {"AUDIT_WRITE", "CHOWN",  "DAC_OVERRIDE",     "FOWNER",  "FSETID",
                                         "KILL",        "MKNOD",  "NET_BIND_SERVICE", "SETFCAP", "SETGID",
                                         "SETPCAP",     "SETUID", "SYS_CHROOT"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

// As upstream writes a Go string; names of annotations are plain.
std::string annotation(std::string_view key, std::string_view value) { return cat(key, "=", quoted(value, 1024)); }

Finding check_se_linux_types(const PodView& pod, bool has_engine) {
  bool sets_user = false;
  bool sets_role = false;
  Words types;
  const auto is_bad = [&](const core::SELinuxOptions& options) {
    const std::string& type = options.type();
    const bool allowed = type.empty() || type == "container_t" || type == "container_init_t" ||
                         type == "container_kvm_t" || (has_engine && type == "container_engine_t");
    if (!allowed) types.insert(type);
    sets_user |= !options.user().empty();
    sets_role |= !options.role().empty();
    return !allowed || !options.user().empty() || !options.role().empty();
  };
  const bool is_pod = is_bad(pod.security.se_linux_options());
  Names names;
  for (const ContainerView& container : pod.containers) {
    if (is_bad(container.security.se_linux_options())) names.push_back(container.name);
  }
  if (!is_pod && names.empty()) return {};
  std::string what;
  const auto add = [&what](const std::string& text) { what += cat(what.empty() ? "" : "; ", text); };
  if (!types.empty()) add(cat(one_or_many("type", "types", types.size()), " ", quote_all(types)));
  if (sets_user) add("user may not be set");
  if (sets_role) add("role may not be set");
  return {{"seLinuxOptions", cat(setters(is_pod, names), " set forbidden securityContext.seLinuxOptions: ", what)}};
}

// The last of these releases in which the name came to be allowed; 0: from the first.
struct AllowedSysctl {
  std::string_view name;
  int since;
};
constexpr AllowedSysctl kSysctls[] = {
    {"kernel.shm_rmid_forced", 0},
    {"net.ipv4.ip_local_port_range", 0},
    {"net.ipv4.tcp_syncookies", 0},
    {"net.ipv4.ping_group_range", 0},
    {"net.ipv4.ip_unprivileged_port_start", 0},
    {"net.ipv4.ip_local_reserved_ports", 27},
    {"net.ipv4.tcp_keepalive_time", 29},
    {"net.ipv4.tcp_fin_timeout", 29},
    {"net.ipv4.tcp_keepalive_intvl", 29},
    {"net.ipv4.tcp_keepalive_probes", 29},
    {"net.ipv4.tcp_rmem", 32},
    {"net.ipv4.tcp_wmem", 32},
    {"net.ipv4.tcp_slow_start_after_idle", 37},
    {"net.ipv4.tcp_notsent_lowat", 37},
};

template <int kMinor>
Finding check_sysctls_of(const PodView& pod) {
  std::string names;
  for (const core::Sysctl& sysctl : pod.security.sysctls()) {
    const bool allowed = std::ranges::any_of(kSysctls, [&sysctl](const AllowedSysctl& known) {
      return known.name == sysctl.name() && known.since <= kMinor;
    });
    if (!allowed) names += cat(names.empty() ? "" : ", ", sysctl.name());
  }
  if (names.empty()) return {};
  return {{"forbidden sysctls", names}};
}

// Hosts that a probe or a hook of the pod would have the node talk to.
template <typename Handler>
void add_hosts(const Handler& handler, Words* hosts) {
  if (!handler.http_get().host().empty()) hosts->insert(handler.http_get().host());
  if (!handler.tcp_socket().host().empty()) hosts->insert(handler.tcp_socket().host());
}

}  // namespace

Finding check_app_armor(const PodView& pod) {
  Words types;
  const auto is_bad = [&types](const auto& security) {
    if (!security.has_app_armor_profile() || is_confined(security.app_armor_profile().type())) return false;
    types.insert(security.app_armor_profile().type());
    return true;
  };
  const bool is_pod = is_bad(pod.security);
  Names names;
  for (const ContainerView& container : pod.containers) {
    if (is_bad(container.security)) names.push_back(container.name);
  }
  Words annotations;
  for (const auto& [key, value] : pod.metadata.annotations()) {
    if (!key.starts_with(kAppArmorAnnotation)) continue;
    if (value.empty() || value == "runtime/default" || value.starts_with("localhost/")) continue;
    annotations.insert(annotation(key, value));
  }
  if (!is_pod && names.empty() && annotations.empty()) return {};
  std::string who = setters(is_pod, names);
  if (!annotations.empty()) {
    who += cat(who.empty() ? "" : " and ", one_or_many("annotation", "annotations", annotations.size()));
  }
  Names values(types.begin(), types.end());
  values.insert(values.end(), annotations.begin(), annotations.end());
  return {{cat("forbidden AppArmor ", one_or_many("profile", "profiles", values.size())),
           cat(who, " must not set AppArmor profile type to ", quote_all(values))}};
}

Finding check_added_capabilities(const PodView& pod) {
  Names names;
  Words added;
  for (const ContainerView& container : pod.containers) {
    bool is_bad = false;
    for (const std::string& name : container.security.capabilities().add()) {
      if (is_default_capability(name)) continue;
      is_bad = true;
      added.insert(name);
    }
    if (is_bad) names.push_back(container.name);
  }
  if (names.empty()) return {};
  return {{"non-default capabilities",
           cat(containers(names), " must not include ", quote_all(added), " in securityContext.capabilities.add")}};
}

Finding check_host_namespaces(const PodView& pod) {
  std::string shared;
  const auto add = [&shared](const char* text) { shared += cat(shared.empty() ? "" : ", ", text); };
  if (pod.spec.host_network()) add("hostNetwork=true");
  if (pod.spec.host_pid()) add("hostPID=true");
  if (pod.spec.host_ipc()) add("hostIPC=true");
  if (shared.empty()) return {};
  return {{"host namespaces", shared}};
}

Finding check_host_paths(const PodView& pod) {
  Names names;
  for (const core::Volume& volume : pod.spec.volumes()) {
    if (volume.volume_source().has_host_path()) names.push_back(volume.name());
  }
  if (names.empty()) return {};
  return {{"hostPath volumes", cat(one_or_many("volume", "volumes", names.size()), " ", quote_all(names))}};
}

Finding check_host_ports(const PodView& pod) {
  Names names;
  Words ports;
  for (const ContainerView& container : pod.containers) {
    bool is_bad = false;
    for (const core::ContainerPort& port : container.ports) {
      if (port.host_port() == 0) continue;
      is_bad = true;
      ports.insert(std::to_string(port.host_port()));
    }
    if (is_bad) names.push_back(container.name);
  }
  if (names.empty()) return {};
  std::string list;
  for (const std::string& port : ports) list += cat(list.empty() ? "" : ", ", port);
  return {{"hostPort", cat(containers(names), " ", one_or_many("uses", "use", names.size()), " ",
                           one_or_many("hostPort", "hostPorts", ports.size()), " ", list)}};
}

Finding check_probed_hosts(const PodView& pod) {
  Words names;
  Words hosts;
  for (const ContainerView& container : pod.containers) {
    Words own;
    add_hosts(container.liveness.handler(), &own);
    add_hosts(container.readiness.handler(), &own);
    add_hosts(container.startup.handler(), &own);
    add_hosts(container.lifecycle.post_start(), &own);
    add_hosts(container.lifecycle.pre_stop(), &own);
    if (own.empty()) continue;
    names.insert(container.name);
    hosts.merge(own);
  }
  if (names.empty()) return {};
  return {
      {"probe or lifecycle host",
       cat(containers({names.begin(), names.end()}), " ", one_or_many("uses", "use", names.size()), " ",
           one_or_many("probe or lifecycle host", "probe or lifecycle hosts", hosts.size()), " ", quote_all(hosts))}};
}

Finding check_privileged(const PodView& pod) {
  Names names;
  for (const ContainerView& container : pod.containers) {
    if (container.security.privileged()) names.push_back(container.name);
  }
  if (names.empty()) return {};
  return {{"privileged", cat(containers(names), " must not set securityContext.privileged=true")}};
}

Finding check_proc_mount(const PodView& pod) {
  Names names;
  Words types;
  for (const ContainerView& container : pod.containers) {
    if (!container.security.has_proc_mount() || container.security.proc_mount() == "Default") continue;
    names.push_back(container.name);
    types.insert(container.security.proc_mount());
  }
  if (names.empty()) return {};
  return {{"procMount", cat(containers(names), " must not set securityContext.procMount to ", quote_all(types))}};
}

Finding check_proc_mount_on_host(const PodView& pod) {
  return pod.has_user_namespace() ? Finding() : check_proc_mount(pod);
}

Finding check_se_linux(const PodView& pod) { return check_se_linux_types(pod, false); }
Finding check_se_linux_1_31(const PodView& pod) { return check_se_linux_types(pod, true); }

Finding check_seccomp_annotations(const PodView& pod) {
  const auto& annotations = pod.metadata.annotations();
  Words bad;
  const auto look = [&](const std::string& key) {
    const auto found = annotations.find(key);
    if (found == annotations.end()) return;
    const std::string& value = found->second;
    if (value == "runtime/default" || value == "docker/default" || value.starts_with("localhost/")) return;
    bad.insert(annotation(key, value));
  };
  look(std::string(kSeccompPodAnnotation));
  for (const ContainerView& container : pod.containers) look(cat(kSeccompAnnotation, container.name));
  if (bad.empty()) return {};
  std::string list;
  for (const std::string& text : bad) list += cat(list.empty() ? "" : ", ", text);
  return {{"seccompProfile", cat("forbidden ", one_or_many("annotation", "annotations", bad.size()), " ", list)}};
}

Finding check_seccomp(const PodView& pod) {
  Words types;
  const auto is_bad = [&types](const auto& security) {
    if (!security.has_seccomp_profile() || is_confined(security.seccomp_profile().type())) return false;
    types.insert(security.seccomp_profile().type());
    return true;
  };
  const bool is_pod = is_bad(pod.security);
  Names names;
  for (const ContainerView& container : pod.containers) {
    if (is_bad(container.security)) names.push_back(container.name);
  }
  if (!is_pod && names.empty()) return {};
  return {{"seccompProfile",
           cat(setters(is_pod, names), " must not set securityContext.seccompProfile.type to ", quote_all(types))}};
}

Finding check_sysctls(const PodView& pod) { return check_sysctls_of<0>(pod); }
Finding check_sysctls_1_27(const PodView& pod) { return check_sysctls_of<27>(pod); }
Finding check_sysctls_1_29(const PodView& pod) { return check_sysctls_of<29>(pod); }
Finding check_sysctls_1_32(const PodView& pod) { return check_sysctls_of<32>(pod); }
Finding check_sysctls_1_37(const PodView& pod) { return check_sysctls_of<37>(pod); }

Finding check_windows_host_process(const PodView& pod) {
  Names names;
  for (const ContainerView& container : pod.containers) {
    if (container.security.windows_options().host_process()) names.push_back(container.name);
  }
  const bool is_pod = pod.security.windows_options().host_process();
  if (!is_pod && names.empty()) return {};
  return {
      {"hostProcess", cat(setters(is_pod, names), " must not set securityContext.windowsOptions.hostProcess=true")}};
}

}  // namespace gantry::control::pod_security
