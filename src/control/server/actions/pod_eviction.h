// SPDX-License-Identifier: Apache-2.0
// pods/NAME/eviction: a deletion that disruption budgets may forbid for now: 429, come again.
#pragma once

#include "api/time.h"
#include "control/server/action.h"
#include "control/server/caches.h"
#include "control/server/resource_writer.h"

namespace gantry::control {

class PodEviction final : public Action {
 public:
  // All must outlive it. `now`: the wall clock.
  PodEviction(const Objects& objects, const Caches& caches, ResourceWriter& writer,
              std::function<api::Timestamp()> now);

  std::unique_ptr<api::Message> make() const override;
  Task<Outcome<std::unique_ptr<api::Message>>> run(Call& call, std::unique_ptr<api::Message> sent) override;

 private:
  Task<Outcome<void>> take_from_budget(Call& call, const Object& pod);
  Task<Outcome<void>> mark(Call& call, const std::string& name);

  Objects objects_;
  const Caches& caches_;
  ResourceWriter& writer_;
  std::function<api::Timestamp()> now_;
  const api::Kind& pods_;
  const api::Kind& budgets_;
};

}  // namespace gantry::control
