// SPDX-License-Identifier: Apache-2.0
// FieldSet: which fields of an object somebody owns, as metadata.managedFields holds it (fieldsV1):
//
//   {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}}}}}
//
// A tree of path elements. An element is a member of the set (owned itself: `.`, or nothing beneath it) or only on the
// way to members. A plain value; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

// One step of a path: a field, an element of a list by its keys, an element of a set by its value, an index.
class PathElement {
 public:
  enum class Kind : uint8_t { kField, kKey, kValue, kIndex };
  using Key = std::vector<std::pair<std::string, Value>>;

  static PathElement field(std::string_view name);
  static PathElement key(Key key);
  static PathElement value(Value value);
  static PathElement index(int64_t index);
  // "f:spec", `k:{"name":"web"}`, `v:"a"`, "i:0".
  static Result<PathElement> parse(std::string_view text);

  Kind kind() const { return kind_; }
  // Of a field.
  const std::string& name() const { return name_; }
  // What parse() reads.
  std::string text() const;
  // For people, as upstream: ".spec", `[name="web"]`, `[="a"]`, "[0]".
  std::string to_string() const;

  friend std::weak_ordering operator<=>(const PathElement& a, const PathElement& b);
  friend bool operator==(const PathElement& a, const PathElement& b) { return (a <=> b) == 0; }

 private:
  Kind kind_ = Kind::kField;
  std::string name_;
  Key key_;  // sorted by name; of a value or index, one pair without a name
};

using FieldPath = std::vector<PathElement>;

// Of named fields: {"metadata", "labels"}.
FieldPath field_path(const std::vector<std::string>& names);

// ".spec.containers[name=\"web\"].image"
std::string to_string(const FieldPath& path);

class FieldSet {
 public:
  struct Entry;
  using Entries = std::map<PathElement, Entry>;

  FieldSet();
  FieldSet(const FieldSet& other);
  FieldSet(FieldSet&& other) noexcept;
  FieldSet& operator=(const FieldSet& other);
  FieldSet& operator=(FieldSet&& other) noexcept;
  ~FieldSet();

  // Elements of types that we don't know are skipped. kInvalidArgument for what is no fieldsV1.
  static Result<FieldSet> from_value(const Value& fields_v1);
  // In upstream's order.
  Value to_value() const;
  // Of named fields only: {"metadata", "name"}.
  static FieldSet of(std::initializer_list<std::initializer_list<std::string_view>> paths);

  // No member anywhere.
  bool empty() const { return entries_.empty(); }
  bool has(const PathElement& element) const;
  bool has(const FieldPath& path) const;
  // What is beneath the element; null if there is nothing.
  const FieldSet* beneath(const PathElement& element) const;
  const Entries& entries() const { return entries_; }
  // Every member, those of one place before what is beneath them.
  void for_each(const std::function<void(const FieldPath&)>& visit) const;

  void insert(const FieldPath& path);
  // Adds the element, if it is a member, and what is beneath it. Nothing is added for an element with neither.
  void add(const PathElement& element, bool member, FieldSet beneath);

  // Members of either; of this one but not the other; of both.
  FieldSet plus(const FieldSet& other) const;
  FieldSet minus(const FieldSet& other) const;
  FieldSet common(const FieldSet& other) const;
  // As minus, and nothing is left beneath a member of the other.
  FieldSet minus_whole(const FieldSet& other) const;

  friend bool operator==(const FieldSet& a, const FieldSet& b);

 private:
  void visit_members(FieldPath* path, const std::function<void(const FieldPath&)>& visit) const;

  Entries entries_;  // each is a member or has something beneath it
};

struct FieldSet::Entry {
  bool member = false;
  FieldSet beneath;
};

}  // namespace gantry::api
