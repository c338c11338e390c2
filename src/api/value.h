// SPDX-License-Identifier: Apache-2.0
// Value: a document as it was written. A JSON tree in which null is not absence, members keep their order, equal keys
// are both there, and integers are exact. Patches, apply and strict validation work on Values; typed code works on
// messages, and codec.h goes from one to the other. A Value is a plain value: copy, move, send to another thread.
//
// Each Value remembers where in its text it began (line 0: made by a program), so that a complaint can name the place.
// Depth and size are bounded where Values are made from text (ParseLimits); code that builds Values bounds itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace gantry::api {

// Counted from 1; columns count bytes in JSON and characters in YAML. {0, 0}: there is no text.
struct Position {
  uint32_t line = 0;
  uint32_t column = 0;
};

// What a text may ask of us. The defaults fit any object that the Kubernetes API takes (its bodies end at 3 MiB).
struct ParseLimits {
  size_t bytes = size_t{3} << 20;  // of the text, and of all strings together once aliases are expanded
  size_t depth = 200;              // of lists and objects inside one another
  size_t nodes = 500'000;          // values of any kind, in all documents of the text
};

class Value {
 public:
  enum class Kind : uint8_t { kNull, kBool, kInteger, kNumber, kString, kList, kObject };
  struct Member;
  using List = std::vector<Value>;
  using Object = std::vector<Member>;

  // null
  Value();
  Value(const Value& other);
  Value(Value&& other) noexcept;
  Value& operator=(const Value& other);
  Value& operator=(Value&& other) noexcept;
  ~Value();
  Value(std::nullptr_t) : Value() {}
  Value(bool value);
  Value(int value);
  Value(int64_t value);
  // Kept as int64 when it fits, so that equal integers are equal Values.
  Value(uint64_t value);
  Value(const char* value);
  Value(std::string value);
  Value(std::string_view value);
  Value(List value);
  Value(Object value);
  // A number that is no 64-bit integer, kept as its text: "0.1", "1e400". Precondition: JSON's grammar for numbers.
  static Value number(std::string text);
  // {{"name", "web"}, {"image", ...}}
  static Value object(std::initializer_list<Member> members);

  Kind kind() const;
  bool is_null() const { return kind() == Kind::kNull; }
  bool is_string() const { return kind() == Kind::kString; }
  bool is_list() const { return kind() == Kind::kList; }
  bool is_object() const { return kind() == Kind::kObject; }

  // Each is empty when the Value is of another kind, or when an integer does not fit.
  std::optional<bool> as_bool() const;
  std::optional<int64_t> as_int64() const;
  std::optional<uint64_t> as_uint64() const;
  // An integer or number; rounded to nearest. Too large a number is infinite.
  std::optional<double> as_double() const;
  // The text of an integer or number.
  std::optional<std::string> number_text() const;
  const std::string* as_string() const { return std::get_if<std::string>(&data_); }
  const List* as_list() const { return std::get_if<List>(&data_); }
  const Object* as_object() const { return std::get_if<Object>(&data_); }
  List* as_list() { return std::get_if<List>(&data_); }
  Object* as_object() { return std::get_if<Object>(&data_); }

  // The member of that name (the last, if there are several); null if there is none or this is no object. Linear.
  const Value* find(std::string_view key) const;
  Value* find(std::string_view key);
  // The member of that name; empty when there is none, or one of another kind.
  std::string text_at(std::string_view key) const;
  const List& list_at(std::string_view key) const;
  // Precondition: an object. The member of that name, made as null at the end if there was none.
  Value& operator[](std::string_view key);

  Position position() const { return position_; }
  void set_position(Position position) { position_ = position; }

  // Equal as JSON: the order of members and positions do not count, numbers compare by value, and of two members with
  // the same key the last one counts.
  friend bool operator==(const Value& a, const Value& b);

 private:
  struct Number {
    std::string text;
  };
  std::variant<std::monostate, bool, int64_t, uint64_t, Number, std::string, List, Object> data_;
  Position position_;
};

struct Value::Member {
  Member() = default;
  Member(std::string name, Value content) : key(std::move(name)), value(std::move(content)) {}
  Member(std::string name, Value content, Position at)
      : key(std::move(name)), value(std::move(content)), position(at) {}

  std::string key;
  Value value;
  Position position;  // of the key
};

// How a message names what was found, with the value if it is short: `string "abc"`, `integer 8080`, `a list`, `null`.
std::string describe(const Value& value);

}  // namespace gantry::api
