// SPDX-License-Identifier: Apache-2.0
// Containers of who is not root on the host: an ordinary user, or the root of a user namespace.
//
// An ordinary user's gantry-oci makes or joins the container's user namespace itself, and is in it from then on, with
// all privileges there; the rest is as for root. A mapping of the own id alone it writes by itself, others are
// newuidmap's and newgidmap's to allow. Hooks of the runtime's namespaces run where it was called.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "cli/oci_outside.h"
#include "runtime/oci/oci_plan.h"

namespace gantry::cli {

// This process is not root of the host: what it may not do to cgroups is left out where nothing depends on it.
bool is_rootless();

// Where states are kept when --root does not say: beneath $XDG_RUNTIME_DIR for who has one and is not root, or
// /run/gantry-oci.
std::string default_state_folder();

// Whether a process has to stay outside when enter_for() is called: for `has_hooks`, or because that asks it for
// kMapIds, which is to call map_ids_of() for this process.
inline constexpr char kMapIds = 'm';
bool needs_outside(const runtime::oci::PlannedContainer& planned, const runtime::HostFacts& host, bool has_hooks);
Status map_ids_of(pid_t pid, const runtime::oci::IdMappings& ids);

// Brings this process to where it can make the planned container: into its user namespace, which the plan then neither
// makes nor joins any more, and into a mount namespace of its own, unless it has the privileges already. Whether it is
// in another mount namespace now.
Result<bool> enter_for(runtime::oci::PlannedContainer& planned, const runtime::HostFacts& host, const Outside* outside);

}  // namespace gantry::cli
