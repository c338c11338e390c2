// SPDX-License-Identifier: Apache-2.0
// Binds claims to volumes and lets volumes go when their claims are gone. A binding is four writes, each of which finds
// what the ones before it have done: the volume names the claim, and is Bound; the claim names the volume, and is
// Bound.
//
// Nothing is provisioned, emptied or deleted here: that is said to provisioners by annotations, and to people by
// events.
#pragma once

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/controllers/volume_matching.h"

namespace gantry::control {

class VolumeBinder final : public Controller {
 public:
  explicit VolumeBinder(ControllerParts parts);
  void start() override;

 private:
  Task<Status> work_claim(std::string key);
  Task<Status> bind_any(Claim claim);
  Task<Status> bind_named(Claim claim);
  Task<Status> keep_bound(Claim claim);
  Task<Status> provision(Claim claim);
  Task<Status> bind(Volume volume, Claim claim);
  Task<Status> set_claim_phase(Claim claim, std::string phase, const Volume* volume);
  Task<Status> lose(Claim claim, const char* reason, const char* message);

  Task<Status> work_volume(std::string name);
  Task<Status> without_claim(Volume volume);
  Task<Status> reclaim(Volume volume);
  Task<Status> unbind(Volume volume);
  // The volume as it is afterwards.
  Task<Result<Volume>> set_volume_phase(Volume volume, std::string phase, std::string message = {});
  Task<Status> fail_volume(Volume volume, const char* reason, std::string message);

  bool waits_for_consumer(const Claim& claim) const;
  std::string default_class() const;
  void add_unbound_claims(const std::string* of_class);

  ControllerParts parts_;
  EventRecorder events_;
  bool is_started_ = false;
  api::WorkQueue claims_;
  api::WorkQueue volumes_;
};

}  // namespace gantry::control
