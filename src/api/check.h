// SPDX-License-Identifier: Apache-2.0
// Check: where validation stands in an object, and the words for what it finds there. A Check is a path and a place to
// put problems; at(), [] and key() give the Checks of what is inside. Valid as long as the list that it adds to.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "api/problem.h"

namespace gantry::api {

class Check {
 public:
  explicit Check(FieldProblems* problems, std::string path = {}) : problems_(problems), path_(std::move(path)) {}

  Check at(std::string_view field) const;
  Check operator[](size_t index) const;
  Check key(std::string_view key) const;
  const std::string& path() const { return path_; }

  void required(std::string_view detail = "must be set") const;
  void invalid(std::string_view value, std::string_view rule) const;
  void invalid(int64_t value, std::string_view rule) const;
  void duplicate(std::string_view value) const;
  void not_found(std::string_view value, std::string_view where) const;
  void forbidden(std::string_view detail) const;
  void too_long(size_t size, size_t most, std::string_view unit) const;

  // Adds a problem unless the value is one of those.
  void one_of(std::string_view value, std::initializer_list<std::string_view> allowed) const;
  void one_of(std::string_view value, std::span<const std::string_view> allowed) const;
  void in_range(int64_t value, int64_t least, int64_t most) const;
  void not_negative(int64_t value) const;
  // Required, and good by one of names.h.
  void name(std::string_view value, std::string (*rule)(std::string_view)) const;
  // Good by one of names.h, which an empty one may not be.
  void well_formed(std::string_view value, std::string (*rule)(std::string_view)) const;
  // Good by one of names.h, if it is not empty.
  void optional_name(std::string_view value, std::string (*rule)(std::string_view)) const;

 private:
  void add(FieldProblem::Kind kind, std::string detail) const;

  FieldProblems* problems_;
  std::string path_;
};

}  // namespace gantry::api
