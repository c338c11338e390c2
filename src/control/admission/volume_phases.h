// SPDX-License-Identifier: Apache-2.0
// When a volume came to its phase: whoever writes another phase into its status and does not say since when has this
// moment said for him, and who says nothing of it leaves it as it was. As upstream's API server does.
#pragma once

#include <functional>

#include "api/time.h"
#include "control/server/admission.h"

namespace gantry::control {

class VolumePhases final : public AdmissionPlugin {
 public:
  explicit VolumePhases(std::function<api::Timestamp()> now) : now_(std::move(now)) {}
  Task<Outcome<void>> mutate(AdmissionRequest& request) override;

 private:
  std::function<api::Timestamp()> now_;
};

}  // namespace gantry::control
