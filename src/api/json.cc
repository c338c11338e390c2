// SPDX-License-Identifier: Apache-2.0
// Boost.JSON's parser decides what is JSON; the handler below builds the tree. The parser does not tell where a token
// began, so the handler walks the text in step with it: what the parser has accepted is well-formed, and the walk only
// has to find the next token and its end.
#include "api/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <limits>
#include <optional>

#include "api/text.h"

namespace gantry::api {

namespace {

using boost::json::error_code;
using boost::json::string_view;

class TokenWalker {
 public:
  explicit TokenWalker(std::string_view text) : text_(text) {}

  // Moves to the next token and says where it begins.
  Position next() {
    while (offset_ < text_.size() && std::string_view(" \t\r\n,:").find(text_[offset_]) != std::string_view::npos)
      step();
    return here();
  }
  void skip_character() { step(); }
  // The walker stands on the opening quote.
  void skip_string() {
    step();
    while (offset_ < text_.size() && text_[offset_] != '"') {
      if (text_[offset_] == '\\') step();
      step();
    }
    step();
  }
  // A number, or true, false, null. Returns its text.
  std::string_view skip_word() {
    const size_t begin = offset_;
    while (offset_ < text_.size() && std::string_view(" \t\r\n,:]}").find(text_[offset_]) == std::string_view::npos) {
      step();
    }
    return text_.substr(begin, offset_ - begin);
  }
  // Where that offset of the text is; not before the last token.
  Position at(size_t offset) {
    while (offset_ < offset && offset_ < text_.size()) step();
    return here();
  }

 private:
  Position here() const { return {line_, static_cast<uint32_t>(offset_ - line_begin_ + 1)}; }
  void step() {
    if (offset_ >= text_.size()) return;
    if (text_[offset_] == '\n') {
      ++line_;
      line_begin_ = offset_ + 1;
    }
    ++offset_;
  }

  std::string_view text_;
  size_t offset_ = 0;
  size_t line_begin_ = 0;
  uint32_t line_ = 1;
};

// The shape that boost::json::basic_parser asks for.
class TreeBuilder {
 public:
  static constexpr size_t max_object_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_array_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_key_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_string_size = std::numeric_limits<size_t>::max();

  TreeBuilder(std::string_view text, const ParseLimits& limits) : walker_(text), limits_(limits) {}

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code& error) { return open(Value(Value::Object()), error); }
  bool on_array_begin(error_code& error) { return open(Value(Value::List()), error); }
  bool on_object_end(size_t, error_code& error) { return close(error); }
  bool on_array_end(size_t, error_code& error) { return close(error); }

  bool on_key_part(string_view part, size_t, error_code&) { return collect(part); }
  bool on_key(string_view part, size_t, error_code&) {
    collect(part);
    const Position position = walker_.next();
    walker_.skip_string();
    open_.back().as_object()->emplace_back(std::move(text_), Value(), position);
    text_.clear();
    return true;
  }

  bool on_string_part(string_view part, size_t, error_code&) { return collect(part); }
  bool on_string(string_view part, size_t, error_code& error) {
    collect(part);
    const Position position = walker_.next();
    walker_.skip_string();
    Value value(std::move(text_));
    text_.clear();
    return add(std::move(value), position, error);
  }

  bool on_number_part(string_view, error_code&) { return true; }
  bool on_int64(int64_t value, string_view, error_code& error) { return add_word(Value(value), error); }
  bool on_uint64(uint64_t value, string_view, error_code& error) { return add_word(Value(value), error); }
  bool on_double(double, string_view, error_code& error) {
    const Position position = walker_.next();
    return add(Value::number(std::string(walker_.skip_word())), position, error);
  }
  bool on_bool(bool value, error_code& error) { return add_word(Value(value), error); }
  bool on_null(error_code& error) { return add_word(Value(), error); }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }

  TokenWalker& walker() { return walker_; }
  std::optional<Error>& limit_error() { return limit_error_; }
  Value take_root() { return std::move(root_); }

 private:
  bool collect(string_view part) {
    text_.append(part.data(), part.size());
    return true;
  }

  bool refuse(Position position, std::string_view what, size_t limit, error_code& error) {
    limit_error_ = Error(Code::kResourceExhausted,
                         cat("line ", position.line, " column ", position.column, ": more than ", limit, " ", what));
    error = boost::json::error::too_deep;  // any error stops the parser; limit_error_ is what is reported
    return false;
  }

  bool count(Position position, error_code& error) {
    return ++nodes_ <= limits_.nodes || refuse(position, "values in one document", limits_.nodes, error);
  }

  bool open(Value&& value, error_code& error) {
    const Position position = walker_.next();
    walker_.skip_character();
    if (open_.size() >= limits_.depth) {
      return refuse(position, "lists and objects inside one another", limits_.depth, error);
    }
    if (!count(position, error)) return false;
    value.set_position(position);
    open_.push_back(std::move(value));
    return true;
  }

  bool close(error_code&) {
    walker_.next();
    walker_.skip_character();
    Value value = std::move(open_.back());
    open_.pop_back();
    place(std::move(value));
    return true;
  }

  bool add_word(Value&& value, error_code& error) {
    const Position position = walker_.next();
    walker_.skip_word();
    return add(std::move(value), position, error);
  }

