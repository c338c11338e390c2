// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <limits>
#include <map>

#include "api/kinds/core/amounts.h"
#include "api/kinds/core/pod_rules.h"
#include "api/names.h"
#include "api/quantity.h"
#include "api/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr int kMaxPort = 65535;

constexpr std::string_view kSignals[] = {
    "SIGABRT",     "SIGALRM",     "SIGBUS",      "SIGCHLD",     "SIGCLD",      "SIGCONT",     "SIGFPE",
    "SIGHUP",      "SIGILL",      "SIGINT",      "SIGIO",       "SIGIOT",      "SIGKILL",     "SIGPIPE",
    "SIGPOLL",     "SIGPROF",     "SIGPWR",      "SIGQUIT",     "SIGSEGV",     "SIGSTKFLT",   "SIGSTOP",
    "SIGSYS",      "SIGTERM",     "SIGTRAP",     "SIGTSTP",     "SIGTTIN",     "SIGTTOU",     "SIGURG",
    "SIGUSR1",     "SIGUSR2",     "SIGVTALRM",   "SIGWINCH",    "SIGXCPU",     "SIGXFSZ",     "SIGRTMIN",
    "SIGRTMIN+1",  "SIGRTMIN+2",  "SIGRTMIN+3",  "SIGRTMIN+4",  "SIGRTMIN+5",  "SIGRTMIN+6",  "SIGRTMIN+7",
    "SIGRTMIN+8",  "SIGRTMIN+9",  "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14",
    "SIGRTMIN+15", "SIGRTMAX-14", "SIGRTMAX-13", "SIGRTMAX-12", "SIGRTMAX-11", "SIGRTMAX-10", "SIGRTMAX-9",
    "SIGRTMAX-8",  "SIGRTMAX-7",  "SIGRTMAX-6",  "SIGRTMAX-5",  "SIGRTMAX-4",  "SIGRTMAX-3",  "SIGRTMAX-2",
    "SIGRTMAX-1",  "SIGRTMAX"};

// What the containers of one pod share: names they must not use twice, volumes they may mount.
struct PodScope {
  const core::PodSpec& spec;
  std::map<std::string_view, const core::VolumeSource*> volumes;
  std::set<std::string_view> container_names;
  std::set<std::string> host_ports;  // of containers that run side by side
};

void check_env_source(const core::EnvVarSource& source, const Check& check) {
  std::vector<const google::protobuf::FieldDescriptor*> set;
  source.GetReflection()->ListFields(source, &set);
  if (set.empty()) {
    return check.invalid("", "one of fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef must be set");
  }
  for (size_t i = 1; i < set.size(); ++i) {
    check.at(set[i]->json_name()).forbidden(cat("can not be set beside ", set[0]->json_name()));
  }
  if (source.has_field_ref()) {
    static constexpr std::string_view kFields[] = {
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
        "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs"};
    check_field_path(source.field_ref().field_path(), kFields, check.at("fieldRef").at("fieldPath"));
  }
  if (source.has_resource_field_ref()) {
    check_resource_field(source.resource_field_ref(), false, check.at("resourceFieldRef"));
  }
  const auto check_key = [](const auto& selector, const Check& at) {
    at.at("name").well_formed(selector.local_object_reference().name(), check_dns1123_subdomain);
    at.at("key").name(selector.key(), check_config_key);
  };
  if (source.has_config_map_key_ref()) check_key(source.config_map_key_ref(), check.at("configMapKeyRef"));
  if (source.has_secret_key_ref()) check_key(source.secret_key_ref(), check.at("secretKeyRef"));
  if (source.has_file_key_ref()) {
    const Check inside = check.at("fileKeyRef");
    inside.at("volumeName").name(source.file_key_ref().volume_name(), check_dns1123_label);
    if (source.file_key_ref().path().empty()) inside.at("path").required();
    check_inner_path(source.file_key_ref().path(), inside.at("path"));
    inside.at("key").name(source.file_key_ref().key(), check_env_name);
  }
}

