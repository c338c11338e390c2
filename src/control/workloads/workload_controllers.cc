// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/workload_controllers.h"

#include <memory>

#include "control/controllers/controller.h"
#include "control/workloads/cron_job_controller.h"
#include "control/workloads/daemon_set.h"
#include "control/workloads/deployment_controller.h"
#include "control/workloads/disruption.h"
#include "control/workloads/job_controller.h"
#include "control/workloads/replica_controller.h"
#include "control/workloads/stateful_set.h"

namespace gantry::control::workloads {

namespace {

template <typename C>
MoreController controller(const char* name, const char* account) {
  return {.name = name, .account = account, .make = [](const ControllerParts& parts) {
            return std::make_unique<C>(parts);
          }};
}

}  // namespace

std::vector<MoreController> workload_controllers() {
  return {
      controller<CronJobController>("cronjob-controller", "cronjob-controller"),
      controller<DaemonSetController>("daemonset-controller", "daemon-set-controller"),
      controller<JobController>("job-controller", "job-controller"),
      controller<ReplicaSetController>("replicaset-controller", "replicaset-controller"),
      controller<DeploymentController>("deployment-controller", "deployment-controller"),
      controller<ReplicationControllerController>("replicationcontroller-controller", "replication-controller"),
      controller<DisruptionController>("disruption-controller", "disruption-controller"),
      controller<StatefulSetController>("statefulset-controller", "statefulset-controller"),
  };
}

}  // namespace gantry::control::workloads
