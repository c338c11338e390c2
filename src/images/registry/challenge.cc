// SPDX-License-Identifier: Apache-2.0
#include "images/registry/challenge.h"

#include <algorithm>

#include "images/text.h"

namespace gantry::images {
namespace {

constexpr std::size_t kMaxHeader = 8192;

bool is_token(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").contains(c);
}

class Parser {
 public:
  explicit Parser(std::string_view header) : header_(header), rest_(header) {}

  Result<std::vector<Challenge>> run() {
    std::vector<Challenge> out;
    for (;;) {
      skip(" \t,");
      if (rest_.empty()) return out;
      std::string_view word = token();
      if (word.empty()) return bad("expected the name of a scheme");
      out.push_back(Challenge{lowered(word), {}});
      // Parameters, or the scheme's one opaque word, or nothing.
      if (rest_.empty() || rest_.front() == ',') continue;
      if (rest_.front() != ' ') return bad("expected a space behind the scheme");
      skip(" \t");
      if (auto read = parameters(out.back()); !read) return std::unexpected(std::move(read.error()));
    }
  }

 private:
  Status parameters(Challenge& challenge) {
    for (bool first = true;; first = false) {
      std::string_view before = rest_;
      if (!first) skip(" \t,");
      std::string_view name = token();
      skip(" \t");
      if (name.empty() || !rest_.starts_with('=')) {
        if (first) {
          skip_opaque();
        } else {
          rest_ = before;  // the next scheme
        }
        return {};
      }
      rest_.remove_prefix(1);
      if (first && !rest_.empty() && (rest_.front() == '=' || rest_.front() == ',')) {  // "abc==": opaque
        skip_opaque();
        return {};
      }
      skip(" \t");
      auto value = this->value();
      if (!value) return std::unexpected(std::move(value.error()));
      if (!challenge.parameters.emplace(lowered(name), std::move(*value)).second)
        return bad("a parameter that is twice");
      skip(" \t");
      if (rest_.empty()) return {};
      if (rest_.front() != ',') return bad("expected a comma");
    }
  }

  Result<std::string> value() {
    if (rest_.empty() || rest_.front() != '"') {
      std::string_view word = token();
      if (word.empty()) return bad("a parameter without a value");
      return std::string(word);
    }
    std::string out;
    for (rest_.remove_prefix(1); !rest_.empty(); rest_.remove_prefix(1)) {
      if (rest_.front() == '"') {
        rest_.remove_prefix(1);
        return out;
      }
      if (rest_.front() == '\\') {
        rest_.remove_prefix(1);
        if (rest_.empty()) break;
      }
      out += rest_.front();
    }
    return bad("a quote that does not end");
  }

  std::string_view token() {
    std::size_t end = 0;
    while (end < rest_.size() && is_token(rest_[end])) ++end;
    std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return word;
  }
  void skip(std::string_view characters) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(characters), rest_.size()));
  }
  void skip_opaque() { rest_.remove_prefix(std::min(rest_.find(','), rest_.size())); }

  std::unexpected<Error> bad(std::string_view why) {
    return invalid_argument(cat("WWW-Authenticate ", in_quotes(header_), ": ", why));
  }

  std::string_view header_;
  std::string_view rest_;
};

}  // namespace

std::string Challenge::parameter(const std::string& name) const {
  auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : found->second;
}

Result<std::vector<Challenge>> parse_challenges(std::string_view header) {
  if (header.size() > kMaxHeader) {
    return invalid_argument(cat("WWW-Authenticate: ", header.size(), " bytes, at most ", kMaxHeader, " are allowed"));
  }
  return Parser(header).run();
}

}  // namespace gantry::images
