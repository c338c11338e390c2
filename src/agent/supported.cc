// SPDX-License-Identifier: Apache-2.0
#include "agent/supported.h"

#include <array>
#include <string_view>

#include "agent/container_spec.h"
#include "api/check.h"
#include "api/text.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "volumes/config_volume.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using api::Check;

constexpr std::string_view kNotYet = "is not supported yet; leave it out";

void refuse(bool asked, const Check& check, std::string_view field, std::string_view why = kNotYet) {
  if (asked) check.at(field).forbidden(why);
}

// Who uses too much of the disk is evicted, and pods of manifests never are.
void check_resources(const core::ResourceRequirements& resources, PodOrigin origin, const Check& check) {
  const auto is_enforced = [origin](std::string_view name) {
    return name == "cpu" || name == "memory" || name.starts_with("hugepages-") ||
           (name == "ephemeral-storage" && origin == PodOrigin::kApiServer);
  };
  for (const auto& [name, amount] : resources.limits()) {
    if (!is_enforced(name)) check.at("limits").key(name).forbidden(kNotYet);
  }
  for (const auto& [name, amount] : resources.requests()) {
    // Nothing is promised by a request for disk; other resources have to be found first. What a limit implied was said.
    if (!is_enforced(name) && name != "ephemeral-storage" && !resources.limits().contains(name)) {
      check.at("requests").key(name).forbidden(kNotYet);
    }
  }
  refuse(resources.claims_size() > 0, check, "claims");
}

void check_env(const core::Container& container, const Check& check) {
  for (int i = 0; i < container.env_size(); ++i) {
    const core::EnvVarSource& source = container.env(i).value_from();
    const Check inside = check.at("env")[i].at("valueFrom");
    refuse(source.has_file_key_ref(), inside, "fileKeyRef");
  }
}

void check_mounts(const core::Container& container, const Check& check) {
  for (int i = 0; i < container.volume_mounts_size(); ++i) {
    const core::VolumeMount& mount = container.volume_mounts(i);
    const Check inside = check.at("volumeMounts")[i];
    refuse(mount.bind_mount_options_size() > 0, inside, "bindMountOptions");
  }
}

// What upstream has behind feature gates that are off.
void check_probe(const core::Probe& probe, const Check& check) {
  refuse(probe.handler().http_get().protocol() == "HTTP2", check.at("httpGet"), "protocol");
  refuse(probe.handler().grpc().mode() == "TLS", check.at("grpc"), "mode");
}

void check_container(const core::Container& container, PodOrigin origin, const Check& check) {
  check_probe(container.liveness_probe(), check.at("livenessProbe"));
  check_probe(container.readiness_probe(), check.at("readinessProbe"));
  check_probe(container.startup_probe(), check.at("startupProbe"));
  for (int i = 0; i < container.restart_policy_rules_size(); ++i) {
    refuse(container.restart_policy_rules(i).action() != "Restart", check.at("restartPolicyRules")[i], "action");
  }
  check_resources(container.resources(), origin, check.at("resources"));
  check_env(container, check);
  check_mounts(container, check);
  const core::SecurityContext& security = container.security_context();
  refuse(security.has_windows_options(), check.at("securityContext"), "windowsOptions", "this node runs Linux");
}

// The owner of a single file is of a later time.
void check_facts(const google::protobuf::RepeatedPtrField<core::DownwardAPIVolumeFile>& items, const Check& check) {
  for (int i = 0; i < items.size(); ++i) {
    refuse(items[i].has_user(), check.at("items")[i], "user");
  }
}

void check_keys(const google::protobuf::RepeatedPtrField<core::KeyToPath>& items, const Check& check) {
  for (int i = 0; i < items.size(); ++i) refuse(items[i].has_user(), check.at("items")[i], "user");
}

