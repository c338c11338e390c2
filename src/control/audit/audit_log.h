// SPDX-License-Identifier: Apache-2.0
// AuditLog: an Event of audit.k8s.io/v1 for each stage of the requests that the policy wants recorded, one JSON
// document a line. Bodies are there as JSON, whatever the client sent and was sent; one beyond kMaxObject is left out,
// and an annotation says so. What a request brought is there only if it was allowed. Any thread.
#pragma once

#include <functional>
#include <memory>

#include "base/metrics.h"
#include "control/audit/audit_file.h"
#include "control/audit/policy.h"
#include "control/server/auditor.h"

namespace gantry::control {

class AuditLog final : public Auditor {
 public:
  static constexpr std::size_t kMaxObject = 1 << 20;

  // The file outlives it, and what it handed out.
  AuditLog(AuditPolicy policy, AuditFile& file, std::function<api::Timestamp()> now)
      : policy_(std::move(policy)), file_(file), now_(std::move(now)) {}

  Task<std::shared_ptr<AuditedRequest>> begin(Loop& here, const http::Request& request,
                                              const RequestFacts& facts) override;

  void write_metrics(metrics::Page* page) const;

 private:
  const AuditPolicy policy_;
  AuditFile& file_;
  const std::function<api::Timestamp()> now_;
};

}  // namespace gantry::control
