// SPDX-License-Identifier: Apache-2.0
// The roles and bindings that every cluster has, as upstream's: what they are, as text, and how they come into the
// store. Two texts of lines:
//   role NAME [in NAMESPACE]           a ClusterRole, or a Role
//     label KEY                        it has this label, with the value "true"
//     from KEY                         it has the rules of those that have this label
//     VERBS | GROUPS | RESOURCES [| NAMES]      a rule; "core" is the group ""
//     VERBS | PATHS                             a rule of paths
//   controller NAME                    ClusterRole system:controller:NAME, bound to the service account NAME
//   binding NAME [in NAMESPACE]        a ClusterRoleBinding, or a RoleBinding
//     ClusterRole NAME, Role NAME      to what
//     User NAME, Group NAME, ServiceAccount NAMESPACE/NAME      whom
#pragma once

#include <functional>

#include "api/kind.h"
#include "api/time.h"
#include "control/authorization/rbac_policy.h"
#include "control/server/objects.h"

namespace gantry::control {

extern const char kDefaultUserRoles[];
extern const char kDefaultControllerRoles[];

// Adds what the text says. kInvalidArgument with the line that cannot be read.
Status parse_default_roles(std::string_view text, RbacObjects* objects);
// Both texts.
Result<RbacObjects> default_roles();

// Makes those that are missing, and gives back to the others the rules, subjects, labels and aggregation that they have
// lost; what was added to them stays. A binding to another role is made anew. Those whose annotation
// rbac.authorization.kubernetes.io/autoupdate is "false" are left alone. `objects` and `kinds` must have rbac/v1.
Task<Status> reconcile_default_roles(Loop& here, Objects objects, std::function<api::Timestamp()> now);

}  // namespace gantry::control