template <typename Container>
void check_env(const Container& container, const Check& check) {
  for (int i = 0; i < container.env_size(); ++i) {
    const core::EnvVar& variable = container.env(i);
    const Check inside = check.at("env")[i];
    inside.at("name").name(variable.name(), check_env_name);
    if (!variable.has_value_from()) continue;
    if (!variable.value().empty()) inside.at("valueFrom").forbidden("can not be set beside value");
    check_env_source(variable.value_from(), inside.at("valueFrom"));
  }
  for (int i = 0; i < container.env_from_size(); ++i) {
    const core::EnvFromSource& source = container.env_from(i);
    const Check inside = check.at("envFrom")[i];
    inside.at("prefix").optional_name(source.prefix(), check_env_name);
    if (source.has_config_map_ref() == source.has_secret_ref()) {
      check.at("envFrom").invalid("", "exactly one of configMapRef and secretRef must be set");
    }
    const auto check_reference = [&](const auto& reference, const char* field) {
      inside.at(field).at("name").name(reference.local_object_reference().name(), check_dns1123_subdomain);
    };
    if (source.has_config_map_ref()) check_reference(source.config_map_ref(), "configMapRef");
    if (source.has_secret_ref()) check_reference(source.secret_ref(), "secretRef");
  }
}

template <typename Container>
void check_ports(const Container& container, PodScope& scope, bool side_by_side, const Check& check) {
  std::set<std::string_view> names;
  std::set<std::string> own;
  for (int i = 0; i < container.ports_size(); ++i) {
    const core::ContainerPort& port = container.ports(i);
    const Check inside = check[i];
    inside.at("name").optional_name(port.name(), check_port_name);
    if (!port.name().empty() && !names.insert(port.name()).second) inside.at("name").duplicate(port.name());
    if (port.container_port() == 0) {
      inside.at("containerPort").required();
    } else {
      inside.at("containerPort").in_range(port.container_port(), 1, kMaxPort);
    }
    inside.at("protocol").one_of(port.protocol(), {"TCP", "UDP", "SCTP"});
    inside.at("hostIP").optional_name(port.host_ip(), check_ip);
    if (port.host_port() == 0) continue;
    inside.at("hostPort").in_range(port.host_port(), 1, kMaxPort);
    if (scope.spec.host_network() && port.host_port() != port.container_port()) {
      inside.at("hostPort").invalid(port.host_port(), "must equal containerPort when hostNetwork is true");
    }
    // Init containers run one after the other, so only within one of them may a port not be taken twice.
    std::set<std::string>& taken = side_by_side ? scope.host_ports : own;
    std::string place = cat(port.protocol(), '/', port.host_ip(), '/', port.host_port());
    if (!taken.insert(place).second) inside.at("hostPort").duplicate(place);
  }
}

template <typename Container>
bool is_privileged(const Container& container) {
  return container.security_context().privileged();
}

void check_propagation(const core::VolumeMount& mount, bool privileged, const Check& check) {
  if (mount.has_mount_propagation()) {
    check.at("mountPropagation").one_of(mount.mount_propagation(), {"None", "HostToContainer", "Bidirectional"});
    if (mount.mount_propagation() == "Bidirectional" && !privileged) {
      check.at("mountPropagation").forbidden("Bidirectional is for privileged containers only");
    }
  }
  if (!mount.has_recursive_read_only()) return;
  const std::string& recursive = mount.recursive_read_only();
  check.at("recursiveReadOnly").one_of(recursive, {"Disabled", "IfPossible", "Enabled"});
  if (recursive == "Disabled") return;
  if (!mount.read_only()) check.at("recursiveReadOnly").forbidden("may only be set when readOnly is true");
  if (mount.has_mount_propagation() && mount.mount_propagation() != "None") {
    check.at("recursiveReadOnly").forbidden("may only be set when mountPropagation is None or absent");
  }
}

