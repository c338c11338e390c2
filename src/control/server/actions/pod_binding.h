// SPDX-License-Identifier: Apache-2.0
// pods/NAME/binding, and bare bindings: a scheduler says which node a pod gets. A pod that has one keeps it: 409.
#pragma once

#include "api/time.h"
#include "control/server/action.h"
#include "control/server/resource_writer.h"

namespace gantry::control {

class PodBinding final : public Action {
 public:
  // All must outlive it. `now`: the wall clock.
  PodBinding(const api::Kinds& kinds, ResourceWriter& writer, std::function<api::Timestamp()> now);

  std::unique_ptr<api::Message> make() const override;
  Task<Outcome<std::unique_ptr<api::Message>>> run(Call& call, std::unique_ptr<api::Message> sent) override;

 private:
  const api::Kind& pods_;
  ResourceWriter& writer_;
  std::function<api::Timestamp()> now_;
};

}  // namespace gantry::control
