// SPDX-License-Identifier: Apache-2.0
#include "api/field_selector.h"

#include <algorithm>
#include <utility>

#include "api/text.h"

namespace gantry::api {

namespace {

constexpr size_t kMaxText = size_t{1} << 20;
constexpr size_t kMaxShown = 256;

// The terms between commas that no backslash precedes.
std::vector<std::string_view> terms_of(std::string_view text) {
  std::vector<std::string_view> terms;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == ',') {
      terms.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  terms.push_back(text.substr(begin));
  return terms;
}

Result<std::string> unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',' || text[i] == '=') {
      return invalid_argument(cat("invalid field selector: unescaped character in value: ", text[i]));
    }
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    ++i;
    if (i >= text.size() || (text[i] != '\\' && text[i] != ',' && text[i] != '=')) {
      return invalid_argument(cat("invalid field selector: invalid escape sequence: ", as_utf8(text.substr(i - 1, 2))));
    }
    out += text[i];
  }
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == ',' || c == '=') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

Result<FieldSelector> FieldSelector::parse(std::string_view text, const Allowed& allowed) {
  if (text.size() > kMaxText) {
    return fail(Code::kResourceExhausted, cat("a field selector of ", text.size(), " bytes; at most ", kMaxText));
  }
  std::vector<std::string_view> terms = terms_of(text);
  std::ranges::sort(terms);
  FieldSelector selector;
  for (const std::string_view term : terms) {
    if (term.empty()) continue;
    size_t at = term.find('=');
    const size_t bang = term.find("!=");
    const bool equal = bang == term.npos || bang > at;
    if (!equal) at = bang;
    if (at == term.npos) {
      return invalid_argument(
          cat("invalid selector: '", as_utf8(text, kMaxShown), "'; can't understand '", as_utf8(term, kMaxShown), "'"));
    }
    const std::string_view field = term.substr(0, at);
    const size_t length = !equal || term.substr(at).starts_with("==") ? 2 : 1;
    Result<std::string> value = unescaped(term.substr(at + length));
    if (!value) return std::unexpected(value.error());
    if (!allowed(field)) return invalid_argument(cat("field label not supported: ", as_utf8(field, kMaxShown)));
    selector.requirements_.push_back({std::string(field), equal, std::move(*value)});
  }
  return selector;
}

bool FieldSelector::matches(const Lookup& fields) const {
  return std::ranges::all_of(requirements_, [&](const Requirement& requirement) {
    return (fields(requirement.field) == requirement.value) == requirement.equal;
  });
}

std::optional<std::string> FieldSelector::exact(std::string_view field) const {
  for (const Requirement& requirement : requirements_) {
    if (requirement.equal && requirement.field == field) return requirement.value;
  }
  return std::nullopt;
}

std::string FieldSelector::to_string() const {
  std::string out;
  for (const Requirement& requirement : requirements_) {
    out += cat(out.empty() ? "" : ",", requirement.field, requirement.equal ? "=" : "!=", escaped(requirement.value));
  }
  return out;
}

}  // namespace gantry::api
