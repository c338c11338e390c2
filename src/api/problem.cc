// SPDX-License-Identifier: Apache-2.0
#include "api/problem.h"

#include <charconv>

#include "api/text.h"

namespace gantry::api {

namespace {

// Takes the next step of a path ("spec", "[0]", "[key]") off its front, without brackets.
std::string_view take_step(std::string_view& path) {
  if (path.starts_with('.')) path.remove_prefix(1);
  const bool bracket = path.starts_with('[');
  const size_t end = bracket ? path.find(']') : path.find_first_of(".[");
  const std::string_view step = bracket ? path.substr(1, end == path.npos ? end : end - 1) : path.substr(0, end);
  path.remove_prefix(end == path.npos ? path.size() : end + (bracket ? 1 : 0));
  return step;
}

}  // namespace

std::string to_string(const FieldProblem& problem) {
  std::string text = problem.path;
  if (problem.position.line > 0) text += cat(text.empty() ? "" : ": ", "line ", problem.position.line);
  text += cat(text.empty() ? "" : ": ", problem.detail);
  return text;
}

std::string summarize(const FieldProblems& problems, size_t most) {
  std::string text;
  for (size_t i = 0; i < problems.size() && i < most; ++i) {
    text += cat(i > 0 ? "; " : "", to_string(problems[i]));
  }
  if (problems.size() > most) text += cat("; and ", problems.size() - most, " more");
  return text;
}

Status to_status(const FieldProblems& problems) {
  if (problems.empty()) return {};
  return invalid_argument(summarize(problems));
}

Position locate(const Value& document, std::string_view path) {
  const Value* value = &document;
  Position position = document.position();
  while (!path.empty()) {
    const std::string_view step = take_step(path);
    if (const Value::List* list = value->as_list()) {
      size_t index = 0;
      const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), index);
      if (error != std::errc() || end != step.data() + step.size() || index >= list->size()) break;
      value = &(*list)[index];
      position = value->position();
      continue;
    }
    const Value::Object* object = value->as_object();
    if (object == nullptr) break;
    const Value::Member* found = nullptr;
    for (const Value::Member& member : *object) {
      if (member.key == step) found = &member;
    }
    if (found == nullptr) break;
    value = &found->value;
    position = found->position;
  }
  return position;
}

void locate(const Value& document, FieldProblems* problems) {
  for (FieldProblem& problem : *problems) {
    if (problem.position.line == 0) problem.position = locate(document, problem.path);
  }
}

}  // namespace gantry::api
