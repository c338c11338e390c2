// SPDX-License-Identifier: Apache-2.0
// ResourceWriter: create, update, patch and delete of any kind, with what all kinds have in common: names, uid,
// generation, status apart from spec, managed fields, conflicts, grace, finalizers, dry runs. What is particular comes
// from the Kind.
//
// A write that changes nothing writes nothing: the object keeps its resourceVersion and no watcher wakes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/time.h"
#include "control/server/admission.h"
#include "control/server/objects.h"

namespace gantry::control {

// What a DELETE asks for, from its body or its query.
struct DeleteOptions {
  enum class Propagation { kDefault, kOrphan, kBackground, kForeground };
  std::optional<int64_t> grace_period;
  Propagation propagation = Propagation::kDefault;
  std::optional<std::string> uid;               // preconditions
  std::optional<std::string> resource_version;  // preconditions
};

struct DeleteAnswer {
  bool removed = false;  // false: marked, and waits for its grace period or finalizers
  Object object;         // as it was, or as it is now
};

enum class PatchType { kJson, kMerge, kStrategicMerge, kApply };

class ResourceWriter {
 public:
  // `now`: the wall clock. All must outlive the ResourceWriter.
  ResourceWriter(Objects objects, const AdmissionChain& admission, std::function<api::Timestamp()> now)
      : objects_(objects), admission_(admission), now_(std::move(now)) {}

  Task<Outcome<Object>> create(Call& call, std::unique_ptr<api::Message> message);
  // PUT of the object or of a subresource that is a view of it (call.subresource). `created` is set when it made the
  // object, of kinds that have put_creates.
  Task<Outcome<Object>> replace(Call& call, std::string name, std::unique_ptr<api::Message> message, bool* created);
  // `created` is set when an apply made the object.
  struct Patch {
    PatchType type = PatchType::kMerge;
    api::Value document;
    bool force = false;  // of an apply: takes fields over from other managers
  };
  Task<Outcome<Object>> patch(Call& call, std::string name, Patch patch, bool* created);
  Task<Outcome<DeleteAnswer>> remove(Call& call, std::string name, DeleteOptions options);

  // What changes `current` into what shall be. Called again when somebody else was faster.
  using Change = std::function<Outcome<std::unique_ptr<api::Message>>(const Object& current)>;
  // Any other change of an object, by a subresource of its own (binding, scale): through the same steps as replace().
  Task<Outcome<Object>> change(Call& call, std::string name, const api::UpdateRules& rules, Change change);

 private:
  Task<Outcome<Object>> try_create(Call& call, std::unique_ptr<api::Message> message);
  Task<Outcome<Object>> try_change(Call& call, std::string name, const api::UpdateRules& rules, Change change);
  Task<Outcome<DeleteAnswer>> try_remove(Call& call, std::string name, DeleteOptions options);
  Outcome<void> begin_create(Call& call, api::Message* message) const;
  Task<Outcome<std::unique_ptr<api::Message>>> prepare_update(Call& call, const api::UpdateRules& rules,
                                                              const Object& current,
                                                              std::unique_ptr<api::Message> updated);
  Task<Outcome<Object>> finish_update(Call& call, const Object& current, std::unique_ptr<api::Message> updated,
                                      bool* lost);

  Objects objects_;
  const AdmissionChain& admission_;
  std::function<api::Timestamp()> now_;
};

}  // namespace gantry::control
