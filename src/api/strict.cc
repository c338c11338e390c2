// SPDX-License-Identifier: Apache-2.0
#include "api/strict.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/text.h"

namespace gantry::api {

namespace {

constexpr size_t kMaxProblems = 100;

class DuplicateFinder {
 public:
  explicit DuplicateFinder(FieldProblems* problems) : problems_(problems) {}

  void look_in(const Value& value) {
    const size_t length = path_.size();
    if (const Value::List* list = value.as_list()) {
      for (size_t i = 0; i < list->size() && found_ < kMaxProblems; ++i) {
        path_ += cat('[', i, ']');
        look_in((*list)[i]);
        path_.resize(length);
      }
    }
    const Value::Object* object = value.as_object();
    if (object == nullptr) return;
    std::unordered_set<std::string_view> seen;
    for (const Value::Member& member : *object) {
      if (found_ >= kMaxProblems) return;
      path_ += cat(length > 0 ? "." : "", member.key);
      if (!seen.insert(member.key).second) {
        ++found_;
        problems_->push_back(
            {FieldProblem::Kind::kDuplicateField, path_, "the field stands here a second time", member.position});
      }
      look_in(member.value);
      path_.resize(length);
    }
  }

 private:
  FieldProblems* problems_;
  std::string path_;
  size_t found_ = 0;
};

}  // namespace

void find_duplicates(const Value& document, FieldProblems* problems) { DuplicateFinder(problems).look_in(document); }

void find_unknown_in_json_patch(const Value& patch, FieldProblems* problems) {
  const Value::List* operations = patch.as_list();
  if (operations == nullptr) return;
  size_t found = 0;
  for (size_t i = 0; i < operations->size(); ++i) {
    const Value::Object* operation = (*operations)[i].as_object();
    if (operation == nullptr) continue;
    for (const Value::Member& member : *operation) {
      const std::string_view key = member.key;
      if (key == "op" || key == "path" || key == "from" || key == "value") continue;
      if (++found > kMaxProblems) return;
      problems->push_back(
          {FieldProblem::Kind::kUnknownField, cat('[', i, "].", key), "unknown field", member.position});
    }
  }
}

Value without_duplicates(Value document) {
  if (Value::List* list = document.as_list()) {
    for (Value& element : *list) element = without_duplicates(std::move(element));
    return document;
  }
  Value::Object* object = document.as_object();
  if (object == nullptr) return document;
  std::unordered_map<std::string_view, size_t> first;  // into `clean`, whose strings stay where they are
  Value::Object clean;
  clean.reserve(object->size());
  for (Value::Member& member : *object) {
    const auto known = first.find(member.key);
    if (known != first.end()) {
      clean[known->second].value = without_duplicates(std::move(member.value));
      continue;
    }
    member.value = without_duplicates(std::move(member.value));
    clean.push_back(std::move(member));
    first.emplace(clean.back().key, clean.size() - 1);
  }
  *object = std::move(clean);
  return document;
}

size_t depth_of(const Value& value) {
  size_t deepest = 0;
  if (const Value::List* list = value.as_list()) {
    for (const Value& element : *list) deepest = std::max(deepest, depth_of(element));
    return deepest + 1;
  }
  if (const Value::Object* object = value.as_object()) {
    for (const Value::Member& member : *object) deepest = std::max(deepest, depth_of(member.value));
    return deepest + 1;
  }
  return 0;
}

}  // namespace gantry::api
