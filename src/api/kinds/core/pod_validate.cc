// SPDX-License-Identifier: Apache-2.0
// Rules of a Pod as a whole: its metadata and what is said once for all containers.
#include <limits>
#include <map>

#include "api/kinds/core/amounts.h"
#include "api/kinds/core/container_requests.h"
#include "api/kinds/core/pod.h"
#include "api/kinds/core/pod_rules.h"
#include "api/names.h"
#include "api/quantity.h"
#include "api/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr size_t kMaxAnnotationBytes = size_t{256} << 10;
constexpr int kMaxNameservers = 3;
constexpr int kMaxSearches = 32;
constexpr size_t kMaxSearchCharacters = 2048;
constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

template <typename Labels>
void check_labels(const Labels& labels, const Check& check) {
  for (const auto& [key, value] : labels) {
    check.name(key, check_qualified_name);
    check.optional_name(value, check_label_value);
  }
}

void check_metadata(const core::Pod& pod, const Check& check) {
  const auto& metadata = pod.metadata();
  if (metadata.name().empty()) {
    check.at("name").required("must be set");
  } else {
    check.at("name").optional_name(metadata.name(), check_dns1123_subdomain);
  }
  check.at("namespace").optional_name(metadata.namespace_(), check_dns1123_label);
  check_labels(metadata.labels(), check.at("labels"));
  size_t bytes = 0;
  for (const auto& [key, value] : metadata.annotations()) {
    check.at("annotations").name(key, check_qualified_name);
    bytes += key.size() + value.size();
  }
  if (bytes > kMaxAnnotationBytes) check.at("annotations").too_long(bytes, kMaxAnnotationBytes, "bytes");
  for (const std::string& finalizer : metadata.finalizers()) {
    check.at("finalizers").name(finalizer, check_qualified_name);
  }
}