template <typename Container>
void check_mounts(const Container& container, const PodScope& scope, const Check& check) {
  std::set<std::string_view> paths;
  for (int i = 0; i < container.volume_mounts_size(); ++i) {
    const core::VolumeMount& mount = container.volume_mounts(i);
    const Check inside = check.at("volumeMounts")[i];
    if (mount.name().empty()) inside.at("name").required();
    if (!scope.volumes.contains(mount.name())) {
      inside.at("name").not_found(mount.name(), "a volume of this pod");
    }
    if (mount.mount_path().empty()) inside.at("mountPath").required();
    if (!mount.mount_path().empty() && !paths.insert(mount.mount_path()).second) {
      inside.at("mountPath").invalid(mount.mount_path(), "must be unique");
    }
    if (mount.mount_path().find('\0') != std::string::npos) {
      inside.at("mountPath").invalid(mount.mount_path(), "must not contain a zero byte");
    }
    check_inner_path(mount.sub_path(), inside.at("subPath"));
    check_inner_path(mount.sub_path_expr(), inside.at("subPathExpr"));
    if (!mount.sub_path().empty() && !mount.sub_path_expr().empty()) {
      inside.at("subPathExpr").forbidden("can not be set beside subPath");
    }
    check_propagation(mount, is_privileged(container), inside);
  }
  std::set<std::string_view> devices;
  std::set<std::string_view> device_names;
  for (int i = 0; i < container.volume_devices_size(); ++i) {
    const core::VolumeDevice& device = container.volume_devices(i);
    const Check inside = check.at("volumeDevices")[i];
    const auto volume = scope.volumes.find(device.name());
    if (device.name().empty()) inside.at("name").required();
    if (!device_names.insert(device.name()).second) inside.at("name").invalid(device.name(), "must be unique");
    if (volume == scope.volumes.end() ||
        !(volume->second->has_persistent_volume_claim() || volume->second->has_ephemeral())) {
      inside.at("name").not_found(device.name(), "a persistent or ephemeral volume of this pod");
    }
    if (device.device_path().empty()) inside.at("devicePath").required();
    check_no_dot_dot(device.device_path(), inside.at("devicePath"));
    if (!devices.insert(device.device_path()).second || paths.contains(device.device_path())) {
      inside.at("devicePath").invalid(device.device_path(), "must be unique");
    }
  }
}

void check_port(const k8s::io::apimachinery::pkg::util::intstr::IntOrString& port, const Check& check) {
  if (port.type() == 1) return check.well_formed(port.str_val(), check_port_name);
  check.in_range(port.int_val(), 1, kMaxPort);
}

void check_http_get(const core::HTTPGetAction& action, const Check& check) {
  if (action.path().empty()) check.at("path").required();
  check_port(action.port(), check.at("port"));
  check.at("scheme").one_of(action.scheme(), {"HTTP", "HTTPS"});
  for (int i = 0; i < action.http_headers_size(); ++i) {
    const std::string& name = action.http_headers(i).name();
    const bool good = !name.empty() && std::ranges::all_of(name, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    });
    if (!good) check.at("httpHeaders").invalid(name, "must consist of letters, digits and '-'");
  }
}

// Exactly one way to ask, and its fields. Of probes and of lifecycle hooks, which differ in one way each.
template <typename Handler>
void check_handler(const Handler& handler, const Check& check) {
  std::vector<const google::protobuf::FieldDescriptor*> set;
  handler.GetReflection()->ListFields(handler, &set);
  if (set.empty()) return check.required("one of exec, httpGet, tcpSocket must be set");
  for (size_t i = 1; i < set.size(); ++i) {
    check.at(set[i]->json_name()).forbidden(cat("can not be set beside ", set[0]->json_name()));
  }
  if (handler.has_exec() && handler.exec().command().empty()) check.at("exec").at("command").required();
  if (handler.has_http_get()) check_http_get(handler.http_get(), check.at("httpGet"));
  if (handler.has_tcp_socket()) check_port(handler.tcp_socket().port(), check.at("tcpSocket").at("port"));
}

