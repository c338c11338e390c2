// SPDX-License-Identifier: Apache-2.0
// What one rule of a role means (rbac/v1 PolicyRule). Pure.
#pragma once

#include <string>
#include <vector>

#include "control/server/access.h"

namespace k8s::io::api::rbac::v1 {
class PolicyRule;
}

namespace gantry::control {

using PolicyRule = k8s::io::api::rbac::v1::PolicyRule;

// Whether the rule allows it. `*` is every verb, group, resource with its subresources, or path; `*/scale` that
// subresource of every resource; resourceNames are those that it is for, none is all; a path that ends in `*` is
// whatever begins so.
bool rule_allows(const PolicyRule& rule, const AccessRequest& request);

// What of `wanted` nobody has who has just `owned`: rules of one verb, group and resource (with a name, if there are
// names) or path each, at most 50. Empty: all of it is covered.
std::vector<PolicyRule> uncovered(const std::vector<const PolicyRule*>& owned, const PolicyRule& wanted);

// {APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}: as refusals show it.
std::string rule_text(const PolicyRule& rule);

}  // namespace gantry::control
