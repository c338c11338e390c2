// SPDX-License-Identifier: Apache-2.0
// Objects of the API in the store: which key, which bytes, which version. What is kept is what upstream keeps: the
// protobuf envelope of the kind's storage version, without resourceVersion, which is the entry's mod_revision.
// Any loop's thread; nothing here is mutable.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control/server/failure.h"
#include "control/store/store.h"

namespace gantry::control {

// An object as it was read or written: the message of the kind that was asked for, with its resourceVersion.
struct Object {
  EntryPtr entry;
  std::shared_ptr<const api::Message> message;

  std::int64_t revision() const { return entry->mod_revision; }
};

// "/registry/pods/default/web", "/registry/minions/n1"; with an empty name the prefix of the namespace's objects, with
// an empty namespace, too, of all. Precondition: names are single path segments.
std::string storage_key(const api::Kind& kind, std::string_view ns, std::string_view name);

// Of bytes that the store has. kDataLoss names the key when they are no object of the kind.
Result<Object> decode_entry(const api::Kinds& kinds, const api::Kind& kind, EntryPtr entry);

class Objects {
 public:
  Objects(const api::Kinds& kinds, Store& store) : kinds_(kinds), store_(store) {}

  // Empty when there is none.
  Task<Result<std::optional<Object>>> find(Loop& here, const api::Kind& kind, std::string ns, std::string name);

  // A write whose precondition did not hold: not done, with the object that is there now, if there is one. Of a removal
  // that is done the object as it was, with the removal's version.
  struct Answer {
    bool done = false;
    std::optional<Object> object;
  };
  // `message` is normalized by this.
  Task<Result<Answer>> create(Loop& here, const api::Kind& kind, std::unique_ptr<api::Message> message);
  Task<Result<Answer>> update(Loop& here, const api::Kind& kind, std::int64_t expected,
                              std::unique_ptr<api::Message> message);
  Task<Result<Answer>> remove(Loop& here, const api::Kind& kind, std::string ns, std::string name,
                              std::int64_t expected);

  Store& store() const { return store_; }
  const api::Kinds& kinds() const { return kinds_; }

 private:
  Task<Result<Answer>> write(Loop& here, const api::Kind& kind, std::int64_t expected,
                             std::unique_ptr<api::Message> message);

  const api::Kinds& kinds_;
  Store& store_;
};

}  // namespace gantry::control
