// SPDX-License-Identifier: Apache-2.0
// ResourceQuota: what is made, or grows, is charged to the quotas of its namespace before it is written, on condition
// of the version that each quota has, so that however many ask at once, wherever, no limit is passed. A write that does
// not come to be gives back what it was charged.
//
// What is not there any more is found by the quota controller (controllers/quota_controller.h), which also says from
// when on a quota counts: charged is what stands in its status.
#pragma once

#include <functional>
#include <map>

#include "api/time.h"
#include "control/admission/namespace_turns.h"
#include "control/quota/usage.h"
#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class ResourceQuotaAdmission final : public AdmissionPlugin {
 public:
  // `now`: the wall clock.
  ResourceQuotaAdmission(const ClusterView& view, std::function<api::Timestamp()> now)
      : view_(view), now_(std::move(now)) {}
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  // By the name of the quota.
  using Charges = std::map<std::string, Amounts>;

  Task<Outcome<void>> charge(const AdmissionRequest& request, const QuotaResource& resource,
                             std::vector<std::string> quotas, Charges* charged);
  Task<> give_back(Loop& here, std::string ns, Charges charged);
  // False when somebody was faster.
  Task<Result<bool>> write_used(Loop& here, const Object& quota, const Amounts& used);

  const ClusterView& view_;
  std::function<api::Timestamp()> now_;
  NamespaceTurns turns_;
};

}  // namespace gantry::control
