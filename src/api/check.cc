// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"

#include <algorithm>

#include "api/text.h"

namespace gantry::api {

namespace {

// Enough to repair a manifest by; an object made to fail everywhere costs no more than this.
constexpr size_t kMaxProblems = 100;

}  // namespace

Check Check::at(std::string_view field) const { return Check(problems_, cat(path_, path_.empty() ? "" : ".", field)); }
Check Check::operator[](size_t index) const { return Check(problems_, cat(path_, '[', index, ']')); }
Check Check::key(std::string_view key) const { return Check(problems_, cat(path_, '[', key, ']')); }

void Check::required(std::string_view detail) const { add(FieldProblem::Kind::kRequired, std::string(detail)); }

void Check::invalid(std::string_view value, std::string_view rule) const {
  add(FieldProblem::Kind::kInvalid, cat(quoted(value), ": ", rule));
}

void Check::invalid(int64_t value, std::string_view rule) const {
  add(FieldProblem::Kind::kInvalid, cat(value, ": ", rule));
}

void Check::duplicate(std::string_view value) const {
  add(FieldProblem::Kind::kDuplicate, cat(quoted(value), " is used more than once"));
}

void Check::not_found(std::string_view value, std::string_view where) const {
  add(FieldProblem::Kind::kNotFound, cat(quoted(value), " is not ", where));
}

void Check::forbidden(std::string_view detail) const { add(FieldProblem::Kind::kForbidden, std::string(detail)); }

void Check::too_long(size_t size, size_t most, std::string_view unit) const {
  add(FieldProblem::Kind::kTooLong, cat("has ", size, ' ', unit, "; at most ", most, " are allowed"));
}

void Check::one_of(std::string_view value, std::initializer_list<std::string_view> allowed) const {
  one_of(value, std::span(allowed.begin(), allowed.size()));
}

void Check::one_of(std::string_view value, std::span<const std::string_view> allowed) const {
  if (std::ranges::find(allowed, value) != allowed.end()) return;
  std::string list;
  for (const std::string_view word : allowed) list += cat(list.empty() ? "" : ", ", quoted(word));
  add(FieldProblem::Kind::kNotSupported, cat(quoted(value), ": expected one of ", list));
}

void Check::in_range(int64_t value, int64_t least, int64_t most) const {
  if (value < least || value > most) invalid(value, cat("must be between ", least, " and ", most));
}

void Check::not_negative(int64_t value) const {
  if (value < 0) invalid(value, "must not be negative");
}

void Check::name(std::string_view value, std::string (*rule)(std::string_view)) const {
  if (value.empty()) return required();
  optional_name(value, rule);
}

void Check::well_formed(std::string_view value, std::string (*rule)(std::string_view)) const {
  if (const std::string wrong = rule(value); !wrong.empty()) invalid(value, wrong);
}

void Check::optional_name(std::string_view value, std::string (*rule)(std::string_view)) const {
  if (!value.empty()) well_formed(value, rule);
}

void Check::add(FieldProblem::Kind kind, std::string detail) const {
  if (problems_->size() < kMaxProblems) problems_->push_back({kind, path_, std::move(detail), {}});
}

}  // namespace gantry::api
