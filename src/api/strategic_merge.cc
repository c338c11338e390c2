// SPDX-License-Identifier: Apache-2.0
#include "api/strategic_merge.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/object_edit.h"
#include "api/strict.h"
#include "api/text.h"

namespace gantry::api {

namespace {

constexpr std::string_view kDirective = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kDeleteFromList = "$deleteFromPrimitiveList";
constexpr std::string_view kSetOrder = "$setElementOrder";

// What a field's schema says of patches, and the type of what it holds: of a list, of its elements.
struct PatchMeta {
  const Schema* type = nullptr;
  std::string_view strategy;
  std::string_view merge_key;
};

std::string_view type_name(Schema::Type type) {
  switch (type) {
    case Schema::Type::kMap:
      return "map";
    case Schema::Type::kList:
      return "slice";
    case Schema::Type::kStruct:
      return "struct";
    default:
      return "scalar";
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kObject:
      return "map";
    case Value::Kind::kList:
      return "slice";
    case Value::Kind::kString:
      return "string";
    case Value::Kind::kBool:
      return "bool";
    case Value::Kind::kInteger:
    case Value::Kind::kNumber:
      return "number";
    case Value::Kind::kNull:
      return "nil";
  }
  return "nil";
}

Result<PatchMeta> meta_of(const Schema& schema, std::string_view key) {
  if (schema.type != Schema::Type::kStruct) {
    return invalid_argument(
        cat("merging an object in json but data type is not struct, instead is: ", type_name(schema.type)));
  }
  const Schema::Field* field = schema.find(key);
  if (field == nullptr) {
    const std::string_view name = std::string_view(schema.name).substr(schema.name.rfind('.') + 1);
    return invalid_argument(cat("unable to find api field in struct ", name, " for the json field ", quoted(key)));
  }
  PatchMeta meta{field->type, {}, field->patch_merge_key};
  for (const std::string& strategy : field->patch_strategies) {
    if (strategy != "retainKeys") meta.strategy = strategy;
  }
  return meta;
}

Result<PatchMeta> list_meta_of(const Schema& schema, std::string_view key) {
  Result<PatchMeta> meta = meta_of(schema, key);
  if (!meta) return meta;
  if (meta->type->type != Schema::Type::kList) {
    return invalid_argument(cat("expected slice or array type, but got: ", type_name(meta->type->type)));
  }
  meta->type = meta->type->element;
  return meta;
}

std::unexpected<Error> bad_type(std::string_view expected, const Value& found) {
  return invalid_argument(cat("expected a ", expected, ", but received a ", type_name(found)));
}

std::unexpected<Error> no_merge_key(std::string_view key) {
  return invalid_argument(cat("map: an element of the list does not contain declared merge key: ", key));
}

std::unexpected<Error> bad_directive(const Value& directive) {
  return invalid_argument(cat("unknown patch type: ", describe(directive)));
}

bool is(const Value* directive, std::string_view word) {
  return directive != nullptr && directive->is_string() && *directive->as_string() == word;
}

// "containers" of "$setElementOrder/containers".
Result<std::string> list_name(std::string_view key, std::string_view prefix) {
  const size_t slash = key.find('/');
  if (slash != prefix.size()) {
    return invalid_argument(prefix == kSetOrder ? "invalid patch format of setElementOrder list"
                                                : "invalid patch format of primitive list");
  }
  return std::string(key.substr(slash + 1));
}

void discard_nulls(Value* value) {
  if (Value::List* list = value->as_list()) {
    for (Value& element : *list) discard_nulls(&element);
    return;
  }
  Value::Object* object = value->as_object();
  if (object == nullptr) return;
  std::erase_if(*object, [](const Value::Member& member) { return member.value.is_null(); });
  for (Value::Member& member : *object) discard_nulls(&member.value);
}

// False if the value itself is to go: it was an object with a $patch.
bool remove_directives(Value* value) {
  if (Value::List* list = value->as_list()) {
    std::erase_if(*list, [](Value& element) { return !remove_directives(&element); });
    return true;
  }
  Value::Object* object = value->as_object();
  if (object == nullptr) return true;
  if (value->find(kDirective) != nullptr) return false;
  std::erase_if(*object, [](Value::Member& member) { return !remove_directives(&member.value); });
  return true;
}

// Elements by what tells them apart: their merge key, or, for scalars, themselves.
class ElementIndex {
 public:
  // All elements are objects with the key, or scalars if the key is empty.
  ElementIndex(const Value::List& list, std::string_view merge_key) : merge_key_(merge_key) {
    for (size_t i = 0; i < list.size(); ++i) places_.emplace(id(list[i]), i);
  }