void check_probe(const core::Probe& probe, bool may_need_several, const Check& check) {
  check_handler(probe.handler(), check);
  if (probe.handler().has_grpc()) check.at("grpc").at("port").in_range(probe.handler().grpc().port(), 1, kMaxPort);
  check.at("initialDelaySeconds").not_negative(probe.initial_delay_seconds());
  check.at("timeoutSeconds").in_range(probe.timeout_seconds(), 1, kMaxInt32);
  check.at("periodSeconds").in_range(probe.period_seconds(), 1, kMaxInt32);
  check.at("failureThreshold").in_range(probe.failure_threshold(), 1, kMaxInt32);
  check.at("successThreshold").in_range(probe.success_threshold(), 1, may_need_several ? kMaxInt32 : 1);
  if (!probe.has_termination_grace_period_seconds()) return;
  const Check grace = check.at("terminationGracePeriodSeconds");
  if (may_need_several) return grace.forbidden("can not be set for readiness probes");
  grace.in_range(probe.termination_grace_period_seconds(), 1, std::numeric_limits<int64_t>::max());
}

void check_lifecycle(const core::Lifecycle& lifecycle, int64_t grace, const Check& check) {
  const auto check_hook = [grace](const core::LifecycleHandler& handler, const Check& at) {
    check_handler(handler, at);
    if (!handler.has_sleep()) return;
    const int64_t seconds = handler.sleep().seconds();
    if (seconds < 0 || seconds > grace) {
      at.at("sleep").invalid(seconds, cat("must be between 0 and terminationGracePeriodSeconds, ", grace));
    }
  };
  if (lifecycle.has_post_start()) check_hook(lifecycle.post_start(), check.at("postStart"));
  if (lifecycle.has_pre_stop()) check_hook(lifecycle.pre_stop(), check.at("preStop"));
  if (lifecycle.has_stop_signal()) check.at("stopSignal").one_of(lifecycle.stop_signal(), kSignals);
}

void check_security(const core::SecurityContext& context, const core::PodSpec& spec, const Check& check) {
  if (context.has_run_as_user()) check.at("runAsUser").in_range(context.run_as_user(), 0, kMaxInt32);
  if (context.has_run_as_group()) check.at("runAsGroup").in_range(context.run_as_group(), 0, kMaxInt32);
  if (context.has_allow_privilege_escalation() && !context.allow_privilege_escalation()) {
    const auto& added = context.capabilities().add();
    if (context.privileged()) {
      check.invalid("", "allowPrivilegeEscalation can not be false when privileged is true");
    }
    if (std::ranges::find(added, "CAP_SYS_ADMIN") != added.end() ||
        std::ranges::find(added, "SYS_ADMIN") != added.end()) {
      check.invalid("", "allowPrivilegeEscalation can not be false when CAP_SYS_ADMIN is added");
    }
  }
  if (context.has_proc_mount()) {
    check.at("procMount").one_of(context.proc_mount(), {"Default", "Unmasked"});
    const bool own_users = spec.has_host_users() && !spec.host_users();
    if (context.proc_mount() == "Unmasked" && !own_users) {
      check.at("procMount").forbidden("Unmasked is for pods with hostUsers: false only");
    }
  }
  if (context.has_seccomp_profile()) check_seccomp(context.seccomp_profile(), check.at("seccompProfile"));
  if (context.has_app_armor_profile()) check_app_armor(context.app_armor_profile(), check.at("appArmorProfile"));
}

