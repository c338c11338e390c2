// SPDX-License-Identifier: Apache-2.0
// What is recorded of which requests: upstream's audit.k8s.io/v1 Policy. The first rule that a request matches says how
// much; what no rule matches is not recorded. Pure.
//
// One thing is stricter than upstream: what has secrets in it (Secrets, tokens that are asked for or reviewed) is
// recorded without bodies, unless the rule names that resource itself. A rule for everything does not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/server/request_facts.h"

namespace gantry::control {

enum class AuditLevel { kNone, kMetadata, kRequest, kRequestResponse };
enum class AuditStage { kRequestReceived, kResponseStarted, kResponseComplete, kPanic };

std::string_view to_string(AuditLevel level);
std::string_view to_string(AuditStage stage);

struct AuditResources {
  std::string group;
  std::vector<std::string> resources;  // "pods", "pods/status", "pods/*", "*/scale", "*"; none: all of the group
  std::vector<std::string> names;      // none: all
};

struct AuditRule {
  AuditLevel level = AuditLevel::kNone;
  std::vector<std::string> users, groups, verbs, namespaces, paths;
  std::vector<AuditResources> resources;
  std::vector<AuditStage> omitted;
  bool omits_managed_fields = false;
};

struct AuditDecision {
  AuditLevel level = AuditLevel::kNone;
  std::vector<AuditStage> omitted;
  bool omits_managed_fields = false;

  bool omits(AuditStage stage) const;
};

class AuditPolicy {
 public:
  // Every request's metadata when it is answered; health checks are left out.
  static AuditPolicy standard();
  // Of YAML or JSON. kInvalidArgument names what is wrong.
  static Result<AuditPolicy> parse(std::string_view text);

  AuditDecision decide(const RequestFacts& facts) const;

 private:
  std::vector<AuditRule> rules_;
};

}  // namespace gantry::control
