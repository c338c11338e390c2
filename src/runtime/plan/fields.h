// SPDX-License-Identifier: Apache-2.0
// Reading JSON strictly: each field by name, into a value of its type, or the first thing that is wrong with it is
// remembered, with the field as a JSON path ("linux.devices[3].type"), the value and what was expected. null is taken
// as absent, as Go's programs write it. For .cc files of runtime and cdi.
#pragma once

#include <array>
#include <boost/json.hpp>
#include <concepts>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/text.h"

namespace gantry::runtime {

// Entries of one list or map: many times what any real configuration has.
inline constexpr std::size_t kMaxEntries = 65536;

class Fields {
 public:
  template <typename T, std::size_t N>
  using Names = std::array<std::pair<std::string_view, T>, N>;

  // `problem` keeps the first one, and outlives this.
  Fields(const boost::json::object& object, std::string path, Status& problem)
      : object_(&object), path_(std::move(path)), problem_(&problem) {}

  // True when the field is there. Whatever is wrong is kept as the problem, and `out` is left.
  bool text(const char* name, std::string& out) const;
  bool flag(const char* name, bool& out) const;
  bool flag(const char* name, std::optional<bool>& out) const;
  bool texts(const char* name, std::vector<std::string>& out) const;
  template <std::integral T>
  bool number(const char* name, T& out, T least = std::numeric_limits<T>::min(),
              T most = std::numeric_limits<T>::max()) const {
    const boost::json::value* value = find(name);
    if (value == nullptr) return false;
    auto number = whole(*value);
    if (!number || *number < Wide{least} || *number > Wide{most}) {
      refuse(name, *value, cat("a number from ", least, " to ", most));
      return false;
    }
    out = static_cast<T>(*number);
    return true;
  }
  template <std::integral T>
  bool number(const char* name, std::optional<T>& out, T least = std::numeric_limits<T>::min(),
              T most = std::numeric_limits<T>::max()) const {
    T value{};
    if (!number(name, value, least, most)) return false;
    out = value;
    return true;
  }
  template <std::integral T>
  bool numbers(const char* name, std::vector<T>& out, T least = std::numeric_limits<T>::min(),
               T most = std::numeric_limits<T>::max()) const {
    bool there = false;
    values(name, [&](const boost::json::value& value, const std::string& path) {
      there = true;
      auto number = whole(value);
      if (!number || *number < Wide{least} || *number > Wide{most})
        return refuse_at(path, value, cat("a number from ", least, " to ", most));
      out.push_back(static_cast<T>(*number));
    });
    return there;
  }

  // One of these names, which has to be there.
  template <typename T, std::size_t N>
  bool choice(const char* name, const Names<T, N>& known, T& out) const {
    std::string text;
    if (!this->text(name, text)) {
      missing(name, cat("one of ", all_of(known)));
      return false;
    }
    auto value = value_of(known, text);
    if (value) {
      out = *value;
    } else {
      refuse(name, cat(quoted(text), " is unknown: one of ", all_of(known), " was expected"));
    }
    return value.has_value();
  }
  // Some of these names, in a list. False when there is no list.
  template <typename T, std::size_t N>
  bool choices(const char* name, const Names<T, N>& known, std::vector<T>& out) const {
    std::vector<std::string> all;
    bool there = texts(name, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto value = value_of(known, all[i]);
      if (!value) {
        refuse(cat(name, "[", i, "]"), cat(quoted(all[i]), " is unknown: one of ", all_of(known), " was expected"));
        break;
      }
      out.push_back(*value);
    }
    return there;
  }

  // An object beneath; nothing when it is absent.
  std::optional<Fields> object(const char* name) const;
  // Each object of a list.
  void objects(const char* name, const std::function<void(const Fields&)>& use) const;
  // Each "name": "text" of an object.
  void entries(const char* name, const std::function<void(const std::string&, const std::string&)>& use) const;

  const boost::json::value* find(const char* name) const;
  // It is there, and not empty, zero or false.
  bool says(const char* name) const;
  // The path of a field, for messages.
  std::string path_of(std::string_view name) const;

  void refuse(std::string_view name, const boost::json::value& value, std::string_view expected) const;
  // In words of the caller's: "linux.namespaces[2].type: is given twice".
  void refuse(std::string_view name, std::string_view why, Code code = Code::kInvalidArgument) const;
  // REQUIRED by the specification, and not there.
  void missing(std::string_view name, std::string_view expected) const;
  // Refuses fields of other names.
  void only(std::initializer_list<std::string_view> names) const;
  // Something that this runtime does not do yet, if says().
  void unsupported(const char* name, std::string_view why) const;

 private:
  template <typename T, std::size_t N>
  static std::optional<T> value_of(const Names<T, N>& known, std::string_view text) {
    for (const auto& [name, value] : known) {
      if (name == text) return value;
    }
    return std::nullopt;
  }
  template <typename T, std::size_t N>
  static std::string all_of(const Names<T, N>& known) {
    std::string out;
    for (const auto& [name, value] : known) out += cat(out.empty() ? "" : ", ", name);
    return out;
  }
  using Wide = __int128;
  static std::optional<Wide> whole(const boost::json::value& value);
  void values(const char* name,
              const std::function<void(const boost::json::value&, const std::string& path)>& use) const;
  void refuse_at(const std::string& path, const boost::json::value& value, std::string_view expected) const;

  const boost::json::object* object_;
  std::string path_;
  Status* problem_;
};

}  // namespace gantry::runtime
