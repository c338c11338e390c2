// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/coordination/kinds.h"
#include "kubernetes/coordination/v1/lease.pb.h"

namespace gantry::api {

namespace {

namespace coordination = k8s::io::api::coordination::v1;

std::vector<Value> row(const coordination::Lease& object, int64_t now) {
  return {object.metadata().name(), object.spec().holder_identity(), age(object.metadata(), now)};
}

FieldProblems validate(const coordination::Lease& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const coordination::LeaseSpec& spec = object.spec();
  if (spec.has_lease_duration_seconds() && spec.lease_duration_seconds() <= 0) {
    check.at("leaseDurationSeconds").invalid(spec.lease_duration_seconds(), "must be greater than 0");
  }
  check.at("leaseTransitions").not_negative(spec.lease_transitions());
  return problems;
}

}  // namespace

Kind lease_kind() {
  Kind kind = make_kind<coordination::Lease>("leases", "lease");
  kind.storage = "leases";
  kind.updates_by_version = true;
  kind.put_creates = true;
  kind.validate = over(&validate);
  kind.table = {{name_column(), column("Holder", "string", "Who has it."), age_column()}, over(&row)};
  return kind;
}

}  // namespace gantry::api
