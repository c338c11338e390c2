// SPDX-License-Identifier: Apache-2.0
// Where the data of a PersistentVolume is: the fields of each source that is served, and the nodes that reach it.
#include "api/kinds/core/persistent_volume_rules.h"
#include "api/kinds/core/pod_rules.h"
#include "api/names.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr int32_t kMaxLun = 255;

void check_secret(const core::SecretReference& secret, const Check& check) {
  check.at("name").name(secret.name(), check_dns1123_subdomain);
  check.at("namespace").name(secret.namespace_(), check_dns1123_label);
}

void check_csi(const core::CSIPersistentVolumeSource& source, const Check& check) {
  check_csi_driver_name(source.driver(), check.at("driver"));
  if (source.volume_handle().empty()) check.at("volumeHandle").required();
  if (source.has_controller_publish_secret_ref()) {
    check_secret(source.controller_publish_secret_ref(), check.at("controllerPublishSecretRef"));
  }
  if (source.has_controller_expand_secret_ref()) {
    check_secret(source.controller_expand_secret_ref(), check.at("controllerExpandSecretRef"));
  }
  if (source.has_node_publish_secret_ref()) {
    check_secret(source.node_publish_secret_ref(), check.at("nodePublishSecretRef"));
  }
  if (source.has_node_expand_secret_ref()) {
    check_secret(source.node_expand_secret_ref(), check.at("nodeExpandSecretRef"));
  }
}

// "iqn.2001-04.com.example:storage", "eui.…", "naa.…"
bool is_initiator(std::string_view name) {
  return name.starts_with("iqn.") || name.starts_with("eui.") || name.starts_with("naa.");
}

void check_iscsi(const core::ISCSIPersistentVolumeSource& source, const Check& check) {
  if (source.target_portal().empty()) check.at("targetPortal").required();
  if (source.iqn().empty()) {
    check.at("iqn").required();
  } else if (!is_initiator(source.iqn())) {
    check.at("iqn").invalid(source.iqn(), "must begin with iqn., eui. or naa.");
  }
  if (source.lun() < 0 || source.lun() > kMaxLun) check.at("lun").in_range(source.lun(), 0, kMaxLun);
  const bool has_secret = source.has_secret_ref();
  if ((source.chap_auth_discovery() || source.chap_auth_session()) && !has_secret) check.at("secretRef").required();
  if (has_secret && source.secret_ref().name().empty()) check.at("secretRef").at("name").required();
  if (source.has_initiator_name() && !is_initiator(source.initiator_name())) {
    check.at("initiatorname").invalid(source.initiator_name(), "must begin with iqn., eui. or naa.");
  }
}

}  // namespace

void check_persistent_source(const core::PersistentVolumeSpec& spec, const Check& check) {
  const core::PersistentVolumeSource& source = spec.persistent_volume_source();
  if (source.has_host_path()) check_host_path(source.host_path(), check.at("hostPath"));
  if (source.has_nfs()) check_nfs(source.nfs(), check.at("nfs"));
  if (source.has_local()) {
    if (source.local().path().empty()) check.at("local").at("path").required();
    check_no_dot_dot(source.local().path(), check.at("local").at("path"));
    if (!spec.has_node_affinity()) check.at("nodeAffinity").required("a local volume is on one node");
  }
  if (source.has_csi()) check_csi(source.csi(), check.at("csi"));
  if (source.has_iscsi()) check_iscsi(source.iscsi(), check.at("iscsi"));
}

void check_volume_affinity(const core::PersistentVolumeSpec& spec, const Check& check) {
  if (!spec.has_node_affinity()) return;
  if (!spec.node_affinity().has_required()) return check.at("required").required();
  check_node_selector(spec.node_affinity().required(), check.at("required"));
}

}  // namespace gantry::api
