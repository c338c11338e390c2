// SPDX-License-Identifier: Apache-2.0
// Admission: what the cluster says of a write that the kind's own rules allow: one ordered chain. Plugins that change
// objects come first, then all are asked whether what came of it may be. Each plugin is a file of admission/.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/task.h"
#include "control/server/call.h"

namespace gantry::control {

enum class Operation { kCreate, kUpdate, kDelete, kConnect };

struct AdmissionRequest {
  Call& call;
  Operation operation = Operation::kCreate;
  // metadata.name of the object; empty at a create with generateName is never seen here.
  std::string name;
  const api::Message* old = nullptr;  // of update and delete
  api::Message* object = nullptr;     // of create and update
};

// Immutable after it was made; called on any loop.
class AdmissionPlugin {
 public:
  virtual ~AdmissionPlugin() = default;
  // May change request.object.
  virtual Task<Outcome<void>> mutate(AdmissionRequest& request);
  // Must not.
  virtual Task<Outcome<void>> validate(const AdmissionRequest& request);
};

class AdmissionChain {
 public:
  explicit AdmissionChain(std::vector<std::unique_ptr<AdmissionPlugin>> plugins) : plugins_(std::move(plugins)) {}

  Task<Outcome<void>> mutate(AdmissionRequest& request) const;
  Task<Outcome<void>> validate(const AdmissionRequest& request) const;

 private:
  std::vector<std::unique_ptr<AdmissionPlugin>> plugins_;
};

}  // namespace gantry::control
