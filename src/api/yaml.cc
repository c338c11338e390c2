// SPDX-License-Identifier: Apache-2.0
#include "api/yaml.h"

#include <yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "api/json.h"
#include "api/text.h"

namespace gantry::api {

namespace {

constexpr double kExactIntegers = 1e15;  // below this a whole float is printed as an integer without loss
constexpr std::string_view kTagPrefix = "tag:yaml.org,2002:";

Position position_of(const yaml_mark_t& mark) {
  return {static_cast<uint32_t>(mark.line + 1), static_cast<uint32_t>(mark.column + 1)};
}

std::unexpected<Error> refuse(Position at, std::string_view what, Code code = Code::kInvalidArgument) {
  return fail(code, cat("line ", at.line, " column ", at.column, ": ", what));
}

// Integers as Go reads them with base 0, after the underscores were taken out: 0x, 0o, 0b, and a leading 0 is octal
// too.
std::optional<Value> read_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    const char mark = static_cast<char>(text[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    text.remove_prefix(base == 0 ? 1 : 2);
    if (base == 0) base = 8;
  }
  if (text.empty() || text[0] == '-' || text[0] == '+') return std::nullopt;
  uint64_t magnitude = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), magnitude, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!negative) return Value(magnitude);
  if (magnitude > uint64_t{1} << 63) return std::nullopt;
  return Value(static_cast<int64_t>(-magnitude));
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool is_float(std::string_view text) {
  const auto digits = [&text] {
    const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(count);
    return count;
  };
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const size_t whole = digits();
  size_t fraction = 0;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = digits();
  }
  if (whole + fraction == 0) return false;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  return text.empty();
}

// A float in the form that it has once upstream turned the YAML into JSON: whole ones are integers.
std::optional<Value> read_float(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  if (std::fabs(value) < kExactIntegers && value == std::trunc(value)) return Value(static_cast<int64_t>(value));
  char shortest[32];
  return Value::number(std::string(shortest, std::to_chars(shortest, shortest + sizeof shortest, value).ptr));
}

struct Scalar {
  enum class Kind { kValue, kMerge, kNotFinite };
  Kind kind = Kind::kValue;
  Value value;
};

// What a plain scalar stands for, by YAML 1.1 as sigs.k8s.io/yaml knows it.
Scalar resolve_plain(std::string_view text) {
  static const std::map<std::string_view, Scalar> kWords = [] {
    std::map<std::string_view, Scalar> words;
    for (const char* word : {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}) {
      words[word].value = true;
    }
    for (const char* word : {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}) {
      words[word].value = false;
    }
    for (const char* word : {"", "~", "null", "Null", "NULL"}) words[word];
    for (const char* word :
         {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"}) {
      words[word].kind = Scalar::Kind::kNotFinite;
    }
    words["<<"].kind = Scalar::Kind::kMerge;
    return words;
  }();
  if (const auto word = kWords.find(text); word != kWords.end()) return word->second;
  const char first = text[0];
  const bool digit = first >= '0' && first <= '9';
  if (!digit && first != '+' && first != '-' && first != '.') return {.value = Value(text)};
  std::string plain(text);
  if (first != '.') std::erase(plain, '_');
  if (first != '.') {
    if (auto integer = read_integer(plain)) return {.value = std::move(*integer)};
  }
  if (is_float(plain)) {
    if (auto number = read_float(plain)) return {.value = std::move(*number)};
  }
  return {.value = Value(text)};
}

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event_); }
  yaml_event_t* get() { return &event_; }
  yaml_event_type_t type() const { return event_.type; }
  Position position() const { return position_of(event_.start_mark); }
  const yaml_event_t& operator*() const { return event_; }

 private:
  yaml_event_t event_{};
};

std::string_view text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

