// SPDX-License-Identifier: Apache-2.0
// The compiled Kubernetes types against the table of the published ones, markers included, for every message that we
// have.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "kubernetes/apidiscovery/v2/discovery.pb.h"
#include "kubernetes/apps/v1/daemon_set.pb.h"
#include "kubernetes/apps/v1/deployment.pb.h"
#include "kubernetes/apps/v1/replica_set.pb.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"
#include "kubernetes/authentication/v1/authentication.pb.h"
#include "kubernetes/authorization/v1/authorization.pb.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"
#include "kubernetes/batch/v1/cron_job.pb.h"
#include "kubernetes/batch/v1/job.pb.h"
#include "kubernetes/certificates/v1/certificates.pb.h"
#include "kubernetes/coordination/v1/lease.pb.h"
#include "kubernetes/core/v1/component.pb.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/connect_options.pb.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/object_reference.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"
#include "kubernetes/core/v1/quota.pb.h"
#include "kubernetes/core/v1/replication_controller.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/core/v1/topology_selector.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"
#include "kubernetes/events/v1/event.pb.h"
#include "kubernetes/meta/v1/discovery.pb.h"
#include "kubernetes/meta/v1/object.pb.h"
#include "kubernetes/meta/v1/options.pb.h"
#include "kubernetes/meta/v1/status.pb.h"
#include "kubernetes/networking/v1/ingress.pb.h"
#include "kubernetes/networking/v1/network_policy.pb.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"
#include "kubernetes/node/v1/runtime_class.pb.h"
#include "kubernetes/options.pb.h"
#include "kubernetes/policy/v1/policy.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"
#include "kubernetes/runtime/runtime.pb.h"
#include "kubernetes/scheduling/v1/priority_class.pb.h"
#include "kubernetes/scheduling/v1alpha3/pod_group.pb.h"
#include "kubernetes/storage/v1/csi.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"
#include "kubernetes/storage/v1/volume_attachment.pb.h"
#include "proto/interface_table.h"