// A static pod knows nothing of the API's objects.
void check_config_volume(const core::VolumeSource& source, const Check& check, PodOrigin origin) {
  constexpr std::string_view kStatic = "a static pod can not refer to objects of the API";
  if (origin == PodOrigin::kManifest) {
    refuse(source.has_config_map(), check, "configMap", kStatic);
    refuse(source.has_secret(), check, "secret", kStatic);
    refuse(source.has_projected(), check, "projected", kStatic);
  }
  check_facts(source.downward_api().items(), check.at("downwardAPI"));
  check_keys(source.config_map().items(), check.at("configMap"));
  check_keys(source.secret().items(), check.at("secret"));
  refuse(source.config_map().has_default_user(), check.at("configMap"), "defaultUser");
  refuse(source.secret().has_default_user(), check.at("secret"), "defaultUser");
  refuse(source.downward_api().has_default_user(), check.at("downwardAPI"), "defaultUser");
  const Check projected = check.at("projected");
  refuse(source.projected().has_default_user(), projected, "defaultUser");
  for (int i = 0; i < source.projected().sources_size(); ++i) {
    const auto& one = source.projected().sources(i);
    const Check inside = projected.at("sources")[i];
    refuse(one.has_cluster_trust_bundle(), inside, "clusterTrustBundle");
    refuse(one.has_pod_certificate(), inside, "podCertificate");
    refuse(one.service_account_token().has_user(), inside.at("serviceAccountToken"), "user");
    check_facts(one.downward_api().items(), inside.at("downwardAPI"));
    check_keys(one.config_map().items(), inside.at("configMap"));
    check_keys(one.secret().items(), inside.at("secret"));
  }
}

void check_volumes(const core::PodSpec& spec, const Check& check, PodOrigin origin) {
  for (int i = 0; i < spec.volumes_size(); ++i) {
    const core::Volume& volume = spec.volumes(i);
    const core::VolumeSource& source = volume.volume_source();
    if (source.has_empty_dir()) {
      const core::EmptyDirVolumeSource& empty = source.empty_dir();
      const Check inside = check[i].at("emptyDir");
      refuse(empty.has_size_limit() && empty.medium().empty() && origin == PodOrigin::kManifest, inside,
             "sizeLimit", "is not enforced on disk for pods of manifests; leave it out, or set medium: Memory");
      continue;
    }
    if (source.has_host_path() || source.has_persistent_volume_claim() || source.has_ephemeral() || source.has_image())
      continue;
    if (volumes::is_config_volume(volume)) {
      check_config_volume(source, check[i], origin);
      continue;
    }
    std::vector<const google::protobuf::FieldDescriptor*> set;
    source.GetReflection()->ListFields(source, &set);
    for (const auto* field : set) {
      check[i]
          .at(field->json_name())
          .forbidden(cat("volume ", api::quoted(volume.name()), ": volumes of the kind ", field->json_name(),
                         " are not supported yet"));
    }
  }
}

void check_pod_security(const core::PodSecurityContext& security, const Check& check) {
  refuse(security.has_windows_options(), check, "windowsOptions", "this node runs Linux");
  refuse(security.has_se_linux_change_policy(), check, "seLinuxChangePolicy");
}

}  // namespace

api::FieldProblems validate_supported(const core::Pod& pod, PodOrigin origin) {
  api::FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const core::PodSpec& spec = pod.spec();
  for (int i = 0; i < spec.init_containers_size(); ++i) {
    check_container(spec.init_containers(i), origin, check.at("initContainers")[i]);
  }
  for (int i = 0; i < spec.containers_size(); ++i) {
    check_container(spec.containers(i), origin, check.at("containers")[i]);
  }
  for (int i = 0; i < spec.ephemeral_containers_size(); ++i) {
    check_container(as_container(spec.ephemeral_containers(i)), origin, check.at("ephemeralContainers")[i]);
  }
  check_volumes(spec, check.at("volumes"), origin);
  check_pod_security(spec.security_context(), check.at("securityContext"));
  check_resources(spec.resources(), origin, check.at("resources"));
  // Who bound the pod to this node has looked at them.
  if (origin == PodOrigin::kManifest) {
    refuse(spec.readiness_gates_size() > 0, check, "readinessGates", "need an API server that sets the conditions");
    refuse(spec.node_selector_size() > 0, check, "nodeSelector");
    refuse(spec.has_affinity(), check, "affinity");
    refuse(spec.has_runtime_class_name(), check, "runtimeClassName", "needs an API server that has the class");
    refuse(spec.overhead_size() > 0, check, "overhead", "is its runtime class's to say");
    refuse(spec.scheduling_gates_size() > 0, check, "schedulingGates", "a static pod is not scheduled");
  }
  // Of a pod that is bound to this node it is said as kubelet says it (admission.h).
  if (origin == PodOrigin::kManifest) refuse(spec.os().name() == "windows", check, "os", "this node runs Linux");
  return problems;
}

}  // namespace gantry::agent