  // The first element that has the same, or nothing.
  std::optional<size_t> find(const Value& element) const {
    const auto found = places_.find(id(element));
    if (found == places_.end()) return std::nullopt;
    return found->second;
  }
  void add(const Value& element, size_t place) { places_.emplace(id(element), place); }

 private:
  std::string id(const Value& element) const {
    if (merge_key_.empty()) return scalar_key(element);
    const Value* key = element.find(merge_key_);
    return key == nullptr ? std::string() : scalar_key(*key);
  }

  std::string_view merge_key_;
  std::unordered_map<std::string, size_t> places_;
};

// Whether elements are objects; an error when they are not all of one type, or lists. Empty when there is none.
Result<std::optional<bool>> are_objects(const Value::List& a, const Value::List& b) {
  const Value* first = nullptr;
  for (const Value::List* list : {&a, &b}) {
    for (const Value& element : *list) {
      if (element.is_list()) return invalid_argument("lists of lists are not supported");
      if (first == nullptr) first = &element;
      if (element.kind() != first->kind() || element.is_null()) {
        return invalid_argument(
            cat("list element types are not identical: ", describe(*first), ", ", describe(element)));
      }
    }
  }
  if (first == nullptr) return std::optional<bool>();
  return std::optional<bool>(first->is_object());
}

// Each is an object that has the key, and its value is a scalar.
Status check_merge_key(const Value::List& list, std::string_view key) {
  for (const Value& element : list) {
    if (!element.is_object()) return bad_type("map", element);
    const Value* value = element.find(key);
    if (value == nullptr) return no_merge_key(key);
    if (value->is_object() || value->is_list()) return bad_type("scalar", *value);
  }
  return {};
}

Value::List taken(Value::List& list, const std::vector<size_t>& places) {
  Value::List out;
  out.reserve(places.size());
  for (const size_t place : places) out.push_back(std::move(list[place]));
  return out;
}

// Puts a merged list in order: what the patch names, in the patch's order, with what only the document has between,
// where it stood. `merged` has what `patch_order` and `document_order` have; what neither has comes where it stands.
Value::List in_order(Value::List merged, const Value::List& patch_order, const Value::List& document_order,
                     std::string_view merge_key) {
  const ElementIndex by_patch(patch_order, merge_key);
  const ElementIndex by_document(document_order, merge_key);
  std::vector<std::optional<size_t>> in_patch(merged.size());
  std::vector<std::optional<size_t>> in_document(merged.size());
  std::vector<size_t> patched;
  std::vector<size_t> kept;
  for (size_t i = 0; i < merged.size(); ++i) {
    in_patch[i] = by_patch.find(merged[i]);
    in_document[i] = by_document.find(merged[i]);
    (in_patch[i] ? patched : kept).push_back(i);
  }
  std::ranges::sort(patched, {}, [&](size_t i) { return std::pair(*in_patch[i], i); });
  std::ranges::sort(kept, {}, [&](size_t i) { return std::pair(in_document[i].value_or(SIZE_MAX), i); });
  std::vector<size_t> order;
  order.reserve(merged.size());
  size_t next = 0;
  for (const size_t i : patched) {
    // What was before it in the document stays before it, as far as both orders allow.
    while (next < kept.size() && in_document[i] && in_document[kept[next]] &&
           *in_document[kept[next]] < *in_document[i]) {
      order.push_back(kept[next++]);
    }
    order.push_back(i);
  }
  order.insert(order.end(), kept.begin() + static_cast<std::ptrdiff_t>(next), kept.end());
  return taken(merged, order);
}

Status merge_objects(Value* document, Value patch, const Schema& schema);

// Carries out and removes the elements of a patch that are directives.
Status apply_special_elements(Value::List* document, Value::List* patch, std::string_view merge_key) {
  Value::List rest;
  Value::List deleted;
  bool replace = false;
  for (Value& element : *patch) {
    const Value* directive = element.find(kDirective);
    if (directive == nullptr) {
      rest.push_back(std::move(element));
    } else if (is(directive, "delete")) {
      if (element.find(merge_key) == nullptr) return no_merge_key(merge_key);
      deleted.push_back(std::move(element));
    } else if (is(directive, "replace")) {
      replace = true;
    } else if (is(directive, "merge")) {
      return invalid_argument("merging lists cannot yet be specified in the patch");
    } else {
      return bad_directive(*directive);
    }
  }
  if (!deleted.empty()) {
    const ElementIndex gone(deleted, merge_key);
    std::erase_if(*document, [&](const Value& element) {
      return element.find(merge_key) != nullptr && gone.find(element).has_value();
    });
  }
  if (replace) {
    *document = std::move(rest);
    patch->clear();
  } else {
    *patch = std::move(rest);
  }
  return {};
}

// A list that its field says to merge. `unordered`, if it is not null, gets the merged list as it was before it was
// ordered.
Result<Value::List> merge_lists(Value::List document, Value::List patch, const PatchMeta& meta,
                                Value::List* unordered) {
  Result<std::optional<bool>> objects = are_objects(document, patch);
  if (!objects) return std::unexpected(objects.error());
  if (!*objects) return document;
  Value::List merged;
  if (!**objects) {
    ElementIndex known({}, {});
    for (const Value::List* list : {&document, &patch}) {
      for (const Value& element : *list) {
        if (known.find(element)) continue;
        known.add(element, merged.size());
        merged.push_back(element);
      }
    }
    return in_order(std::move(merged), patch, document, {});
  }
  const std::string_view key = meta.merge_key;
  if (key.empty()) {
    return invalid_argument(cat("cannot merge lists without merge key for ", type_name(meta.type->type)));
  }
  if (Status status = apply_special_elements(&document, &patch, key); !status) return std::unexpected(status.error());
  for (const Value::List* list : {&document, &patch}) {
    if (Status status = check_merge_key(*list, key); !status) return std::unexpected(status.error());
  }
  ElementIndex known(document, key);
  merged = document;
  for (const Value& element : patch) {
    if (const auto place = known.find(element)) {
      if (Status status = merge_objects(&merged[*place], element, *meta.type); !status) {
        return std::unexpected(status.error());
      }
      continue;
    }
    known.add(element, merged.size());
    merged.push_back(element);
  }
  // A merge may have taken the key away: {$patch: delete} makes an element empty.
  if (Status status = check_merge_key(merged, key); !status) return std::unexpected(status.error());
  if (unordered != nullptr) *unordered = merged;
  return in_order(std::move(merged), patch, document, key);
}

Result<Value::List> merge_list_field(Value::List document, Value::List patch, const PatchMeta& meta,
                                     Value::List* unordered = nullptr) {
  if (meta.strategy != "merge") return patch;
  return merge_lists(std::move(document), std::move(patch), meta, unordered);
}

Result<Value::List> delete_from_list(Value::List document, const Value::List& patch) {
  Result<std::optional<bool>> objects = are_objects(document, patch);
  if (!objects) return std::unexpected(objects.error());
  if (*objects && **objects) return invalid_argument("invalid patch format of primitive list");
  const ElementIndex gone(patch, {});
  std::erase_if(document, [&](const Value& element) { return gone.find(element).has_value(); });
  return document;
}

Status apply_retain_keys(Value* document, Value* patch) {
  const Value* retained = patch->find(kRetainKeys);
  if (retained == nullptr) return {};
  const Value::List* list = retained->as_list();
  if (list == nullptr) return invalid_argument("invalid patch format of retainKeys");
  const ElementIndex keep(*list, {});
  for (const Value::Member& member : *patch->as_object()) {
    if (member.key == kRetainKeys || member.value.is_null() || member.key.starts_with(kDeleteFromList) ||
        member.key.starts_with(kSetOrder)) {
      continue;
    }
    if (!keep.find(Value(member.key))) return invalid_argument("invalid patch format of retainKeys");
  }
  std::erase_if(*document->as_object(), [&](const Value::Member& m) { return !keep.find(Value(m.key)); });
  std::erase_if(*patch->as_object(), [](const Value::Member& m) { return m.key == kRetainKeys; });
  return {};
}

// What a patch changes or adds comes in the order that it gives, and is a part of it.
Status check_order(const Value::List& patch, const Value::List& order, std::string_view merge_key) {
  if (patch.empty() || order.empty()) return {};
  size_t next = 0;
  for (const Value& element : patch) {
    if (!merge_key.empty() && !element.is_object()) return bad_type("map", element);
    if (element.find(kDirective) != nullptr) continue;
    bool found = false;
    while (next < order.size() && !found) {
      const Value* a = merge_key.empty() ? &element : element.find(merge_key);
      const Value* b = merge_key.empty() ? &order[next] : order[next].find(merge_key);
      if (!merge_key.empty() && !order[next].is_object()) return bad_type("map", order[next]);
      if (a == nullptr || b == nullptr) return no_merge_key(merge_key);
      found = *a == *b;
      ++next;
    }
    if (!found) {
      return invalid_argument(
          cat("The order in patch list:\n", describe(element), "\n doesn't match ", kSetOrder, " list"));
    }
  }
  return {};
}

// One $setElementOrder, together with the list that it orders, which is taken out of the patch.
Status apply_order(ObjectEdit* document, ObjectEdit* patch, std::string_view directive, const Schema& schema) {
  const Value order_value = *patch->find(directive);
  patch->erase(directive);
  const Value::List* order = order_value.as_list();
  if (order == nullptr) return bad_type("slice", order_value);
  Result<std::string> name = list_name(directive, kSetOrder);
  if (!name) return std::unexpected(name.error());
  Value* current = document->find(*name);
  Value* change = patch->find(*name);
  if (current != nullptr && !current->is_list()) return bad_type("slice", *current);
  if (change != nullptr && !change->is_list()) return bad_type("slice", *change);
  Result<PatchMeta> meta = list_meta_of(schema, *name);
  if (!meta) return std::unexpected(meta.error());
  const std::string_view key = meta->merge_key;
  if (change != nullptr) {
    if (Status status = check_order(*change->as_list(), *order, key); !status) return status;
  }
  if (current == nullptr && change == nullptr) return {};
  Value::List live = current != nullptr ? *current->as_list() : Value::List();
  Value::List merged = live;
  Value::List unordered;
  if (current == nullptr) {
    Value added = *change;
    remove_directives(&added);
    merged = std::move(*added.as_list());
  } else if (change != nullptr) {
    Result<Value::List> both = merge_list_field(live, *change->as_list(), *meta, &unordered);
    if (!both) return std::unexpected(both.error());
    merged = std::move(*both);
  }
  Result<std::optional<bool>> objects = are_objects(live, change != nullptr ? *change->as_list() : Value::List());
  if (!objects) return std::unexpected(objects.error());
  if (!*objects) return invalid_argument("no elements in any of the given slices");
  if (key.empty() && **objects) return invalid_argument("invalid patch format of setElementOrder list");
  if (!key.empty()) {
    for (const Value::List* list : std::initializer_list<const Value::List*>{&merged, order, &live}) {
      if (Status status = check_merge_key(*list, key); !status) return status;
    }
  }
  // Where elements were deleted, upstream lets those that were added have their places among the document's.
  if (!unordered.empty()) {
    unordered.resize(std::min(unordered.size(), live.size()));
    live = std::move(unordered);
  }
  document->set(*name, in_order(std::move(merged), *order, live, key));
  patch->erase(*name);
  return {};
}

// What the patch says of one member of the document.
Status merge_member(ObjectEdit* document, Value::Member&& member, const Schema& schema) {
  const bool deletes = member.key.starts_with(kDeleteFromList);
  std::string key = member.key;
  if (deletes) {
    Result<std::string> name = list_name(key, kDeleteFromList);
    if (!name) return std::unexpected(name.error());
    key = std::move(*name);
  }
  Value& change = member.value;
  if (change.is_null()) {
    document->erase(key);
    return {};
  }
  Value* current = document->find(key);
  const bool both_objects = current != nullptr && current->is_object() && change.is_object();
  const bool both_lists = current != nullptr && current->is_list() && change.is_list();
  if (!both_objects && !both_lists) {
    if (deletes) return {};
    if (current == nullptr || current->kind() != change.kind()) discard_nulls(&change);
    if (remove_directives(&change)) {
      document->set(key, std::move(change));
    } else {
      document->erase(key);
    }
    return {};
  }
  if (both_objects) {
    if (deletes) return invalid_argument("invalid patch format of primitive list");
    Result<PatchMeta> meta = meta_of(schema, key);
    if (!meta) return std::unexpected(meta.error());
    if (meta->strategy == "replace") {
      *current = std::move(change);
      return {};
    }
    return merge_objects(current, std::move(change), *meta->type);
  }
  Result<PatchMeta> meta = list_meta_of(schema, key);
  if (!meta) return std::unexpected(meta.error());
  Result<Value::List> merged =
      deletes ? delete_from_list(std::move(*current->as_list()), *change.as_list())
              : merge_list_field(std::move(*current->as_list()), std::move(*change.as_list()), *meta);
  if (!merged) return std::unexpected(merged.error());
  *current = std::move(*merged);
  return {};
}

Status merge_objects(Value* document, Value patch, const Schema& schema) {
  if (const Value* directive = patch.find(kDirective)) {
    if (is(directive, "replace")) {
      std::erase_if(*patch.as_object(), [](const Value::Member& member) { return member.key == kDirective; });
      *document = std::move(patch);
      return {};
    }
    if (!is(directive, "delete")) return bad_directive(*directive);
    *document = Value(Value::Object());
    return {};
  }
  if (Status status = apply_retain_keys(document, &patch); !status) return status;
  ObjectEdit edit(document->as_object());
  std::vector<std::string> orders;
  for (const Value::Member& member : *patch.as_object()) {
    if (member.key.starts_with(kSetOrder)) orders.push_back(member.key);
  }
  if (!orders.empty()) {
    ObjectEdit patch_edit(patch.as_object());
    for (const std::string& directive : orders) {
      if (Status status = apply_order(&edit, &patch_edit, directive, schema); !status) return status;
    }
  }
  for (const bool deletions : {true, false}) {
    for (Value::Member& member : *patch.as_object()) {
      if (member.key.starts_with(kDeleteFromList) != deletions) continue;
      if (Status status = merge_member(&edit, std::move(member), schema); !status) return status;
    }
  }
  return {};
}

}  // namespace

Result<Value> apply_strategic_merge_patch(const Schema& schema, Value document, const Value& patch) {
  if (!document.is_object() || !patch.is_object()) return invalid_argument("invalid JSON document");
  if (Status status = merge_objects(&document, without_duplicates(patch), schema); !status) {
    return std::unexpected(status.error());
  }
  return document;
}

}  // namespace gantry::api
