// SPDX-License-Identifier: Apache-2.0
// ObjectEdit: many look-ups, additions and removals in one object, each in constant time however many members it has.
// (Value's own are linear, and what strangers send may have a hundred thousand members.) For the life of the edit the
// object is its alone; erased members are dropped when it ends, and the others keep their order.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/value.h"

namespace gantry::api {

class ObjectEdit {
 public:
  // Precondition: no two members have the same key (strict.h: without_duplicates).
  explicit ObjectEdit(Value::Object* object) : object_(object) {}
  ~ObjectEdit();
  ObjectEdit(const ObjectEdit&) = delete;
  ObjectEdit& operator=(const ObjectEdit&) = delete;

  // Null if there is none. Valid until the next set().
  Value* find(std::string_view key);
  // Replaces the member's value, or adds one at the end.
  void set(std::string_view key, Value value);
  void erase(std::string_view key);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  std::optional<size_t> index_of(std::string_view key);

  Value::Object* object_;
  std::vector<bool> erased_;  // as long as the object once something was erased
  bool indexed_ = false;
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> index_;
};

// A text by which scalars can be looked up: equal texts, equal scalars. Empty for lists and objects, which no text
// stands for.
std::string scalar_key(const Value& value);

}  // namespace gantry::api
