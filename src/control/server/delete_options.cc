// SPDX-License-Identifier: Apache-2.0
#include "control/server/delete_options.h"

#include "api/check.h"
#include "control/server/body.h"
#include "control/server/invalid_options.h"
#include "kubernetes/meta/v1/options.pb.h"

namespace gantry::control {

namespace {

namespace meta = k8s::io::apimachinery::pkg::apis::meta::v1;
using Propagation = DeleteOptions::Propagation;

}  // namespace

Outcome<DeleteOptions> delete_options_of(const meta::DeleteOptions& message, Call* call) {
  DeleteOptions options;
  if (message.has_grace_period_seconds()) options.grace_period = message.grace_period_seconds();
  if (message.preconditions().has_uid()) options.uid = message.preconditions().uid();
  if (message.preconditions().has_resource_version()) {
    options.resource_version = message.preconditions().resource_version();
  }
  const std::string& policy = message.propagation_policy();
  api::FieldProblems problems;
  const api::Check check(&problems);
  for (const std::string& value : message.dry_run()) check.at("dryRun").one_of(value, {"All"});
  if (message.has_orphan_dependents() && !policy.empty()) {
    check.at("propagationPolicy").invalid(policy, "orphanDependents and propagationPolicy can not both be set");
  } else {
    check.at("propagationPolicy").one_of(policy, {"", "Background", "Foreground", "Orphan"});
  }
  if (!problems.empty()) return fail(invalid_options("DeleteOptions", problems));
  if (!message.dry_run().empty()) call->dry_run = true;
  // The older way to say it.
  if (message.has_orphan_dependents()) {
    options.propagation = message.orphan_dependents() ? Propagation::kOrphan : Propagation::kBackground;
  }
  if (policy == "Orphan") {
    options.propagation = Propagation::kOrphan;
  } else if (policy == "Background") {
    options.propagation = Propagation::kBackground;
  } else if (policy == "Foreground") {
    options.propagation = Propagation::kForeground;
  }
  return options;
}

Outcome<DeleteOptions> parse_delete_options(const http::Request& request, Call* call) {
  const RequestInfo& info = call->info;
  meta::DeleteOptions message;
  if (!request.body.empty()) {
    Outcome<Decoded> decoded = decode_body(*meta::DeleteOptions::descriptor(), std::make_unique<meta::DeleteOptions>(),
                                           request.header("Content-Type"), request.body, FieldValidation::kIgnore);
    if (!decoded) return fail(std::move(decoded.error()));
    message = static_cast<const meta::DeleteOptions&>(*decoded->message);
  } else {
    Result<std::optional<int64_t>> grace = info.query.number("gracePeriodSeconds");
    if (!grace) return fail(bad_request(grace.error().message()));
    if (*grace) message.set_grace_period_seconds(**grace);
    Result<bool> orphan = info.query.flag("orphanDependents");
    if (!orphan) return fail(bad_request(orphan.error().message()));
    if (info.query.find("orphanDependents") != nullptr) message.set_orphan_dependents(*orphan);
    if (const std::string policy = info.query.text("propagationPolicy"); !policy.empty()) {
      message.set_propagation_policy(policy);
    }
  }
  return delete_options_of(message, call);
}

}  // namespace gantry::control
