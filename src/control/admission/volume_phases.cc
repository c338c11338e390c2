// SPDX-License-Identifier: Apache-2.0
#include "control/admission/volume_phases.h"

#include <google/protobuf/util/message_differencer.h>

#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

using k8s::io::api::core::v1::PersistentVolume;
using k8s::io::api::core::v1::PersistentVolumeStatus;

}  // namespace

Task<Outcome<void>> VolumePhases::mutate(AdmissionRequest& request) {
  const bool is_status = request.operation == Operation::kUpdate && request.call.info.subresource == "status" &&
                         request.object->GetDescriptor() == PersistentVolume::descriptor();
  if (!is_status) co_return Outcome<void>();
  const PersistentVolumeStatus& old = static_cast<const PersistentVolume&>(*request.old).status();
  PersistentVolumeStatus* status = static_cast<PersistentVolume*>(request.object)->mutable_status();
  if (old.phase() == status->phase()) {
    if (!status->has_last_phase_transition_time() && old.has_last_phase_transition_time()) {
      *status->mutable_last_phase_transition_time() = old.last_phase_transition_time();
    }
    co_return Outcome<void>();
  }
  const bool is_said = status->has_last_phase_transition_time() &&
                       !google::protobuf::util::MessageDifferencer::Equals(status->last_phase_transition_time(),
                                                                           old.last_phase_transition_time());
  if (!is_said) {
    status->mutable_last_phase_transition_time()->Clear();
    status->mutable_last_phase_transition_time()->set_seconds(now_().seconds);
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