template <typename Container>
void check_resize_policy(const Container& container, const Check& check) {
  std::set<std::string_view> resources;
  for (int i = 0; i < container.resize_policy_size(); ++i) {
    const core::ContainerResizePolicy& policy = container.resize_policy(i);
    if (!resources.insert(policy.resource_name()).second) check[i].duplicate(policy.resource_name());
    const auto required_one_of = [&](const std::string& value, std::initializer_list<std::string_view> allowed) {
      if (value.empty()) {
        check.required();
      } else {
        check.one_of(value, allowed);
      }
    };
    required_one_of(policy.resource_name(), {"cpu", "memory"});
    required_one_of(policy.restart_policy(), {"NotRequired", "RestartContainer"});
  }
}

// What every kind of container has to satisfy.
template <typename Container>
void check_common(const Container& container, PodScope& scope, const Check& check) {
  check.at("name").name(container.name(), check_dns1123_label);
  if (!container.name().empty() && !scope.container_names.insert(container.name()).second) {
    check.at("name").duplicate(container.name());
  }
  const std::string& image = container.image();
  if (image.empty()) {
    check.at("image").required();
  } else if (image.find_first_of(" \t\r\n") == 0 || image.find_last_of(" \t\r\n") == image.size() - 1) {
    check.at("image").invalid(image, "must not have leading or trailing white space");
  }
  check.at("imagePullPolicy").one_of(container.image_pull_policy(), {"Always", "IfNotPresent", "Never"});
  check.at("terminationMessagePolicy")
      .one_of(container.termination_message_policy(), {"File", "FallbackToLogsOnError"});
  check_env(container, check);
  check_mounts(container, scope, check);
  check_resources(container.resources(), check.at("resources"));
  check_resize_policy(container, check.at("resizePolicy"));
  if (container.has_security_context()) {
    check_security(container.security_context(), scope.spec, check.at("securityContext"));
  }
}

void check_probes(const core::Container& container, const core::PodSpec& spec, const Check& check) {
  if (container.has_liveness_probe()) check_probe(container.liveness_probe(), false, check.at("livenessProbe"));
  if (container.has_readiness_probe()) check_probe(container.readiness_probe(), true, check.at("readinessProbe"));
  if (container.has_startup_probe()) check_probe(container.startup_probe(), false, check.at("startupProbe"));
  if (container.has_lifecycle()) {
    check_lifecycle(container.lifecycle(), spec.termination_grace_period_seconds(), check.at("lifecycle"));
  }
}

// An own policy, and what is before it.
void check_restart(const core::Container& container, const Check& check) {
  constexpr int kMostRules = 20, kMostCodes = 255;
  if (container.has_restart_policy()) {
    check.at("restartPolicy").one_of(container.restart_policy(), {"Always", "OnFailure", "Never"});
  } else if (container.restart_policy_rules_size() > 0) {
    check.at("restartPolicy").required("must specify restartPolicy when restart rules are used");
  }
  const Check rules = check.at("restartPolicyRules");
  if (container.restart_policy_rules_size() > kMostRules) {
    return rules.too_long(static_cast<size_t>(container.restart_policy_rules_size()), kMostRules, "rules");
  }
  for (int i = 0; i < container.restart_policy_rules_size(); ++i) {
    const core::ContainerRestartRule& rule = container.restart_policy_rules(i);
    rules[i].at("action").one_of(rule.action(), {"Restart"});
    const Check codes = rules[i].at("exitCodes");
    if (!rule.has_exit_codes()) {
      codes.required("must be specified");
      continue;
    }
    codes.at("operator").one_of(rule.exit_codes().operator_(), {"In", "NotIn"});
    if (rule.exit_codes().values_size() > kMostCodes) {
      codes.at("values").too_long(static_cast<size_t>(rule.exit_codes().values_size()), kMostCodes, "codes");
    }
  }
}

