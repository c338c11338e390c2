// SPDX-License-Identifier: Apache-2.0
// What the checks of the Pod Security Standards are made of: a pod as they see it, and the words that they share.
// Inside this folder only.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/admission/pod_security/checks.h"
#include "kubernetes/core/v1/container.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::pod_security {

namespace core = k8s::io::api::core::v1;
using k8s::io::apimachinery::pkg::apis::meta::v1::ObjectMeta;

// A container of any of the three kinds. What is absent is empty: rules ask for fields, not for what holds them.
struct ContainerView {
  const std::string& name;
  const core::SecurityContext& security;
  const google::protobuf::RepeatedPtrField<core::ContainerPort>& ports;
  const core::Probe& liveness;
  const core::Probe& readiness;
  const core::Probe& startup;
  const core::Lifecycle& lifecycle;
};

struct PodView {
  PodView(const ObjectMeta& metadata, const core::PodSpec& spec);

  const ObjectMeta& metadata;
  const core::PodSpec& spec;
  const core::PodSecurityContext& security;
  std::vector<ContainerView> containers;  // init containers, containers, ephemeral ones

  bool is_windows() const { return spec.os().name() == "windows"; }
  bool has_user_namespace() const { return spec.has_host_users() && !spec.host_users(); }
};

// Empty: the pod keeps the rule.
using Finding = std::optional<PodSecurityViolation>;
using CheckPod = Finding (*)(const PodView& pod);

using Names = std::vector<std::string>;
// Sorted, each once.
using Words = std::set<std::string>;

// `"a", "b"`
std::string quote_all(const Names& names);
std::string quote_all(const Words& words);
std::string_view one_or_many(std::string_view one, std::string_view many, std::size_t count);
// `container "a"`, `containers "a", "b"`
std::string containers(const Names& names);
// `pod and container "a"`
std::string setters(bool is_pod, const Names& names);

// The profile types that both AppArmor and seccomp have and that keep a pod in its place.
inline bool is_confined(std::string_view type) { return type == "RuntimeDefault" || type == "Localhost"; }

// --- baseline ---
Finding check_app_armor(const PodView& pod);
Finding check_added_capabilities(const PodView& pod);
Finding check_host_namespaces(const PodView& pod);
Finding check_host_paths(const PodView& pod);
Finding check_host_ports(const PodView& pod);
Finding check_probed_hosts(const PodView& pod);
Finding check_privileged(const PodView& pod);
Finding check_proc_mount(const PodView& pod);
Finding check_proc_mount_on_host(const PodView& pod);  // in a user namespace it is the pod's own
Finding check_se_linux(const PodView& pod);
Finding check_se_linux_1_31(const PodView& pod);
Finding check_seccomp_annotations(const PodView& pod);
Finding check_seccomp(const PodView& pod);
Finding check_sysctls(const PodView& pod);
Finding check_sysctls_1_27(const PodView& pod);
Finding check_sysctls_1_29(const PodView& pod);
Finding check_sysctls_1_32(const PodView& pod);
Finding check_sysctls_1_37(const PodView& pod);
Finding check_windows_host_process(const PodView& pod);

// --- restricted ---
Finding check_escalation(const PodView& pod);
Finding check_escalation_1_25(const PodView& pod);
Finding check_capabilities(const PodView& pod);
Finding check_capabilities_1_25(const PodView& pod);
Finding check_volumes(const PodView& pod);
Finding check_non_root(const PodView& pod);
Finding check_non_root_1_35(const PodView& pod);
Finding check_user(const PodView& pod);
Finding check_user_1_35(const PodView& pod);
Finding check_seccomp_set(const PodView& pod);
Finding check_seccomp_set_1_25(const PodView& pod);

}  // namespace gantry::control::pod_security