void check_dns(const core::PodSpec& spec, const Check& check) {
  check.at("dnsPolicy").one_of(spec.dns_policy(), {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"});
  const core::PodDNSConfig& config = spec.dns_config();
  const Check inside = check.at("dnsConfig");
  if (spec.dns_policy() == "None" && !spec.has_dns_config()) {
    inside.required("must be set when dnsPolicy is \"None\"");
  } else if (spec.dns_policy() == "None" && config.nameservers().empty()) {
    inside.at("nameservers").required("must have at least one entry when dnsPolicy is \"None\"");
  }
  if (config.nameservers_size() > kMaxNameservers) {
    inside.at("nameservers").too_long(config.nameservers_size(), kMaxNameservers, "entries");
  }
  for (int i = 0; i < config.nameservers_size(); ++i)
    inside.at("nameservers")[i].well_formed(config.nameservers(i), check_ip);
  if (config.searches_size() > kMaxSearches) {
    inside.at("searches").too_long(config.searches_size(), kMaxSearches, "entries");
  }
  size_t characters = 0;
  for (int i = 0; i < config.searches_size(); ++i) {
    std::string_view search = config.searches(i);
    characters += search.size() + 1;
    if (search == ".") continue;
    if (search.ends_with('.')) search.remove_suffix(1);
    inside.at("searches")[i].well_formed(search, check_dns1123_subdomain);
  }
  if (characters > kMaxSearchCharacters + 1) {
    inside.at("searches").too_long(characters - 1, kMaxSearchCharacters, "characters");
  }
  for (int i = 0; i < config.options_size(); ++i) {
    if (config.options(i).name().empty()) inside.at("options")[i].required();
  }
}

// What a pod asks for as a whole is no less than what its containers do.
void check_pod_resources(const core::PodSpec& spec, const Check& check) {
  const auto check_names = [](const auto& amounts, const Check& at) {
    for (const auto& [name, amount] : amounts) {
      if (!check_resource_name(name, at.key(name)) || is_huge_page(name)) continue;
      at.key(name).one_of(name, {"cpu", "memory"});
    }
  };
  check_names(spec.resources().limits(), check.at("limits"));
  check_names(spec.resources().requests(), check.at("requests"));
  const std::map<std::string, Quantity> of_containers = requests_of_containers(spec);
  // With limits it asks for what its containers do.
  core::ResourceRequirements whole = spec.resources();
  for (const char* name : {"cpu", "memory"}) {
    const auto needed = of_containers.find(name);
    if (whole.limits().empty() || whole.requests().contains(name) || needed == of_containers.end()) continue;
    (*whole.mutable_requests())[name].set_string(needed->second.to_string());
  }
  check_resource_amounts(whole, check);
  for (const auto& [name, needed] : of_containers) {
    const auto request = spec.resources().requests().find(name);
    if (request == spec.resources().requests().end()) continue;
    const Result<Quantity> amount = Quantity::parse(request->second.string());
    if (amount && needed.compare(*amount) > 0) {
      check.at("requests")
          .key(name)
          .invalid(request->second.string(), cat("must be at least the ", needed.to_string(), " of its containers"));
    }
  }
}

void check_sysctl_name(std::string_view name, const Check& check) {
  constexpr size_t kMaxSysctl = 253;
  if (name.empty()) return check.required();
  if (name.size() > kMaxSysctl) return check.invalid(name, cat("must have at most ", kMaxSysctl, " characters"));
  for (const char c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || std::string_view("-_./").find(c) != name.npos;
    if (!good) return check.invalid(name, "must be a kernel parameter, such as net.ipv4.ip_forward");
  }
}

void check_security_context(const core::PodSecurityContext& context, const Check& check) {
  if (context.has_run_as_user()) check.at("runAsUser").in_range(context.run_as_user(), 0, kMaxInt32);
  if (context.has_run_as_group()) check.at("runAsGroup").in_range(context.run_as_group(), 0, kMaxInt32);
  if (context.has_fs_group()) check.at("fsGroup").in_range(context.fs_group(), 0, kMaxInt32);
  for (int i = 0; i < context.supplemental_groups_size(); ++i) {
    check.at("supplementalGroups")[i].in_range(context.supplemental_groups(i), 0, kMaxInt32);
  }
  if (context.has_supplemental_groups_policy()) {
    check.at("supplementalGroupsPolicy").one_of(context.supplemental_groups_policy(), {"Merge", "Strict"});
  }
  if (context.has_fs_group_change_policy()) {
    check.at("fsGroupChangePolicy").one_of(context.fs_group_change_policy(), {"Always", "OnRootMismatch"});
  }
  std::set<std::string_view> names;
  for (int i = 0; i < context.sysctls_size(); ++i) {
    const Check name = check.at("sysctls")[i].at("name");
    check_sysctl_name(context.sysctls(i).name(), name);
    if (!names.insert(context.sysctls(i).name()).second) name.duplicate(context.sysctls(i).name());
  }
  if (context.has_seccomp_profile()) check_seccomp(context.seccomp_profile(), check.at("seccompProfile"));
  if (context.has_app_armor_profile()) check_app_armor(context.app_armor_profile(), check.at("appArmorProfile"));
}

void check_host_namespaces(const core::PodSpec& spec, const Check& check) {
  if (spec.share_process_namespace() && spec.host_pid()) {
    check.at("shareProcessNamespace").forbidden("can not be true when hostPID is true");
  }
  if (!spec.has_host_users() || spec.host_users()) return;
  if (spec.host_network()) check.at("hostNetwork").forbidden("can not be true when hostUsers is false");
  if (spec.host_pid()) check.at("hostPID").forbidden("can not be true when hostUsers is false");
  if (spec.host_ipc()) check.at("hostIPC").forbidden("can not be true when hostUsers is false");
}

void check_host_aliases(const core::PodSpec& spec, const Check& check) {
  for (int i = 0; i < spec.host_aliases_size(); ++i) {
    const core::HostAlias& alias = spec.host_aliases(i);
    check[i].at("ip").well_formed(alias.ip(), check_ip);
    for (int j = 0; j < alias.hostnames_size(); ++j) {
      check[i].at("hostnames")[j].well_formed(alias.hostnames(j), check_dns1123_subdomain);
    }
  }
}

void check_names(const core::PodSpec& spec, const Check& check) {
  check.at("hostname").optional_name(spec.hostname(), check_dns1123_label);
  check.at("subdomain").optional_name(spec.subdomain(), check_dns1123_label);
  if (spec.has_hostname_override()) {
    check.at("hostnameOverride").optional_name(spec.hostname_override(), check_dns1123_subdomain);
    if (spec.host_network()) check.at("hostnameOverride").forbidden("can not be set when hostNetwork is true");
    if (spec.set_hostname_as_fqdn()) {
      check.at("hostnameOverride").forbidden("can not be set when setHostnameAsFQDN is true");
    }
  }
  check.at("nodeName").optional_name(spec.node_name(), check_dns1123_subdomain);
  check.at("serviceAccountName").optional_name(spec.service_account_name(), check_dns1123_subdomain);
  check.at("priorityClassName").optional_name(spec.priority_class_name(), check_dns1123_subdomain);
  if (spec.has_runtime_class_name()) {
    check.at("runtimeClassName").well_formed(spec.runtime_class_name(), check_dns1123_subdomain);
  }
  for (int i = 0; i < spec.readiness_gates_size(); ++i) {
    const Check gate = check.at("readinessGates")[i].at("conditionType");
    gate.well_formed(spec.readiness_gates(i).condition_type(), check_qualified_name);
  }
}

void check_overhead(const core::PodSpec& spec, const Check& check) {
  for (const auto& [name, amount] : spec.overhead()) {
    check.name(name, check_qualified_name);
    const Result<Quantity> quantity = Quantity::parse(amount.string());
    if (quantity && quantity->is_negative()) check.key(name).invalid(amount.string(), "must not be negative");
  }
}

// Whatever a volume may take from the API server.
void check_static_volume(const core::VolumeSource& source, const Check& check) {
  const std::string_view reason = "a static pod can not use objects of the API";
  if (source.has_secret()) check.at("secret").forbidden(reason);
  if (source.has_config_map()) check.at("configMap").forbidden(reason);
  if (source.has_persistent_volume_claim()) check.at("persistentVolumeClaim").forbidden(reason);
  if (source.has_ephemeral()) check.at("ephemeral").forbidden(reason);
  for (int i = 0; i < source.projected().sources_size(); ++i) {
    const core::VolumeProjection& projection = source.projected().sources(i);
    const Check inside = check.at("projected").at("sources")[i];
    if (projection.has_secret()) inside.at("secret").forbidden(reason);
    if (projection.has_config_map()) inside.at("configMap").forbidden(reason);
    if (projection.has_service_account_token()) inside.at("serviceAccountToken").forbidden(reason);
    if (projection.has_cluster_trust_bundle()) inside.at("clusterTrustBundle").forbidden(reason);
    if (projection.has_pod_certificate()) inside.at("podCertificate").forbidden(reason);
  }
}

void check_static_container(const core::Container& container, const Check& check) {
  const std::string_view reason = "a static pod can not use objects of the API";
  for (int i = 0; i < container.env_size(); ++i) {
    const core::EnvVarSource& source = container.env(i).value_from();
    const Check inside = check.at("env")[i].at("valueFrom");
    if (source.has_config_map_key_ref()) inside.at("configMapKeyRef").forbidden(reason);
    if (source.has_secret_key_ref()) inside.at("secretKeyRef").forbidden(reason);
  }
  for (int i = 0; i < container.env_from_size(); ++i) check.at("envFrom")[i].forbidden(reason);
}

}  // namespace

void check_tolerations(const google::protobuf::RepeatedPtrField<core::Toleration>& tolerations, const Check& check) {
  for (int i = 0; i < tolerations.size(); ++i) {
    const core::Toleration& toleration = tolerations[i];
    const Check inside = check[i];
    inside.at("key").optional_name(toleration.key(), check_qualified_name);
    const std::string& op = toleration.operator_();
    if (toleration.key().empty() && op != "Exists") {
      inside.at("operator").invalid(op, "must be Exists when key is empty, which means all keys");
    }
    if (op == "Exists" && !toleration.value().empty()) {
      inside.at("operator").invalid(toleration.value(), "value must be empty when operator is Exists");
    }
    if (op.empty() || op == "Equal") inside.at("operator").optional_name(toleration.value(), check_label_value);
    if (!op.empty()) inside.at("operator").one_of(op, {"Equal", "Exists", "Lt", "Gt"});
    const std::string& effect = toleration.effect();
    if (!effect.empty()) inside.at("effect").one_of(effect, {"NoSchedule", "PreferNoSchedule", "NoExecute"});
    if (toleration.has_toleration_seconds() && effect != "NoExecute") {
      inside.at("effect").invalid(effect, "must be NoExecute when tolerationSeconds is set");
    }
  }
}

void check_pod_spec(const core::PodSpec& spec, const Check& check) {
  check_volumes(spec, check.at("volumes"));
  check_containers(spec, check);
  check.at("restartPolicy").one_of(spec.restart_policy(), {"Always", "OnFailure", "Never"});
  if (spec.has_termination_grace_period_seconds()) {
    check.at("terminationGracePeriodSeconds").not_negative(spec.termination_grace_period_seconds());
  }
  if (spec.has_active_deadline_seconds()) {
    check.at("activeDeadlineSeconds").in_range(spec.active_deadline_seconds(), 1, kMaxInt32);
  }
  check_dns(spec, check);
  check_labels(spec.node_selector(), check.at("nodeSelector"));
  check_names(spec, check);
  check_host_namespaces(spec, check);
  if (spec.has_security_context()) check_security_context(spec.security_context(), check.at("securityContext"));
  check_placement(spec, check);
  check_tolerations(spec.tolerations(), check.at("tolerations"));
  check_host_aliases(spec, check.at("hostAliases"));
  check_overhead(spec, check.at("overhead"));
  if (spec.has_os() && spec.os().name().empty()) {
    check.at("os").at("name").required();
  } else if (spec.has_os()) {
    check.at("os").one_of(spec.os().name(), {"linux", "windows"});
  }
  if (spec.has_preemption_policy() && spec.preemption_policy().empty()) {
    check.at("preemptionPolicy").required();
  } else if (spec.has_preemption_policy()) {
    check.at("preemptionPolicy").one_of(spec.preemption_policy(), {"Never", "PreemptLowerPriority"});
  }
  if (spec.has_resources()) check_pod_resources(spec, check.at("resources"));
}

FieldProblems validate_pod(const core::Pod& pod) {
  FieldProblems problems;
  const Check root(&problems);
  check_metadata(pod, root.at("metadata"));
  check_pod_spec(pod.spec(), root.at("spec"));
  return problems;
}

FieldProblems validate_static_pod(const core::Pod& pod) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const core::PodSpec& spec = pod.spec();
  if (!spec.service_account_name().empty()) {
    check.at("serviceAccountName").forbidden("a static pod has no service account");
  }
  if (spec.ephemeral_containers_size() > 0) {
    check.at("ephemeralContainers").forbidden("are added to a running pod through the API");
  }
  if (spec.resource_claims_size() > 0)
    check.at("resourceClaims").forbidden("a static pod can not use objects of the API");
  for (int i = 0; i < spec.volumes_size(); ++i) {
    check_static_volume(spec.volumes(i).volume_source(), check.at("volumes")[i]);
  }
  for (int i = 0; i < spec.init_containers_size(); ++i) {
    check_static_container(spec.init_containers(i), check.at("initContainers")[i]);
  }
  for (int i = 0; i < spec.containers_size(); ++i) {
    check_static_container(spec.containers(i), check.at("containers")[i]);
  }
  return problems;
}

}  // namespace gantry::api
