// SPDX-License-Identifier: Apache-2.0
// LabelSelector: which objects a list, a watch or a controller means, by their labels. Read from the text of a query
// ("app=web,tier in (a,b),!old") or from the struct that objects hold (meta/v1 LabelSelector). A plain value; any
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/value.h"
#include "base/result.h"

namespace gantry::api {

class LabelSelector {
 public:
  enum class Operator : uint8_t {
    kIn,
    kNotIn,
    kEquals,
    kDoubleEquals,
    kNotEquals,
    kExists,
    kDoesNotExist,
    kGreaterThan,
    kLessThan,
  };
  struct Requirement {
    std::string key;
    Operator op = Operator::kExists;
    std::vector<std::string> values;  // sorted, each once
  };
  // The value of a label, or null if the object has no such label.
  using Lookup = std::function<const std::string*(const std::string& key)>;

  // Selects everything.
  LabelSelector() = default;
  static LabelSelector nothing();

  // `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, `a>1`, `a<1`, with commas between, white space
  // anywhere. The empty text selects everything. kInvalidArgument in upstream's words: "unable to parse requirement:
  // found '=', expected: identifier".
  static Result<LabelSelector> parse(std::string_view text);
  // {"matchLabels": {...}, "matchExpressions": [{"key", "operator", "values"}]}. null selects nothing, {} everything.
  static Result<LabelSelector> from_value(const Value& selector);

  bool matches(const Lookup& labels) const;
  // Labels as an object of strings; null: the object has none.
  bool matches(const Value* labels) const;
  // Labels as a map from strings to strings: a std::map, or a protobuf map.
  template <typename Map>
  bool matches_map(const Map& labels) const {
    return matches([&labels](const std::string& key) -> const std::string* {
      const auto found = labels.find(key);
      return found == labels.end() ? nullptr : &found->second;
    });
  }

  bool selects_everything() const { return !nothing_ && requirements_.empty(); }
  bool selects_nothing() const { return nothing_; }
  // All of them have to be met. In the order of their keys.
  const std::vector<Requirement>& requirements() const { return requirements_; }
  // The canonical text: "a=b,c in (d,e)". parse() reads it, unless the selector selects nothing.
  std::string to_string() const;

 private:
  // Checks the requirement before it takes it.
  Status add(Requirement requirement);
  void sort();

  std::vector<Requirement> requirements_;
  bool nothing_ = false;
};

}  // namespace gantry::api