namespace gantry {
namespace {

namespace pb = google::protobuf;
namespace options = gantry::kubernetes;

// Constants that the table names instead of spelling out.
const std::map<std::string, std::string> kConstants = {{"ref(AzureDataDiskCachingReadWrite)", "\"ReadWrite\""},
                                                       {"ref(AzureSharedBlobDisk)", "\"Shared\""}};

void collect(const pb::FileDescriptor& file, std::set<const pb::FileDescriptor*>* files) {
  if (!files->insert(&file).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) collect(*file.dependency(i), files);
}

// A message of each file; what a file imports comes with it.
std::vector<const pb::Descriptor*> one_of_each_file() {
  namespace k8s = ::k8s::io;
  return {
      k8s::apimachinery::pkg::apis::meta::v1::ApplyOptions::descriptor(),
      k8s::apimachinery::pkg::apis::meta::v1::Condition::descriptor(),
      k8s::apimachinery::pkg::apis::meta::v1::APIGroup::descriptor(),
      k8s::apimachinery::pkg::apis::meta::v1::GroupKind::descriptor(),
      k8s::api::core::v1::Binding::descriptor(),
      k8s::api::core::v1::ConfigMap::descriptor(),
      k8s::api::core::v1::Namespace::descriptor(),
      k8s::api::core::v1::LimitRange::descriptor(),
      k8s::api::core::v1::AttachedVolume::descriptor(),
      k8s::api::core::v1::ClientIPConfig::descriptor(),
      k8s::api::core::v1::AzureFilePersistentVolumeSource::descriptor(),
      k8s::api::core::v1::ModifyVolumeStatus::descriptor(),
      k8s::api::core::v1::TopologySelectorLabelRequirement::descriptor(),
      k8s::api::core::v1::PodTemplate::descriptor(),
      k8s::api::core::v1::ReplicationController::descriptor(),
      k8s::api::core::v1::Event::descriptor(),
      k8s::api::core::v1::NodeProxyOptions::descriptor(),
      k8s::api::core::v1::ComponentCondition::descriptor(),
      k8s::api::apps::v1::Deployment::descriptor(),
      k8s::api::apps::v1::ReplicaSet::descriptor(),
      k8s::api::apps::v1::ControllerRevision::descriptor(),
      k8s::api::apps::v1::DaemonSet::descriptor(),
      k8s::api::batch::v1::Job::descriptor(),
      k8s::api::batch::v1::CronJob::descriptor(),
      k8s::api::scheduling::v1alpha3::TopologyConstraint::descriptor(),
      k8s::api::scheduling::v1::PriorityClass::descriptor(),
      k8s::api::discovery::v1::Endpoint::descriptor(),
      k8s::api::networking::v1::HTTPIngressPath::descriptor(),
      k8s::api::networking::v1::IPBlock::descriptor(),
      k8s::api::networking::v1::IPAddress::descriptor(),
      k8s::api::policy::v1::Eviction::descriptor(),
      k8s::api::rbac::v1::AggregationRule::descriptor(),
      k8s::api::storage::v1::StorageClass::descriptor(),
      k8s::api::storage::v1::CSIDriver::descriptor(),
      k8s::api::storage::v1::VolumeAttachment::descriptor(),
      k8s::api::coordination::v1::Lease::descriptor(),
      k8s::api::events::v1::Event::descriptor(),
      k8s::api::autoscaling::v1::ContainerResourceMetricSource::descriptor(),
      k8s::api::autoscaling::v2::ContainerResourceMetricSource::descriptor(),
      k8s::api::authentication::v1::AttestationValue::descriptor(),
      k8s::api::authorization::v1::ExtraValue::descriptor(),
      k8s::api::certificates::v1::CertificateSigningRequest::descriptor(),
      k8s::api::node::v1::Overhead::descriptor(),
      k8s::api::apidiscovery::v2::APIGroupDiscovery::descriptor(),
      k8s::api::core::v1::Pod::descriptor(),
      k8s::apimachinery::pkg::runtime::Unknown::descriptor(),
  };
}

// Every message of the packages of Kubernetes that is compiled in.
std::map<std::string, const pb::Descriptor*> messages() {
  std::set<const pb::FileDescriptor*> files;
  for (const pb::Descriptor* message : one_of_each_file()) collect(*message->file(), &files);
  std::map<std::string, const pb::Descriptor*> found;
  for (const pb::FileDescriptor* file : files) {
    if (!file->package().starts_with("k8s.io.")) continue;
    for (int i = 0; i < file->message_type_count(); ++i) {
      found[file->message_type(i)->full_name()] = file->message_type(i);
    }
  }
  return found;
}

struct Row {
  std::string name;  // as the table has it, which is the JSON name unless a marker says otherwise
  std::string type;
  std::multiset<std::string> markers;
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(c));
  return text;
}

// The markers that the options of a field stand for, as the table writes them.
std::multiset<std::string> markers_of(const pb::FieldDescriptor& field) {
  const options::Field& option = field.options().GetExtension(options::field);
  std::multiset<std::string> markers;
  const bool is_list = field.is_repeated() || field.type() == pb::FieldDescriptor::TYPE_BYTES;
  const options::Go go = option.has_go()  ? option.go()
                         : field.is_map() ? options::MAP
                         : is_list        ? options::LIST
                                          : options::VALUE;
  markers.insert("go=" + lower(options::Go_Name(go)));
  markers.insert(option.emit() == options::OMITZERO ? "json-emit=omitempty+omitzero"
                                                    : "json-emit=" + lower(options::Emit_Name(option.emit())));
  if (option.inline_()) markers.insert("inline");
  if (option.optional()) markers.insert("optional");
  if (option.required()) markers.insert("required");
  if (option.union_discriminator()) markers.insert("unionDiscriminator");
  if (option.has_list_type()) markers.insert("listType=" + lower(options::ListType_Name(option.list_type())).substr(5));
  for (const std::string& key : option.list_keys()) markers.insert("listMapKey=" + key);
  if (option.has_map_type()) markers.insert("mapType=" + lower(options::Granularity_Name(option.map_type())));
  if (option.has_struct_type()) markers.insert("structType=" + lower(options::Granularity_Name(option.struct_type())));
  if (option.has_patch_merge_key()) markers.insert("patchMergeKey=" + option.patch_merge_key());
  std::string strategies;
  for (const std::string& strategy : option.patch_strategy()) strategies += (strategies.empty() ? "" : ",") + strategy;
  if (!strategies.empty()) markers.insert("patchStrategy=" + strategies);
  if (option.has_default_json()) markers.insert("default=" + option.default_json());
  return markers;
}

// The table's markers in the same words: k8s:optional is optional said again, json= and custom-json are seen elsewhere.
Row row_of(const std::vector<std::string>& columns) {
  Row row{columns[2], columns[4], {}};
  std::set<std::string> presence;
  for (std::string marker : split(columns[5], ' ')) {
    if (marker.starts_with("k8s:")) marker.erase(0, 4);
    if (marker == "optional" || marker == "required") {
      presence.insert(marker);
    } else if (marker.starts_with("json=")) {
      row.name = marker.substr(5);
    } else if (marker.starts_with("default=")) {
      const auto constant = kConstants.find(marker.substr(8));
      row.markers.insert(constant == kConstants.end() ? marker : "default=" + constant->second);
    } else if (!marker.empty() && marker != "custom-json") {
      // A named map type is held by value, and is a map all the same.
      const bool named_map = marker == "go=value" && row.type.starts_with("map<");
      row.markers.insert(named_map ? "go=map" : marker);
    }
  }
  row.markers.insert(presence.begin(), presence.end());
  return row;
}

void compare(const std::vector<std::string>& columns, const pb::Descriptor& message) {
  const Row row = row_of(columns);
  const pb::FieldDescriptor* field = message.FindFieldByNumber(std::stoi(columns[3]));
  ASSERT_NE(field, nullptr) << columns[1] << "." << columns[2];
  EXPECT_EQ(field->json_name(), row.name);
  EXPECT_EQ(type_text(*field), row.type) << field->full_name();
  // Types with a JSON form of their own have no such markers in the table.
  const bool own_form = message.options().GetExtension(options::message).json_form() != options::STRUCT;
  if (!own_form) EXPECT_EQ(markers_of(*field), row.markers) << field->full_name();
}

TEST(KubernetesApi, IsTheTableRowByRow) {
  const auto compiled = messages();
  std::map<std::string, int> fields;
  std::map<std::string, std::string> structs;
  for (const std::string& line : read_lines(GANTRY_KUBERNETES_TABLE)) {
    const std::vector<std::string> columns = split(line, '\t');
    ASSERT_EQ(columns.size(), 6u) << line;
    const auto message = compiled.find(columns[1]);
    ASSERT_NE(message, compiled.end()) << line;
    if (columns[0] == "struct") structs[columns[1]] = columns[5];
    if (columns[0] != "field") continue;
    ++fields[columns[1]];
    compare(columns, *message->second);
  }
  ASSERT_GT(fields.size(), 450u) << "no table in " GANTRY_KUBERNETES_TABLE;
  for (const auto& [name, message] : compiled) {
    EXPECT_EQ(message->field_count(), fields[name]) << name << " has fields that are not in the table";
    const options::Message& option = message->options().GetExtension(options::message);
    const std::string marker =
        option.has_struct_type() ? "structType=" + lower(options::Granularity_Name(option.struct_type())) : "";
    EXPECT_EQ(marker, structs.contains(name) ? structs[name] : "") << name;
  }
}

}  // namespace
}  // namespace gantry