  bool add(Value&& value, Position position, error_code& error) {
    if (!count(position, error)) return false;
    value.set_position(position);
    place(std::move(value));
    return true;
  }

  void place(Value&& value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Value::List* list = open_.back().as_list()) {
      list->push_back(std::move(value));
    } else {
      open_.back().as_object()->back().value = std::move(value);
    }
  }

  TokenWalker walker_;
  ParseLimits limits_;
  std::optional<Error> limit_error_;
  std::vector<Value> open_;  // the lists and objects that have not ended, outermost first
  std::string text_;         // of the string that is being read
  Value root_;
  size_t nodes_ = 0;
};

// The shape that boost::json::basic_parser asks for; for who wants to know only whether it ends well.
class Ignorer {
 public:
  static constexpr size_t max_object_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_array_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_key_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_string_size = std::numeric_limits<size_t>::max();

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) { return true; }
  bool on_array_begin(error_code&) { return true; }
  bool on_object_end(size_t, error_code&) { return true; }
  bool on_array_end(size_t, error_code&) { return true; }
  bool on_key_part(string_view, size_t, error_code&) { return true; }
  bool on_key(string_view, size_t, error_code&) { return true; }
  bool on_string_part(string_view, size_t, error_code&) { return true; }
  bool on_string(string_view, size_t, error_code&) { return true; }
  bool on_number_part(string_view, error_code&) { return true; }
  bool on_int64(int64_t, string_view, error_code&) { return true; }
  bool on_uint64(uint64_t, string_view, error_code&) { return true; }
  bool on_double(double, string_view, error_code&) { return true; }
  bool on_bool(bool, error_code&) { return true; }
  bool on_null(error_code&) { return true; }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }
};

class Writer {
 public:
  explicit Writer(JsonStyle style) : style_(style) {}

  void write(const Value& value, int level) {
    switch (value.kind()) {
      case Value::Kind::kNull:
        out_ += "null";
        break;
      case Value::Kind::kBool:
        out_ += *value.as_bool() ? "true" : "false";
        break;
      case Value::Kind::kInteger:
      case Value::Kind::kNumber:
        out_ += *value.number_text();
        break;
      case Value::Kind::kString:
        append_json_string(*value.as_string(), &out_);
        break;
      case Value::Kind::kList:
        write_list(*value.as_list(), level);
        break;
      case Value::Kind::kObject:
        write_object(*value.as_object(), level);
        break;
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void write_list(const Value::List& list, int level) {
    out_ += '[';
    for (size_t i = 0; i < list.size(); ++i) {
      if (i > 0) out_ += ',';
      new_line(level + 1);
      write(list[i], level + 1);
    }
    if (!list.empty()) new_line(level);
    out_ += ']';
  }

  void write_object(const Value::Object& object, int level) {
    out_ += '{';
    for (size_t i = 0; i < object.size(); ++i) {
      if (i > 0) out_ += ',';
      new_line(level + 1);
      append_json_string(object[i].key, &out_);
      out_ += style_.indent > 0 ? ": " : ":";
      write(object[i].value, level + 1);
    }
    if (!object.empty()) new_line(level);
    out_ += '}';
  }

  void new_line(int level) {
    if (style_.indent == 0) return;
    out_ += '\n';
    out_.append(static_cast<size_t>(level) * style_.indent, ' ');
  }

  JsonStyle style_;
  std::string out_;
};

}  // namespace

Result<Value> parse_json(std::string_view text, const ParseLimits& limits) {
  if (text.size() > limits.bytes) {
    return fail(Code::kResourceExhausted, cat("JSON of ", text.size(), " bytes; at most ", limits.bytes, " are read"));
  }
  boost::json::parse_options options;
  // The handler counts for itself, to say where; the parser must not stop before it.
  options.max_depth = limits.depth + 1;
  boost::json::basic_parser<TreeBuilder> parser(options, text, limits);
  error_code error;
  const size_t consumed = parser.write_some(false, text.data(), text.size(), error);
  TreeBuilder& builder = parser.handler();
  if (builder.limit_error()) return std::unexpected(std::move(*builder.limit_error()));
  if (!error && consumed == text.size()) return builder.take_root();
  const Position position = builder.walker().at(consumed);
  const std::string what = error ? error.message() : "extra data";
  return invalid_argument(cat("line ", position.line, " column ", position.column, ": this is not JSON: ", what));
}

bool is_json(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = ParseLimits().depth;
  boost::json::basic_parser<Ignorer> parser(options);
  error_code error;
  const size_t consumed = parser.write_some(false, text.data(), text.size(), error);
  return !error && consumed == text.size();
}

void append_compact(std::string_view text, std::string* out) {
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!quoted && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) continue;
    *out += c;
    if (quoted && c == '\\') {
      *out += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    }
  }
}

void append_json_string(std::string_view text, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  *out += '"';
  size_t begin = 0;  // of what needs no escape and was not added yet
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20) continue;
    out->append(text, begin, i - begin);
    begin = i + 1;
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      default:
        *out += "\\u00";
        *out += kHex[(c >> 4) & 0xf];
        *out += kHex[c & 0xf];
    }
  }
  out->append(text, begin);
  *out += '"';
}

std::string write_json(const Value& value, JsonStyle style) {
  Writer writer(style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace gantry::api
