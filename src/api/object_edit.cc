// SPDX-License-Identifier: Apache-2.0
#include "api/object_edit.h"

#include <utility>

#include "base/text.h"

namespace gantry::api {

namespace {

// Below this a walk is quicker than making an index.
constexpr size_t kFewMembers = 16;

}  // namespace

ObjectEdit::~ObjectEdit() {
  if (erased_.empty()) return;
  size_t kept = 0;
  for (size_t i = 0; i < object_->size(); ++i) {
    if (i < erased_.size() && erased_[i]) continue;
    if (kept != i) (*object_)[kept] = std::move((*object_)[i]);
    ++kept;
  }
  object_->resize(kept);
}

std::optional<size_t> ObjectEdit::index_of(std::string_view key) {
  const auto gone = [&](size_t i) { return i < erased_.size() && erased_[i]; };
  if (!indexed_ && object_->size() <= kFewMembers) {
    for (size_t i = 0; i < object_->size(); ++i) {
      if ((*object_)[i].key == key && !gone(i)) return i;
    }
    return std::nullopt;
  }
  if (!indexed_) {
    for (size_t i = 0; i < object_->size(); ++i) {
      if (!gone(i)) index_.emplace((*object_)[i].key, i);
    }
    indexed_ = true;
  }
  const auto found = index_.find(key);
  if (found == index_.end()) return std::nullopt;
  return found->second;
}

Value* ObjectEdit::find(std::string_view key) {
  const auto index = index_of(key);
  return index ? &(*object_)[*index].value : nullptr;
}

void ObjectEdit::set(std::string_view key, Value value) {
  if (Value* found = find(key)) {
    *found = std::move(value);
    return;
  }
  if (indexed_) index_.emplace(key, object_->size());
  object_->emplace_back(std::string(key), std::move(value));
}

void ObjectEdit::erase(std::string_view key) {
  const auto index = index_of(key);
  if (!index) return;
  if (erased_.size() < object_->size()) erased_.resize(object_->size());
  erased_[*index] = true;
  if (!indexed_) return;
  if (const auto found = index_.find(key); found != index_.end()) index_.erase(found);
}

std::string scalar_key(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return "null";
    case Value::Kind::kBool:
      return *value.as_bool() ? "true" : "false";
    case Value::Kind::kInteger:
      return cat('#', *value.number_text());
    case Value::Kind::kNumber:
      return cat('~', *value.number_text());
    case Value::Kind::kString:
      return cat('"', *value.as_string());
    case Value::Kind::kList:
    case Value::Kind::kObject:
      return {};
  }
  return {};
}

}  // namespace gantry::api
