// SPDX-License-Identifier: Apache-2.0
// The scheduler and the controllers of this program for another's API server, as upstream's kube-scheduler and
// kube-controller-manager would be: no store, no server, all of it asked as the user of a kubeconfig, under the same
// leases. /healthz, /livez and /readyz, and /metrics, over plain HTTP.
//
// Threads: the calling one answers those; the controllers have one of their own.
#pragma once

#include "base/owned_fd.h"
#include "control/plane/options.h"

namespace gantry::control {

// Works until `stop` is readable. A server that does not answer is asked again; an error is a kubeconfig that is no
// good, or an address that is taken.
Status run_remote_controllers(const PlaneOptions& options, FdRef stop);

}  // namespace gantry::control
