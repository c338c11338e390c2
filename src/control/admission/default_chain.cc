// SPDX-License-Identifier: Apache-2.0
#include "control/admission/default_chain.h"

#include "control/admission/certificate_requests.h"
#include "control/admission/claim_resize.h"
#include "control/admission/limit_ranger.h"
#include "control/admission/namespace_lifecycle.h"
#include "control/admission/node_restriction.h"
#include "control/admission/object_defaults.h"
#include "control/admission/pod_security.h"
#include "control/admission/pod_topology.h"
#include "control/admission/priority.h"
#include "control/admission/resource_quota.h"
#include "control/admission/role_escalation.h"
#include "control/admission/runtime_class.h"
#include "control/admission/service_account.h"
#include "control/admission/service_allocation.h"
#include "control/admission/volume_phases.h"

namespace gantry::control {

AdmissionChain make_default_chain(const ClusterView& view, const RbacSource& rbac,
                                  const std::vector<Authorizer*>& authorizers, std::function<api::Timestamp()> now) {
  std::vector<std::unique_ptr<AdmissionPlugin>> plugins;
  plugins.push_back(std::make_unique<NamespaceLifecycle>(view));
  plugins.push_back(std::make_unique<LimitRanger>(view));
  plugins.push_back(std::make_unique<ServiceAccountAdmission>(view));
  plugins.push_back(std::make_unique<NodeRestriction>(view));
  plugins.push_back(std::make_unique<PodSecurity>(view));
  plugins.push_back(std::make_unique<PriorityAdmission>(view));
  plugins.push_back(std::make_unique<ObjectDefaults>(view));
  plugins.push_back(std::make_unique<ClaimResize>(view));
  plugins.push_back(std::make_unique<VolumePhases>(now));
  plugins.push_back(std::make_unique<RuntimeClassAdmission>(view));
  plugins.push_back(std::make_unique<CertificateRequests>(authorizers));
  plugins.push_back(std::make_unique<PodTopology>(view));
  plugins.push_back(std::make_unique<RoleEscalation>(rbac, authorizers));
  plugins.push_back(std::make_unique<ServiceAllocation>(view, now));
  // Last: what it charges is used.
  plugins.push_back(std::make_unique<ResourceQuotaAdmission>(view, std::move(now)));
  return AdmissionChain(std::move(plugins));
}

}  // namespace gantry::control
