// SPDX-License-Identifier: Apache-2.0
// FieldSelector: which objects a list or a watch means, by their fields: "spec.nodeName=n1,status.phase!=Failed". Which
// fields can be asked for is the kind's matter. A plain value; any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::api {

class FieldSelector {
 public:
  struct Requirement {
    std::string field;
    bool equal = true;  // or not equal
    std::string value;
  };
  // Whether the kind can be asked for this field.
  using Allowed = std::function<bool(std::string_view field)>;
  // The field's text; empty if the object has none.
  using Lookup = std::function<std::string(std::string_view field)>;

  // Selects everything.
  FieldSelector() = default;

  // `a=b`, `a==b` and `a!=b` with commas between; in values, `\,`, `\=` and `\\` stand for themselves. A value may be
  // empty. kInvalidArgument in upstream's words: "invalid selector: 'a'; can't understand 'a'", "field label not
  // supported: a".
  static Result<FieldSelector> parse(std::string_view text, const Allowed& allowed);

  bool matches(const Lookup& fields) const;
  bool selects_everything() const { return requirements_.empty(); }
  // The value that the field must have, if the selector says so.
  std::optional<std::string> exact(std::string_view field) const;
  // All of them have to be met.
  const std::vector<Requirement>& requirements() const { return requirements_; }
  // The canonical text, which parse() reads.
  std::string to_string() const;

 private:
  std::vector<Requirement> requirements_;
};

}  // namespace gantry::api