void check_init_container(const core::Container& container, PodScope& scope, const Check& check) {
  const bool sidecar = container.has_restart_policy() && container.restart_policy() == "Always";
  check_common(container, scope, check);
  check_ports(container, scope, sidecar, check.at("ports"));
  check_restart(container, check);
  if (sidecar) return check_probes(container, scope.spec, check);
  const std::string_view reason = "is for init containers with restartPolicy: Always only";
  if (container.has_liveness_probe()) check.at("livenessProbe").forbidden(reason);
  if (container.has_readiness_probe()) check.at("readinessProbe").forbidden(reason);
  if (container.has_startup_probe()) check.at("startupProbe").forbidden(reason);
  if (container.has_lifecycle()) check.at("lifecycle").forbidden(reason);
}

void check_ephemeral_container(const core::EphemeralContainer& container, PodScope& scope, const Check& check) {
  const core::EphemeralContainerCommon& common = container.ephemeral_container_common();
  check_common(common, scope, check);
  if (common.ports_size() > 0) check.at("ports").forbidden("can not be set for an ephemeral container");
  if (common.has_liveness_probe()) check.at("livenessProbe").forbidden("can not be set for an ephemeral container");
  if (common.has_readiness_probe()) check.at("readinessProbe").forbidden("can not be set for an ephemeral container");
  if (common.has_startup_probe()) check.at("startupProbe").forbidden("can not be set for an ephemeral container");
  if (common.has_lifecycle()) check.at("lifecycle").forbidden("can not be set for an ephemeral container");
  const std::string& target = container.target_container_name();
  if (target.empty()) return;
  const auto is_target = [&](const core::Container& other) { return other.name() == target; };
  if (std::ranges::none_of(scope.spec.containers(), is_target) &&
      std::ranges::none_of(scope.spec.init_containers(), is_target)) {
    check.at("targetContainerName").not_found(target, "a container of this pod");
  }
}

}  // namespace

void check_field_path(std::string_view path, std::span<const std::string_view> fields, const Check& check) {
  if (path.empty()) return check.required();
  for (const std::string_view map : {"metadata.annotations['", "metadata.labels['"}) {
    if (!path.starts_with(map) || !path.ends_with("']")) continue;
    return check.well_formed(path.substr(map.size(), path.size() - map.size() - 2),
                             [](std::string_view key) { return check_qualified_name(lowered(key)); });
  }
  if (std::ranges::find(fields, path) == fields.end()) check.invalid(path, "is not a field that a pod can be told");
}

void check_resource_field(const core::ResourceFieldSelector& selector, bool names_container, const Check& check) {
  const std::string& resource = selector.resource();
  const bool of_huge_pages = resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
  if (names_container && selector.container_name().empty()) {
    check.at("containerName").required();
  } else if (resource.empty()) {
    check.at("resource").required();
  } else if (!of_huge_pages) {
    check.at("resource")
        .one_of(resource, {"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu",
                           "requests.ephemeral-storage", "requests.memory"});
  }
  const std::string& divisor = selector.divisor().string();
  if (const Result<Quantity> amount = Quantity::parse(divisor); !amount || amount->is_zero()) return;
  const bool of_cpu = resource == "limits.cpu" || resource == "requests.cpu";
  const bool of_bytes = of_huge_pages || resource.ends_with(".memory") || resource.ends_with(".ephemeral-storage");
  static constexpr std::string_view kShares[] = {"1m", "1"};
  static constexpr std::string_view kUnits[] = {"1",   "1k",  "1M",  "1G",  "1T",  "1P", "1E",
                                                "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"};
  if (of_cpu && std::ranges::find(kShares, divisor) == std::end(kShares)) {
    check.at("divisor").invalid(resource, "of cpu can be 1m or 1");
  }
  if (of_bytes && std::ranges::find(kUnits, divisor) == std::end(kUnits)) {
    check.at("divisor").invalid(resource, "must be 1 or one unit, such as 1k or 1Mi");
  }
}

