// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/all.h"

#include "api/kinds/apps/kinds.h"
#include "api/kinds/authentication/kinds.h"
#include "api/kinds/authorization/kinds.h"
#include "api/kinds/autoscaling/kinds.h"
#include "api/kinds/batch/kinds.h"
#include "api/kinds/certificates/kinds.h"
#include "api/kinds/coordination/kinds.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/discovery/kinds.h"
#include "api/kinds/events/kinds.h"
#include "api/kinds/metrics/kinds.h"
#include "api/kinds/networking/kinds.h"
#include "api/kinds/node/kinds.h"
#include "api/kinds/policy/kinds.h"
#include "api/kinds/rbac/kinds.h"
#include "api/kinds/scheduling/kinds.h"
#include "api/kinds/storage/kinds.h"

namespace gantry::api {

std::vector<Kind> all_kinds() {
  using MakeKind = Kind (*)();
  // clang-format off
  static constexpr MakeKind kMakers[] = {
      // core
      binding_kind,
      config_map_kind,
      endpoints_kind,
      event_kind,
      limit_range_kind,
      namespace_kind,
      node_kind,
      persistent_volume_claim_kind,
      persistent_volume_kind,
      pod_kind,
      pod_template_kind,
      replication_controller_kind,
      resource_quota_kind,
      secret_kind,
      service_account_kind,
      service_kind,
      // apps
      controller_revision_kind,
      daemon_set_kind,
      deployment_kind,
      replica_set_kind,
      stateful_set_kind,
      // events.k8s.io
      new_event_kind,
      // authentication.k8s.io
      self_subject_review_kind,
      token_review_kind,
      // authorization.k8s.io
      local_subject_access_review_kind,
      self_subject_access_review_kind,
      self_subject_rules_review_kind,
      subject_access_review_kind,
      // autoscaling
      horizontal_pod_autoscaler_v2_kind,
      horizontal_pod_autoscaler_v1_kind,
      // batch
      cron_job_kind,
      job_kind,
      // certificates.k8s.io
      certificate_signing_request_kind,
      // networking.k8s.io
      ingress_class_kind,
      ingress_kind,
      ip_address_kind,
      network_policy_kind,
      service_cidr_kind,
      // policy
      pod_disruption_budget_kind,
      // rbac.authorization.k8s.io
      cluster_role_binding_kind,
      cluster_role_kind,
      role_binding_kind,
      role_kind,
      // storage.k8s.io
      csi_driver_kind,
      csi_node_kind,
      csi_storage_capacity_kind,
      storage_class_kind,
      volume_attachment_kind,
      volume_attributes_class_kind,
      // scheduling.k8s.io
      priority_class_kind,
      // coordination.k8s.io
      lease_kind,
      // node.k8s.io
      runtime_class_kind,
      // discovery.k8s.io
      endpoint_slice_kind,
      // metrics.k8s.io
      node_metrics_v1_kind,
      pod_metrics_v1_kind,
      node_metrics_v1beta1_kind,
      pod_metrics_v1beta1_kind,
  };
  // clang-format on
  std::vector<Kind> kinds;
  for (const MakeKind make : kMakers) kinds.push_back(make());
  return kinds;
}

}  // namespace gantry::api
