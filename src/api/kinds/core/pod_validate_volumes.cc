// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>

#include "api/kinds/core/claim.h"
#include "api/kinds/core/pod_rules.h"
#include "api/names.h"
#include "api/object_meta.h"
#include "api/quantity.h"
#include "api/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

bool has_dot_dot(std::string_view path) {
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (path.substr(0, slash) == "..") return true;
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return false;
}

void check_key_path(std::string_view path, const Check& check) {
  if (path.empty()) return check.required();
  check_inner_path(path, check);
  if (path.starts_with("..")) check.invalid(path, "must not begin with '..'");
}

template <typename Items>
void check_items(const Items& items, const Check& check) {
  for (int i = 0; i < items.size(); ++i) {
    if (items[i].key().empty()) check[i].at("key").required();
    check_key_path(items[i].path(), check[i].at("path"));
    if (items[i].has_mode()) check_mode(items[i].mode(), check[i].at("mode"));
  }
}

// Its fields are told without the item's number, as upstream tells them.
void check_downward_items(const google::protobuf::RepeatedPtrField<core::DownwardAPIVolumeFile>& items,
                          const Check& check) {
  for (int i = 0; i < items.size(); ++i) {
    const core::DownwardAPIVolumeFile& item = items[i];
    check_key_path(item.path(), check.at("path"));
    if (item.has_mode()) check_mode(item.mode(), check.at("mode"));
    if (item.has_field_ref() && item.has_resource_field_ref()) {
      check.invalid("", "fieldRef and resourceFieldRef can not both be set");
    } else if (!item.has_field_ref() && !item.has_resource_field_ref()) {
      check.required("one of fieldRef and resourceFieldRef must be set");
    }
    if (item.has_field_ref()) {
      static constexpr std::string_view kFields[] = {"metadata.annotations", "metadata.labels", "metadata.name",
                                                     "metadata.namespace", "metadata.uid"};
      check_field_path(item.field_ref().field_path(), kFields, check.at("fieldRef").at("fieldPath"));
    }
    if (item.has_resource_field_ref()) {
      check_resource_field(item.resource_field_ref(), true, check.at("resourceFieldRef"));
    }
  }
}

void check_empty_dir(const core::EmptyDirVolumeSource& source, const Check& check) {
  const std::string& medium = source.medium();
  if (!medium.starts_with("HugePages-")) check.at("medium").one_of(medium, {"", "Memory", "HugePages"});
  if (!source.has_size_limit()) return;
  const Result<Quantity> limit = Quantity::parse(source.size_limit().string());
  if (limit && limit->is_negative())
    check.at("sizeLimit").invalid(source.size_limit().string(), "must not be negative");
}

void check_projection(const core::VolumeProjection& source, const Check& check) {
  std::vector<const google::protobuf::FieldDescriptor*> set;
  source.GetReflection()->ListFields(source, &set);
  if (set.empty()) return;
  for (size_t i = 1; i < set.size(); ++i) {
    check.at(set[i]->json_name()).forbidden(cat("can not be set beside ", set[0]->json_name()));
  }
  if (source.has_secret()) {
    if (source.secret().local_object_reference().name().empty()) check.at("secret").at("name").required();
    check_items(source.secret().items(), check.at("secret").at("items"));
  }
  if (source.has_config_map()) {
    if (source.config_map().local_object_reference().name().empty()) check.at("configMap").at("name").required();
    check_items(source.config_map().items(), check.at("configMap").at("items"));
  }
  if (source.has_downward_api()) {
    check_downward_items(source.downward_api().items(), check.at("downwardAPI"));
  }
  if (source.has_service_account_token()) {
    const core::ServiceAccountTokenProjection& token = source.service_account_token();
    check_key_path(token.path(), check.at("serviceAccountToken").at("path"));
    check.at("serviceAccountToken").at("expirationSeconds").in_range(token.expiration_seconds(), 600, int64_t{1} << 32);
  }
  if (source.has_cluster_trust_bundle()) {
    check_key_path(source.cluster_trust_bundle().path(), check.at("clusterTrustBundle").at("path"));
  }
}

void check_csi(const core::CSIVolumeSource& source, const Check& check) {
  check_csi_driver_name(source.driver(), check.at("driver"));
  if (!source.has_node_publish_secret_ref()) return;
  const std::string& secret = source.node_publish_secret_ref().name();
  if (secret.empty()) return check.at("nodePublishSecretRef").at("name").required();
  check.at("name").well_formed(secret, check_dns1123_subdomain);  // upstream's place for it
}

// What a claim must say that is made for one pod.
void check_ephemeral(const core::EphemeralVolumeSource& source, const Check& check) {
  if (!source.has_volume_claim_template()) return check.required();
  const core::PersistentVolumeClaimTemplate& claim = source.volume_claim_template();
  check_labels(claim.metadata().labels(), check.at("metadata").at("labels"));
  check_claim_spec(claim.spec(), check.at("spec"));
}

