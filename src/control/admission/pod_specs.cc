// SPDX-License-Identifier: Apache-2.0
#include "control/admission/pod_specs.h"

#include "kubernetes/apps/v1/daemon_set.pb.h"
#include "kubernetes/apps/v1/deployment.pb.h"
#include "kubernetes/apps/v1/replica_set.pb.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"
#include "kubernetes/batch/v1/cron_job.pb.h"
#include "kubernetes/batch/v1/job.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"
#include "kubernetes/core/v1/replication_controller.pb.h"

namespace gantry::control {

namespace {

namespace apps = k8s::io::api::apps::v1;
namespace batch = k8s::io::api::batch::v1;
namespace core = k8s::io::api::core::v1;

template <typename M>
const M* as(const api::Message& object) {
  return object.GetDescriptor() == M::descriptor() ? static_cast<const M*>(&object) : nullptr;
}

PodSpecRef of_template(const core::PodTemplateSpec& pod) { return {pod.metadata(), pod.spec()}; }

}  // namespace

std::optional<PodSpecRef> pod_spec_of(const api::Message& object) {
  if (const auto* pod = as<core::Pod>(object)) return PodSpecRef{pod->metadata(), pod->spec()};
  if (const auto* list = as<core::PodTemplate>(object)) return of_template(list->template_());
  if (const auto* controller = as<core::ReplicationController>(object)) {
    if (!controller->spec().has_template_()) return std::nullopt;
    return of_template(controller->spec().template_());
  }
  if (const auto* set = as<apps::ReplicaSet>(object)) return of_template(set->spec().template_());
  if (const auto* deployment = as<apps::Deployment>(object)) return of_template(deployment->spec().template_());
  if (const auto* set = as<apps::DaemonSet>(object)) return of_template(set->spec().template_());
  if (const auto* set = as<apps::StatefulSet>(object)) return of_template(set->spec().template_());
  if (const auto* job = as<batch::Job>(object)) return of_template(job->spec().template_());
  if (const auto* job = as<batch::CronJob>(object)) return of_template(job->spec().job_template().spec().template_());
  return std::nullopt;
}

}  // namespace gantry::control
