// SPDX-License-Identifier: Apache-2.0
// Every compiled message of the Kubernetes API, for tests: shipped code names the kinds that it serves (api/kinds).
#pragma once

#include <google/protobuf/descriptor.h>

#include <set>
#include <vector>

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
#include "kubernetes/meta/v1/duration.pb.h"
#include "kubernetes/meta/v1/object.pb.h"
#include "kubernetes/meta/v1/options.pb.h"
#include "kubernetes/meta/v1/status.pb.h"
#include "kubernetes/metrics/v1/metrics.pb.h"
#include "kubernetes/metrics/v1beta1/metrics.pb.h"
#include "kubernetes/networking/v1/ingress.pb.h"
#include "kubernetes/networking/v1/network_policy.pb.h"
#include "kubernetes/networking/v1/service_cidr.pb.h"
#include "kubernetes/node/v1/runtime_class.pb.h"
#include "kubernetes/policy/v1/policy.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"
#include "kubernetes/runtime/runtime.pb.h"
#include "kubernetes/scheduling/v1/priority_class.pb.h"
#include "kubernetes/scheduling/v1alpha3/pod_group.pb.h"
#include "kubernetes/storage/v1/csi.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"
#include "kubernetes/storage/v1/volume_attachment.pb.h"

namespace gantry::kubernetes {

// A message of each file; what a file imports comes with it.
inline std::vector<const google::protobuf::Descriptor*> one_of_each_file() {
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
      k8s::metrics::pkg::apis::metrics::v1::NodeMetrics::descriptor(),
      k8s::metrics::pkg::apis::metrics::v1beta1::NodeMetrics::descriptor(),
      k8s::api::core::v1::Pod::descriptor(),
      k8s::apimachinery::pkg::runtime::Unknown::descriptor(),
  };
}

inline void collect_files(const google::protobuf::FileDescriptor& file,
                          std::set<const google::protobuf::FileDescriptor*>* files) {
  if (!files->insert(&file).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) collect_files(*file.dependency(i), files);
}

// Every message of the packages of Kubernetes.
inline std::vector<const google::protobuf::Descriptor*> all_messages() {
  std::set<const google::protobuf::FileDescriptor*> files;
  for (const google::protobuf::Descriptor* message : one_of_each_file()) collect_files(*message->file(), &files);
  std::vector<const google::protobuf::Descriptor*> found;
  for (const google::protobuf::FileDescriptor* file : files) {
    if (!file->package().starts_with("k8s.io.")) continue;
    for (int i = 0; i < file->message_type_count(); ++i) found.push_back(file->message_type(i));
  }
  return found;
}

}  // namespace gantry::kubernetes