// Each file of a projected volume comes from one of its sources.
void check_projected_paths(const core::ProjectedVolumeSource& volume, const Check& check) {
  std::set<std::string_view> paths;
  const auto add = [&](const std::string& path) {
    if (!path.empty() && !paths.insert(path).second) check.invalid(path, "is the path of two sources");
  };
  for (const core::VolumeProjection& source : volume.sources()) {
    for (const core::KeyToPath& item : source.secret().items()) add(item.path());
    for (const core::KeyToPath& item : source.config_map().items()) add(item.path());
    for (const core::DownwardAPIVolumeFile& item : source.downward_api().items()) add(item.path());
    add(source.cluster_trust_bundle().path());
  }
}

// The sources that a node without cloud and storage classes serves are checked field by field; of the others, that they
// stand alone.
void check_source_fields(const core::VolumeSource& source, const Check& check) {
  if (source.has_host_path()) check_host_path(source.host_path(), check.at("hostPath"));
  if (source.has_empty_dir()) check_empty_dir(source.empty_dir(), check.at("emptyDir"));
  if (source.has_secret()) {
    const Check inside = check.at("secret");
    if (source.secret().secret_name().empty()) inside.at("secretName").required();
    check_mode(source.secret().default_mode(), inside.at("defaultMode"));
    check_items(source.secret().items(), inside.at("items"));
  }
  if (source.has_config_map()) {
    const Check inside = check.at("configMap");
    if (source.config_map().local_object_reference().name().empty()) inside.at("name").required();
    check_mode(source.config_map().default_mode(), inside.at("defaultMode"));
    check_items(source.config_map().items(), inside.at("items"));
  }
  if (source.has_downward_api()) {
    check_mode(source.downward_api().default_mode(), check.at("downwardAPI").at("defaultMode"));
    check_downward_items(source.downward_api().items(), check.at("downwardAPI"));
  }
  if (source.has_projected()) {
    const Check inside = check.at("projected");
    check_mode(source.projected().default_mode(), inside.at("defaultMode"));
    for (int i = 0; i < source.projected().sources_size(); ++i) {
      check_projection(source.projected().sources(i), inside.at("sources")[i]);
    }
    check_projected_paths(source.projected(), inside);
  }
  if (source.has_persistent_volume_claim() && source.persistent_volume_claim().claim_name().empty()) {
    check.at("persistentVolumeClaim").at("claimName").required();
  }
  if (source.has_nfs()) check_nfs(source.nfs(), check.at("nfs"));
  if (source.has_csi()) check_csi(source.csi(), check.at("csi"));
  if (source.has_ephemeral()) check_ephemeral(source.ephemeral(), check.at("ephemeral").at("volumeClaimTemplate"));
  if (source.has_image()) {
    if (source.image().reference().empty()) check.at("image").at("reference").required();
    check.at("image").at("pullPolicy").one_of(source.image().pull_policy(), {"Always", "IfNotPresent", "Never"});
  }
}

}  // namespace

void check_mode(int32_t mode, const Check& check) {
  if (mode < 0 || mode > 0777) check.invalid(mode, "must be between 0 and 0777 (octal; 511 in decimal)");
}

void check_no_dot_dot(std::string_view path, const Check& check) {
  if (has_dot_dot(path)) check.invalid(path, "must not contain '..'");
}

void check_inner_path(std::string_view path, const Check& check) {
  if (path.starts_with('/')) return check.invalid(path, "must be a relative path");
  check_no_dot_dot(path, check);
}

void check_host_path(const core::HostPathVolumeSource& source, const Check& check) {
  if (source.path().empty()) {
    check.at("path").required();
  } else {
    check_no_dot_dot(source.path(), check.at("path"));
  }
  check.at("type").one_of(source.type(), {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File",
                                          "FileOrCreate", "Socket"});
}

void check_nfs(const core::NFSVolumeSource& source, const Check& check) {
  if (source.server().empty()) check.at("server").required();
  if (source.path().empty()) check.at("path").required();
  if (!source.path().starts_with('/')) check.at("path").invalid(source.path(), "must be absolute");
}

void check_csi_driver_name(std::string_view name, const Check& check) {
  constexpr size_t kMaxDriverName = 63;
  if (name.size() > kMaxDriverName) check.too_long(name.size(), kMaxDriverName, "characters");
  check.name(name, [](std::string_view text) { return check_dns1123_subdomain(lowered(text)); });
}

void check_volume_source(const core::Volume& volume, const Check& check) {
  const core::VolumeSource& source = volume.volume_source();
  std::vector<const google::protobuf::FieldDescriptor*> set;
  source.GetReflection()->ListFields(source, &set);
  if (set.empty()) return check.required("a volume source must be set");
  for (size_t i = 1; i < set.size(); ++i) {
    check.at(set[i]->json_name()).forbidden(cat("a volume has one source, and ", set[0]->json_name(), " is set"));
  }
  check_source_fields(source, check);
}

void check_volumes(const core::PodSpec& spec, const Check& check) {
  std::set<std::string_view> names;
  for (int i = 0; i < spec.volumes_size(); ++i) {
    const core::Volume& volume = spec.volumes(i);
    check[i].at("name").name(volume.name(), check_dns1123_label);
    if (!volume.name().empty() && !names.insert(volume.name()).second) check[i].at("name").duplicate(volume.name());
    check_volume_source(volume, check[i]);
  }
}

}  // namespace gantry::api
