// SPDX-License-Identifier: Apache-2.0
#include "api/label_selector.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>
#include <utility>

#include "api/names.h"
#include "api/text.h"

namespace gantry::api {

namespace {

using Operator = LabelSelector::Operator;

constexpr size_t kMaxText = size_t{1} << 20;
constexpr size_t kMaxShown = 256;

enum class Token : uint8_t { kEnd, kError, kIdentifier, kComma, kOpen, kClose, kNot, kOperator };

struct Lexeme {
  Token token = Token::kEnd;
  std::string_view text;
};

struct Symbol {
  std::string_view text;
  Operator op;
};
constexpr Symbol kOperators[] = {
    {"in", Operator::kIn},           {"notin", Operator::kNotIn},  {"=", Operator::kEquals},
    {"==", Operator::kDoubleEquals}, {"!=", Operator::kNotEquals}, {">", Operator::kGreaterThan},
    {"<", Operator::kLessThan},
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_symbol(char c) { return std::string_view("=!(),><").find(c) != std::string_view::npos; }

std::string_view text_of(Operator op) {
  for (const Symbol& symbol : kOperators) {
    if (symbol.op == op) return symbol.text;
  }
  return {};
}

std::optional<int64_t> integer(std::string_view text) {
  int64_t value = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::unexpected<Error> found(std::string_view text, std::string_view expected) {
  return invalid_argument(cat("found '", as_utf8(text, kMaxShown), "', expected: ", expected));
}

std::unexpected<Error> invalid(std::string_view path, std::string_view value, std::string_view rule) {
  return invalid_argument(cat(path, ": Invalid value: ", gantry::quoted(value, kMaxShown), ": ", rule));
}

std::vector<Lexeme> lexemes(std::string_view text) {
  std::vector<Lexeme> out;
  size_t at = 0;
  while (at < text.size()) {
    if (is_space(text[at])) {
      ++at;
      continue;
    }
    const size_t begin = at;
    if (!is_symbol(text[at])) {
      while (at < text.size() && !is_symbol(text[at]) && !is_space(text[at])) ++at;
      const std::string_view word = text.substr(begin, at - begin);
      out.push_back({word == "in" || word == "notin" ? Token::kOperator : Token::kIdentifier, word});
      continue;
    }
    ++at;
    const bool doubled = at < text.size() && text[at] == '=' && (text[begin] == '=' || text[begin] == '!');
    if (doubled) ++at;
    const std::string_view symbol = text.substr(begin, at - begin);
    Token token = Token::kOperator;
    if (symbol == ",") token = Token::kComma;
    if (symbol == "(") token = Token::kOpen;
    if (symbol == ")") token = Token::kClose;
    if (symbol == "!") token = Token::kNot;
    out.push_back({token, symbol});
  }
  return out;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : lexemes_(lexemes(text)) {}

  // Nothing more to come.
  bool done() const { return next_ >= lexemes_.size(); }

  Result<LabelSelector::Requirement> requirement() {
    LabelSelector::Requirement out;
    bool absent = false;
    if (look().token == Token::kNot) {
      absent = true;
      ++next_;
    }
    const Lexeme key = take();
    if (!is_word(key)) return found(key.text, "identifier");
    out.key = key.text;
    if (const std::string wrong = check_qualified_name(out.key); !wrong.empty()) return invalid("key", out.key, wrong);
    if (absent || ends_term(look())) {
      out.op = absent ? Operator::kDoesNotExist : Operator::kExists;
      return out;
    }
    const Lexeme op = take();
    if (op.token != Token::kOperator) return found(op.text, "in, notin, =, ==, !=, gt, lt");
    out.op = std::ranges::find(kOperators, op.text, &Symbol::text)->op;
    Result<std::vector<std::string>> values =
        out.op == Operator::kIn || out.op == Operator::kNotIn ? value_list() : exact_value();
    if (!values) return std::unexpected(values.error());
    out.values = std::move(*values);
    return out;
  }

  // What stands between two requirements.
  Status separator() {
    const Lexeme lexeme = take();
    if (lexeme.token != Token::kComma) return found(lexeme.text, "',' or 'end of string'");
    if (!is_word(look()) && look().token != Token::kNot) return found(look().text, "identifier after ','");
    return {};
  }

  Status begin() {
    if (is_word(look()) || look().token == Token::kNot || done()) return {};
    return found(look().text, "!, identifier, or 'end of string'");
  }

 private:
  Lexeme look() const { return done() ? Lexeme() : lexemes_[next_]; }
  Lexeme take() {
    const Lexeme lexeme = look();
    ++next_;
    return lexeme;
  }
  // `in` and `notin` are words like others where no operator can stand.
  static bool is_word(const Lexeme& lexeme) {
    return lexeme.token == Token::kIdentifier || lexeme.text == "in" || lexeme.text == "notin";
  }
  static bool ends_term(const Lexeme& lexeme) { return lexeme.token == Token::kEnd || lexeme.token == Token::kComma; }

  // "(b,c)"; what is missing between commas is the empty value.
  Result<std::vector<std::string>> value_list() {
    if (const Lexeme open = take(); open.token != Token::kOpen) return found(open.text, "'('");
    std::vector<std::string> values;
    bool expect_value = true;
    for (;;) {
      const Lexeme lexeme = take();
      if (is_word(lexeme)) {
        if (!expect_value) return found(lexeme.text, "',' or ')'");
        values.emplace_back(lexeme.text);
        expect_value = false;
      } else if (lexeme.token == Token::kComma || lexeme.token == Token::kClose) {
        if (expect_value) values.emplace_back();
        if (lexeme.token == Token::kClose) return values;
        expect_value = true;
      } else {
        return found(lexeme.text, "',', ')' or identifier");
      }
    }
  }

  Result<std::vector<std::string>> exact_value() {
    if (ends_term(look())) return std::vector<std::string>{""};
    const Lexeme lexeme = take();
    if (!is_word(lexeme)) return found(lexeme.text, "identifier");
    return std::vector<std::string>{std::string(lexeme.text)};
  }

  std::vector<Lexeme> lexemes_;
  size_t next_ = 0;
};

bool matches_one(const LabelSelector::Requirement& requirement, const std::string* value) {
  const auto has = [&] { return std::ranges::binary_search(requirement.values, *value); };
  switch (requirement.op) {
    case Operator::kIn:
    case Operator::kEquals:
    case Operator::kDoubleEquals:
      return value != nullptr && has();
    case Operator::kNotIn:
    case Operator::kNotEquals:
      return value == nullptr || !has();
    case Operator::kExists:
      return value != nullptr;
    case Operator::kDoesNotExist:
      return value == nullptr;
    case Operator::kGreaterThan:
    case Operator::kLessThan: {
      const auto left = value == nullptr ? std::nullopt : integer(*value);
      const auto right = integer(requirement.values.front());
      if (!left || !right) return false;
      return requirement.op == Operator::kGreaterThan ? *left > *right : *left < *right;
    }
  }
  return false;
}

Result<Operator> operator_of(std::string_view text) {
  if (text == "In") return Operator::kIn;
  if (text == "NotIn") return Operator::kNotIn;
  if (text == "Exists") return Operator::kExists;
  if (text == "DoesNotExist") return Operator::kDoesNotExist;
  return invalid_argument(cat(gantry::quoted(text, kMaxShown), " is not a valid label selector operator"));
}

// Empty when it is not there; a complaint when it is no string.
Result<std::string> string_in(const Value& object, std::string_view member) {
  const Value* value = object.find(member);
  if (value == nullptr || value->is_null()) return std::string();
  if (value->is_string()) return *value->as_string();
  return invalid_argument(cat("a label selector's ", member, " is a string, found ", describe(*value)));
}

}  // namespace

LabelSelector LabelSelector::nothing() {
  LabelSelector selector;
  selector.nothing_ = true;
  return selector;
}

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  if (text.size() > kMaxText) {
    return fail(Code::kResourceExhausted, cat("a label selector of ", text.size(), " bytes; at most ", kMaxText));
  }
  LabelSelector selector;
  Parser parser(text);
  if (Status status = parser.begin(); !status) return std::unexpected(status.error());
  while (!parser.done()) {
    Result<Requirement> requirement = parser.requirement();
    if (!requirement) return fail_with(requirement.error(), "unable to parse requirement");
    if (Status status = selector.add(std::move(*requirement)); !status) {
      return fail_with(status.error(), "unable to parse requirement");
    }
    if (parser.done()) break;
    if (Status status = parser.separator(); !status) return std::unexpected(status.error());
  }
  selector.sort();
  return selector;
}

Result<LabelSelector> LabelSelector::from_value(const Value& value) {
  if (value.is_null()) return nothing();
  if (!value.is_object()) return invalid_argument(cat("a label selector is an object, found ", describe(value)));
  LabelSelector selector;
  if (const Value* labels = value.find("matchLabels"); labels != nullptr && !labels->is_null()) {
    if (!labels->is_object()) return invalid_argument(cat("matchLabels is an object, found ", describe(*labels)));
    for (const Value::Member& member : *labels->as_object()) {
      if (!member.value.is_string() && !member.value.is_null()) {
        return invalid_argument(cat("the value of a label is a string, found ", describe(member.value)));
      }
      const std::string* text = member.value.as_string();
      Status status = selector.add({member.key, Operator::kEquals, {text != nullptr ? *text : std::string()}});
      if (!status) return std::unexpected(status.error());
    }
  }
  const Value* expressions = value.find("matchExpressions");
  if (expressions != nullptr && !expressions->is_null()) {
    if (!expressions->is_list())
      return invalid_argument(cat("matchExpressions is a list, found ", describe(*expressions)));
    for (const Value& expression : *expressions->as_list()) {
      if (!expression.is_object()) {
        return invalid_argument(cat("a label selector's expression is an object, found ", describe(expression)));
      }
      Requirement requirement;
      Result<std::string> key = string_in(expression, "key");
      if (!key) return std::unexpected(key.error());
      requirement.key = std::move(*key);
      Result<std::string> op_text = string_in(expression, "operator");
      if (!op_text) return std::unexpected(op_text.error());
      Result<Operator> op = operator_of(*op_text);
      if (!op) return std::unexpected(op.error());
      requirement.op = *op;
      const Value* values = expression.find("values");
      if (values != nullptr && !values->is_null()) {
        if (!values->is_list()) return invalid_argument(cat("values is a list, found ", describe(*values)));
        for (const Value& each : *values->as_list()) {
          if (!each.is_string()) return invalid_argument(cat("values holds strings, found ", describe(each)));
          requirement.values.push_back(*each.as_string());
        }
      }
      if (Status status = selector.add(std::move(requirement)); !status) return std::unexpected(status.error());
    }
  }
  selector.sort();
  return selector;
}

Status LabelSelector::add(Requirement requirement) {
  const auto& [key, op, values] = requirement;
  if (const std::string wrong = check_qualified_name(key); !wrong.empty()) return invalid("key", key, wrong);
  switch (op) {
    case Operator::kIn:
    case Operator::kNotIn:
      if (values.empty()) return invalid("values", "", "for 'in', 'notin' operators, values set can't be empty");
      break;
    case Operator::kEquals:
    case Operator::kDoubleEquals:
    case Operator::kNotEquals:
      break;  // one value, by the grammar
    case Operator::kExists:
    case Operator::kDoesNotExist:
      if (!values.empty()) {
        return invalid("values", values[0], "values set must be empty for exists and does not exist");
      }
      break;
    case Operator::kGreaterThan:
    case Operator::kLessThan:
      if (!integer(values[0])) {
        return invalid("values[0]", values[0], "for 'Gt', 'Lt' operators, the value must be an integer");
      }
      break;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (const std::string wrong = check_label_value(values[i]); !wrong.empty()) {
      return invalid(cat("values[", i, "][", key, "]"), values[i], wrong);
    }
  }
  std::ranges::sort(requirement.values);
  const auto rest = std::ranges::unique(requirement.values);
  requirement.values.erase(rest.begin(), rest.end());
  requirements_.push_back(std::move(requirement));
  return {};
}

void LabelSelector::sort() {
  std::ranges::sort(requirements_, {}, [](const Requirement& r) { return std::tie(r.key, r.op, r.values); });
}

bool LabelSelector::matches(const Lookup& labels) const {
  return !nothing_ && std::ranges::all_of(requirements_, [&](const Requirement& requirement) {
    return matches_one(requirement, labels(requirement.key));
  });
}

bool LabelSelector::matches(const Value* labels) const {
  return matches([labels](const std::string& key) -> const std::string* {
    const Value* value = labels == nullptr ? nullptr : labels->find(key);
    return value == nullptr ? nullptr : value->as_string();
  });
}

std::string LabelSelector::to_string() const {
  std::string out;
  for (const auto& [key, op, values] : requirements_) {
    if (!out.empty()) out += ',';
    if (op == Operator::kDoesNotExist) out += '!';
    out += key;
    if (op == Operator::kExists || op == Operator::kDoesNotExist) continue;
    const bool list = op == Operator::kIn || op == Operator::kNotIn;
    out += list ? cat(' ', text_of(op), " (") : std::string(text_of(op));
    for (size_t i = 0; i < values.size(); ++i) out += cat(i > 0 ? "," : "", values[i]);
    if (list) out += ')';
  }
  return out;
}

}  // namespace gantry::api
