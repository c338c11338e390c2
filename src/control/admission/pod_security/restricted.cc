// SPDX-License-Identifier: Apache-2.0
// The level restricted: what a pod that is hardened as one knows how to does not need.
#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "control/admission/pod_security/check.h"

namespace gantry::control::pod_security {

namespace {

// The kind of a volume that is not among those which a pod may name by itself; "" for one that is.
std::string_view restricted_volume(const core::VolumeSource& source) {
  if (source.has_config_map() || source.has_csi() || source.has_downward_api() || source.has_empty_dir() ||
      source.has_ephemeral() || source.has_image() || source.has_persistent_volume_claim() || source.has_projected() ||
      source.has_secret()) {
    return "";
  }
  if (source.has_host_path()) return "hostPath";
  if (source.has_gce_persistent_disk()) return "gcePersistentDisk";
  if (source.has_aws_elastic_block_store()) return "awsElasticBlockStore";
  if (source.has_git_repo()) return "gitRepo";
  if (source.has_nfs()) return "nfs";
  if (source.has_iscsi()) return "iscsi";
  if (source.has_glusterfs()) return "glusterfs";
  if (source.has_rbd()) return "rbd";
  if (source.has_flex_volume()) return "flexVolume";
  if (source.has_cinder()) return "cinder";
  if (source.has_cephfs()) return "cephfs";
  if (source.has_flocker()) return "flocker";
  if (source.has_fc()) return "fc";
  if (source.has_azure_file()) return "azureFile";
  if (source.has_vsphere_volume()) return "vsphereVolume";
  if (source.has_quobyte()) return "quobyte";
  if (source.has_azure_disk()) return "azureDisk";
  if (source.has_photon_persistent_disk()) return "photonPersistentDisk";
  if (source.has_portworx_volume()) return "portworxVolume";
  if (source.has_scale_io()) return "scaleIO";
  if (source.has_storageos()) return "storageos";
  return "unknown";
}

}  // namespace

Finding check_escalation(const PodView& pod) {
  Names names;
  for (const ContainerView& container : pod.containers) {
    const core::SecurityContext& security = container.security;
    if (!security.has_allow_privilege_escalation() || security.allow_privilege_escalation()) {
      names.push_back(container.name);
    }
  }
  if (names.empty()) return {};
  return {{"allowPrivilegeEscalation != false",
           cat(containers(names), " must set securityContext.allowPrivilegeEscalation=false")}};
}
// Windows has none of this, and validation refuses that a Windows pod says it.
Finding check_escalation_1_25(const PodView& pod) { return pod.is_windows() ? Finding() : check_escalation(pod); }

Finding check_capabilities(const PodView& pod) {
  Names keeping;
  Names adding;
  Words added;
  for (const ContainerView& container : pod.containers) {
    const core::Capabilities& capabilities = container.security.capabilities();
    if (std::ranges::find(capabilities.drop(), "ALL") == capabilities.drop().end()) keeping.push_back(container.name);
    bool is_bad = false;
    for (const std::string& name : capabilities.add()) {
      if (name == "NET_BIND_SERVICE") continue;
      is_bad = true;
      added.insert(name);
    }
    if (is_bad) adding.push_back(container.name);
  }
  std::string what;
  if (!keeping.empty()) what = cat(containers(keeping), R"( must set securityContext.capabilities.drop=["ALL"])");
  if (!adding.empty()) {
    what += cat(what.empty() ? "" : "; ", containers(adding), " must not include ", quote_all(added),
                " in securityContext.capabilities.add");
  }
  if (what.empty()) return {};
  return {{"unrestricted capabilities", what}};
}
Finding check_capabilities_1_25(const PodView& pod) { return pod.is_windows() ? Finding() : check_capabilities(pod); }

Finding check_volumes(const PodView& pod) {
  Names names;
  Words kinds;
  for (const core::Volume& volume : pod.spec.volumes()) {
    const std::string_view kind = restricted_volume(volume.volume_source());
    if (kind.empty()) continue;
    names.push_back(volume.name());
    kinds.emplace(kind);
  }
  if (names.empty()) return {};
  return {{"restricted volume types",
           cat(one_or_many("volume", "volumes", names.size()), " ", quote_all(names), " ",
               one_or_many("uses", "use", names.size()), " ",
               one_or_many("restricted volume type", "restricted volume types", kinds.size()), " ", quote_all(kinds))}};
}

Finding check_non_root(const PodView& pod) {
  const bool pod_refuses = pod.security.has_run_as_non_root() && !pod.security.run_as_non_root();
  Names refusing;
  Names silent;
  for (const ContainerView& container : pod.containers) {
    if (container.security.has_run_as_non_root()) {
      if (!container.security.run_as_non_root()) refusing.push_back(container.name);
    } else if (!pod.security.run_as_non_root()) {
      silent.push_back(container.name);
    }
  }
  constexpr char kReason[] = "runAsNonRoot != true";
  if (pod_refuses || !refusing.empty()) {
    return {{kReason, cat(setters(pod_refuses, refusing), " must not set securityContext.runAsNonRoot=false")}};
  }
  if (silent.empty()) return {};
  return {{kReason, cat("pod or ", containers(silent), " must set securityContext.runAsNonRoot=true")}};
}
// Root of a user namespace of its own is nobody on the node.
Finding check_non_root_1_35(const PodView& pod) { return pod.has_user_namespace() ? Finding() : check_non_root(pod); }

Finding check_user(const PodView& pod) {
  const bool is_pod = pod.security.has_run_as_user() && pod.security.run_as_user() == 0;
  Names names;
  for (const ContainerView& container : pod.containers) {
    if (container.security.has_run_as_user() && container.security.run_as_user() == 0) names.push_back(container.name);
  }
  if (!is_pod && names.empty()) return {};
  return {{"runAsUser=0", cat(setters(is_pod, names), " must not set runAsUser=0")}};
}
Finding check_user_1_35(const PodView& pod) { return pod.has_user_namespace() ? Finding() : check_user(pod); }

Finding check_seccomp_set(const PodView& pod) {
  if (Finding bad = check_seccomp(pod)) return bad;
  if (pod.security.has_seccomp_profile()) return {};
  Names names;
  for (const ContainerView& container : pod.containers) {
    if (!is_confined(container.security.seccomp_profile().type())) names.push_back(container.name);
  }
  if (names.empty()) return {};
  return {
      {"seccompProfile", cat("pod or ", containers(names),
                             R"( must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")")}};
}
Finding check_seccomp_set_1_25(const PodView& pod) { return pod.is_windows() ? Finding() : check_seccomp_set(pod); }

}  // namespace gantry::control::pod_security