void check_seccomp(const core::SeccompProfile& profile, const Check& check) {
  if (profile.type().empty()) {
    check.at("type").required();
  } else {
    check.at("type").one_of(profile.type(), {"RuntimeDefault", "Unconfined", "Localhost"});
  }
  const Check path = check.at("localhostProfile");
  if (profile.type() == "Localhost") {
    if (!profile.has_localhost_profile()) return path.required("must be set when type is Localhost");
    check_inner_path(profile.localhost_profile(), path);
  } else if (profile.has_localhost_profile()) {
    path.invalid(profile.localhost_profile(), "can only be set when type is Localhost");
  }
}

void check_app_armor(const core::AppArmorProfile& profile, const Check& check) {
  if (profile.type().empty()) {
    check.at("type").required();
  } else {
    check.at("type").one_of(profile.type(), {"RuntimeDefault", "Unconfined", "Localhost"});
  }
  const Check name = check.at("localhostProfile");
  if (profile.type() == "Localhost" && profile.localhost_profile().empty()) {
    name.required("must be set when type is Localhost");
  } else if (profile.type() != "Localhost" && profile.has_localhost_profile()) {
    name.invalid(profile.localhost_profile(), "can only be set when type is Localhost");
  }
}

void check_resources(const core::ResourceRequirements& resources, const Check& check) {
  for (const auto& [name, amount] : resources.limits()) {
    check_container_resource_name(name, check.at("limits").key(name));
  }
  for (const auto& [name, amount] : resources.requests()) {
    check_container_resource_name(name, check.at("requests").key(name));
  }
  check_resource_amounts(resources, check);
}

void check_resource_amounts(const core::ResourceRequirements& resources, const Check& check) {
  bool has_huge_pages = false;
  bool has_others = false;
  const auto check_amounts = [&](const auto& amounts, const Check& at) {
    for (const auto& [name, amount] : amounts) {
      check_amount(name, amount.string(), at.key(name));
      if (is_huge_page(name)) has_huge_pages = true;
      if (name == "cpu" || name == "memory") has_others = true;
    }
  };
  check_amounts(resources.limits(), check.at("limits"));
  check_amounts(resources.requests(), check.at("requests"));
  if (has_huge_pages && !has_others) check.forbidden("huge pages need cpu or memory beside them");
  for (const auto& [name, request] : resources.requests()) {
    const auto limit = resources.limits().find(name);
    const bool must_equal = !can_be_overcommitted(name);
    if (limit == resources.limits().end()) {
      if (must_equal) check.at("limits").required(cat("must have ", name, ", as requests has"));
      continue;
    }
    const Result<Quantity> least = Quantity::parse(request.string());
    const Result<Quantity> most = Quantity::parse(limit->second.string());
    if (least && most && must_equal && least->compare(*most) != 0) {
      check.at("requests").invalid(request.string(), cat("must be the limit of ", limit->second.string()));
    } else if (least && most && least->compare(*most) > 0) {
      check.at("requests").invalid(request.string(), cat("must not exceed the limit of ", limit->second.string()));
    }
  }
}

void check_containers(const core::PodSpec& spec, const Check& check) {
  PodScope scope{spec, {}, {}, {}};
  for (const core::Volume& volume : spec.volumes()) scope.volumes.emplace(volume.name(), &volume.volume_source());
  if (spec.containers().empty()) check.at("containers").required("must have at least one container");
  for (int i = 0; i < spec.containers_size(); ++i) {
    const core::Container& container = spec.containers(i);
    const Check inside = check.at("containers")[i];
    check_common(container, scope, inside);
    check_ports(container, scope, true, inside.at("ports"));
    check_probes(container, spec, inside);
    check_restart(container, inside);
  }
  for (int i = 0; i < spec.init_containers_size(); ++i) {
    check_init_container(spec.init_containers(i), scope, check.at("initContainers")[i]);
  }
  for (int i = 0; i < spec.ephemeral_containers_size(); ++i) {
    check_ephemeral_container(spec.ephemeral_containers(i), scope, check.at("ephemeralContainers")[i]);
  }
}

}  // namespace gantry::api
