// SPDX-License-Identifier: Apache-2.0
#include "api/merge_patch.h"

#include <utility>

#include "api/object_edit.h"
#include "api/strict.h"

namespace gantry::api {

namespace {

// What is new in a document takes no nulls along, as upstream has it inside lists too.
void prune_nulls(Value* value) {
  if (Value::List* list = value->as_list()) {
    for (Value& element : *list) prune_nulls(&element);
    return;
  }
  Value::Object* object = value->as_object();
  if (object == nullptr) return;
  std::erase_if(*object, [](const Value::Member& member) { return member.value.is_null(); });
  for (Value::Member& member : *object) prune_nulls(&member.value);
}

void merge(Value::Object* document, Value::Object&& patch) {
  ObjectEdit edit(document);
  for (Value::Member& member : patch) {
    if (member.value.is_null()) {
      edit.erase(member.key);
      continue;
    }
    Value* current = edit.find(member.key);
    if (current != nullptr && current->is_object()) {
      if (member.value.is_object()) {
        merge(current->as_object(), std::move(*member.value.as_object()));
      } else {
        *current = std::move(member.value);
      }
      continue;
    }
    prune_nulls(&member.value);
    edit.set(member.key, std::move(member.value));
  }
}

}  // namespace

Result<Value> apply_merge_patch(Value document, const Value& patch) {
  if (!document.is_object()) return invalid_argument("Invalid JSON Document");
  if (!patch.is_object()) return invalid_argument("Invalid JSON Patch");
  Value clean = without_duplicates(patch);
  merge(document.as_object(), std::move(*clean.as_object()));
  return document;
}

}  // namespace gantry::api