class Reader {
 public:
  Reader(std::string_view text, const ParseLimits& limits) : text_(text), limits_(limits) {
    ready_ = yaml_parser_initialize(&parser_) != 0;
    if (!ready_) return;
    // libyaml asserts that there is a place, also of nothing.
    const char* begin = text.empty() ? "" : text.data();
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(begin), text.size());
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    if (ready_) yaml_parser_delete(&parser_);
  }

  Result<std::vector<Value>> documents() {
    if (!ready_) return fail(Code::kResourceExhausted, "no memory for a YAML parser");
    std::vector<Value> documents;
    while (true) {
      Event event;
      if (Status status = next(event); !status) return std::unexpected(std::move(status.error()));
      if (event.type() == YAML_STREAM_END_EVENT) return documents;
      if (event.type() != YAML_DOCUMENT_START_EVENT) continue;
      anchors_.clear();
      Event root;
      if (Status status = next(root); !status) return std::unexpected(std::move(status.error()));
      Result<Node> node = read(root, 0);
      if (!node) return std::unexpected(std::move(node.error()));
      if (Status status = finish(*node); !status) return std::unexpected(std::move(status.error()));
      if (!node->value.is_null()) documents.push_back(std::move(node->value));
    }
  }

 private:
  struct Node {
    Value value;
    Scalar::Kind kind = Scalar::Kind::kValue;
  };
  struct Anchor {
    std::optional<Value> value;  // empty while the anchor's own node is being read
    size_t nodes = 0;            // what one more copy of it costs
    size_t bytes = 0;
    size_t depth = 0;
  };

  Status next(Event& event) {
    if (yaml_parser_parse(&parser_, event.get()) != 0) return {};
    if (parser_.error == YAML_MEMORY_ERROR) return fail(Code::kResourceExhausted, "no memory for a YAML document");
    if (parser_.error == YAML_READER_ERROR) {
      const auto before = text_.substr(0, std::min(parser_.problem_offset, text_.size()));
      const auto line = static_cast<uint32_t>(std::ranges::count(before, '\n') + 1);
      const auto column = static_cast<uint32_t>(before.size() - (before.rfind('\n') + 1) + 1);
      return refuse({line, column}, cat("this is not YAML: ", parser_.problem, " (the text must be UTF-8)"));
    }
    const yaml_mark_t& mark = parser_.problem_mark;
    std::string what = cat("this is not YAML: ", parser_.problem == nullptr ? "syntax error" : parser_.problem);
    if (parser_.context != nullptr)
      what += cat(", ", parser_.context, " that began in line ", parser_.context_mark.line + 1);
    if (is_indented_by_tab(mark.line)) what += " (a tab can not indent YAML; use spaces)";
    return refuse(position_of(mark), what);
  }

  // Lines count from 0, as libyaml's marks do.
  bool is_indented_by_tab(size_t line) const {
    std::string_view rest = text_;
    for (; line > 0; --line) {
      const size_t end = rest.find('\n');
      if (end == std::string_view::npos) return false;
      rest.remove_prefix(end + 1);
    }
    return rest.substr(0, std::min(rest.find_first_not_of(" \t"), rest.size())).find('\t') != std::string_view::npos;
  }

  Status count(Position at, size_t nodes, size_t bytes, size_t depth) {
    nodes_ += nodes;
    bytes_ += bytes;
    if (nodes_ > limits_.nodes) {
      return refuse(at, cat("more than ", limits_.nodes, " values, aliases expanded"), Code::kResourceExhausted);
    }
    if (bytes_ > limits_.bytes) {
      return refuse(at, cat("more than ", limits_.bytes, " bytes of text, aliases expanded"), Code::kResourceExhausted);
    }
    if (depth > limits_.depth) {
      return refuse(at, cat("more than ", limits_.depth, " lists and objects inside one another"),
                    Code::kResourceExhausted);
    }
    return {};
  }

  Result<Node> read(const Event& event, size_t depth) {
    switch (event.type()) {
      case YAML_ALIAS_EVENT:
        return expand(event, depth);
      case YAML_SCALAR_EVENT:
        return anchored(event, text_of((*event).data.scalar.anchor), depth, &Reader::read_scalar);
      case YAML_SEQUENCE_START_EVENT:
        return anchored(event, text_of((*event).data.sequence_start.anchor), depth, &Reader::read_list);
      case YAML_MAPPING_START_EVENT:
        return anchored(event, text_of((*event).data.mapping_start.anchor), depth, &Reader::read_object);
      default:
        return refuse(event.position(), "this is not YAML: a value is missing");
    }
  }

  Result<Node> anchored(const Event& event, std::string_view name, size_t depth,
                        Result<Node> (Reader::*read_node)(const Event&, size_t)) {
    const Position at = event.position();
    if (name.empty()) {
      Result<Node> node = (this->*read_node)(event, depth);
      if (node) node->value.set_position(at);
      return node;
    }
    const std::string anchor(name);
    anchors_[anchor] = {};
    const size_t nodes = nodes_;
    const size_t bytes = bytes_;
    const size_t deepest = std::exchange(deepest_, depth);
    Result<Node> node = (this->*read_node)(event, depth);
    if (!node) return node;
    node->value.set_position(at);
    if (node->kind != Scalar::Kind::kValue) return refuse(at, "an anchor on << or on a number that JSON can not hold");
    Anchor& known = anchors_[anchor];
    known = {node->value, nodes_ - nodes, bytes_ - bytes, deepest_ - depth};
    deepest_ = std::max(deepest, deepest_);
    // The copy that is kept counts as well.
    if (Status status = count(at, known.nodes, known.bytes, depth); !status) {
      return std::unexpected(std::move(status.error()));
    }
    return node;
  }

  Result<Node> expand(const Event& event, size_t depth) {
    const Position at = event.position();
    const std::string name(text_of((*event).data.alias.anchor));
    const auto anchor = anchors_.find(name);
    if (anchor == anchors_.end()) return refuse(at, cat("there is no anchor ", quoted(name), " before this alias"));
    if (!anchor->second.value) return refuse(at, cat("the anchor ", quoted(name), " contains itself"));
    const Anchor& known = anchor->second;
    if (Status status = count(at, known.nodes, known.bytes, depth + known.depth); !status) {
      return std::unexpected(std::move(status.error()));
    }
    deepest_ = std::max(deepest_, depth + known.depth);
    Node node{*known.value};
    node.value.set_position(at);
    return node;
  }

  Result<Node> read_scalar(const Event& event, size_t depth) {
    const auto& scalar = (*event).data.scalar;
    const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    if (Status status = count(event.position(), 1, text.size(), depth); !status) {
      return std::unexpected(std::move(status.error()));
    }
    std::string_view tag = text_of(scalar.tag);
    if (tag.empty() && scalar.plain_implicit != 0) {
      Scalar resolved = resolve_plain(text);
      return Node{std::move(resolved.value), resolved.kind};
    }
    if (tag.empty() || tag == "!") return Node{Value(text)};
    return read_tagged(event.position(), tag, text);
  }

  // A scalar whose tag says what it is.
  Result<Node> read_tagged(Position at, std::string_view tag, std::string_view text) {
    if (tag.starts_with(kTagPrefix)) tag.remove_prefix(kTagPrefix.size());
    if (tag == "str") return Node{Value(text)};
    Scalar resolved = resolve_plain(text);
    const Value::Kind kind = resolved.value.kind();
    const bool value = resolved.kind == Scalar::Kind::kValue;
    if ((tag == "null" && value && kind == Value::Kind::kNull) ||
        (tag == "bool" && value && kind == Value::Kind::kBool) ||
        (tag == "int" && value && kind == Value::Kind::kInteger) ||
        (tag == "float" && value && (kind == Value::Kind::kInteger || kind == Value::Kind::kNumber))) {
      return Node{std::move(resolved.value)};
    }
    if (tag == "null" || tag == "bool" || tag == "int" || tag == "float") {
      return refuse(at, cat(quoted(text), " is no !!", tag));
    }
    return refuse(at, cat("the tag ", quoted(tag), " is not supported; use !!str, !!int, !!float, !!bool or !!null"));
  }

  Status check_tag(Position at, std::string_view tag, std::string_view expected) {
    if (tag.empty() || tag == "!" || (tag.starts_with(kTagPrefix) && tag.substr(kTagPrefix.size()) == expected))
      return {};
    return refuse(at, cat("the tag ", quoted(tag), " is not supported here"));
  }

  Result<Node> read_list(const Event& event, size_t depth) {
    Status status = count(event.position(), 1, 0, depth + 1);
    if (status) status = check_tag(event.position(), text_of((*event).data.sequence_start.tag), "seq");
    if (!status) return std::unexpected(std::move(status.error()));
    deepest_ = std::max(deepest_, depth + 1);
    Value::List list;
    while (true) {
      Event item;
      if (status = next(item); !status) return std::unexpected(std::move(status.error()));
      if (item.type() == YAML_SEQUENCE_END_EVENT) return Node{Value(std::move(list))};
      Result<Node> node = read(item, depth + 1);
      if (!node) return node;
      if (status = finish(*node); !status) return std::unexpected(std::move(status.error()));
      list.push_back(std::move(node->value));
    }
  }

  Result<Node> read_object(const Event& event, size_t depth) {
    Status status = count(event.position(), 1, 0, depth + 1);
    if (status) status = check_tag(event.position(), text_of((*event).data.mapping_start.tag), "map");
    if (!status) return std::unexpected(std::move(status.error()));
    deepest_ = std::max(deepest_, depth + 1);
    Value::Object object;
    Value::Object merged;
    while (true) {
      Event key_event;
      if (status = next(key_event); !status) return std::unexpected(std::move(status.error()));
      if (key_event.type() == YAML_MAPPING_END_EVENT) break;
      Result<Node> key = read(key_event, depth + 1);
      if (!key) return key;
      Event value_event;
      if (status = next(value_event); !status) return std::unexpected(std::move(status.error()));
      Result<Node> value = read(value_event, depth + 1);
      if (!value) return value;
      if (status = finish(*value); !status) return std::unexpected(std::move(status.error()));
      if (key->kind == Scalar::Kind::kMerge) {
        status = merge(value->value, &merged);
      } else {
        status = add_member(*key, std::move(value->value), &object);
      }
      if (!status) return std::unexpected(std::move(status.error()));
    }
    add_merged(std::move(merged), &object);
    return Node{Value(std::move(object))};
  }

  Status add_member(Node& key, Value&& value, Value::Object* object) {
    const Position at = key.value.position();
    if (key.value.is_string()) {
      object->emplace_back(*key.value.as_string(), std::move(value), at);
    } else if (const auto truth = key.value.as_bool()) {
      object->emplace_back(*truth ? "true" : "false", std::move(value), at);
    } else if (key.value.kind() == Value::Kind::kInteger) {
      object->emplace_back(*key.value.number_text(), std::move(value), at);
    } else {
      return refuse(at, cat("a key can not be ", describe(key.value), "; put it in quotes"));
    }
    return {};
  }

  // `<<`: one object, or several of which the earlier win.
  Status merge(const Value& source, Value::Object* merged) {
    if (const Value::Object* object = source.as_object()) {
      merged->insert(merged->end(), object->begin(), object->end());
      return {};
    }
    const Value::List* list = source.as_list();
    if (list == nullptr) return refuse(source.position(), "<< expects an object or a list of objects");
    for (const Value& item : *list) {
      if (!item.is_object()) return refuse(item.position(), "<< expects an object or a list of objects");
      merged->insert(merged->end(), item.as_object()->begin(), item.as_object()->end());
    }
    return {};
  }

  // What was merged gives way to what is written out, and to what was merged before it.
  static void add_merged(Value::Object&& merged, Value::Object* object) {
    if (merged.empty()) return;
    std::map<std::string, bool, std::less<>> present;
    for (const Value::Member& member : *object) present.emplace(member.key, true);
    for (Value::Member& member : merged) {
      if (present.emplace(member.key, true).second) object->push_back(std::move(member));
    }
  }

  // A node where a value belongs.
  static Status finish(Node& node) {
    if (node.kind == Scalar::Kind::kNotFinite) {
      return refuse(node.value.position(), "JSON can not hold a number that is infinite or not a number");
    }
    if (node.kind == Scalar::Kind::kMerge) node.value = Value("<<");
    return {};
  }

  yaml_parser_t parser_{};
  bool ready_ = false;
  std::string_view text_;
  ParseLimits limits_;
  size_t nodes_ = 0;
  size_t bytes_ = 0;
  size_t deepest_ = 0;
  std::map<std::string, Anchor, std::less<>> anchors_;  // of the document that is being read
};

}  // namespace

Result<std::vector<Value>> parse_yaml(std::string_view text, const ParseLimits& limits) {
  if (text.size() > limits.bytes) {
    return fail(Code::kResourceExhausted, cat("YAML of ", text.size(), " bytes; at most ", limits.bytes, " are read"));
  }
  return Reader(text, limits).documents();
}

Result<std::vector<Value>> parse_documents(std::string_view text, const ParseLimits& limits) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{') return parse_yaml(text, limits);
  Result<Value> value = parse_json(text, limits);
  if (!value) return std::unexpected(std::move(value.error()));
  std::vector<Value> documents;
  documents.push_back(std::move(*value));
  return documents;
}

}  // namespace gantry::api
