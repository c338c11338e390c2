// SPDX-License-Identifier: Apache-2.0
#include "control/server/admission.h"

namespace gantry::control {

Task<Outcome<void>> AdmissionPlugin::mutate(AdmissionRequest&) { co_return Outcome<void>(); }
Task<Outcome<void>> AdmissionPlugin::validate(const AdmissionRequest&) { co_return Outcome<void>(); }

Task<> settle(Call& call, bool done) {
  const auto calls = std::exchange(call.afterwards, {});
  for (const auto& afterwards : calls) co_await afterwards(done);
}

Task<Outcome<void>> AdmissionChain::mutate(AdmissionRequest& request) const {
  for (const auto& plugin : plugins_) {
    if (Outcome<void> done = co_await plugin->mutate(request); !done) co_return done;
  }
  co_return Outcome<void>();
}

Task<Outcome<void>> AdmissionChain::validate(const AdmissionRequest& request) const {
  for (const auto& plugin : plugins_) {
    if (Outcome<void> done = co_await plugin->validate(request); !done) co_return done;
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
