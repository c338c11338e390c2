// SPDX-License-Identifier: Apache-2.0
// Reads fields of a JSON document that strangers wrote: bounded, typed, first error kept. Internal to src/images. A
// reader that met an error yields empty values from then on, so that a decoder reads all fields and asks once.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::images {

// One JSON object, nested at most 32 deep and nothing after it. `what` names the document in errors.
Result<boost::json::object> parse_json_object(std::string_view text, std::string_view what, std::size_t limit);

class JsonReader {
 public:
  explicit JsonReader(std::string what) : what_(std::move(what)) {}

  // All of these take a key that is absent or null as empty; with the wrong type, or beyond the bounds of
  // image_config.h, they note an error that names the key.
  std::string text(const boost::json::object& from, std::string_view key);
  std::vector<std::string> texts(const boost::json::object& from, std::string_view key);
  std::map<std::string, std::string> text_map(const boost::json::object& from, std::string_view key);
  // The keys of an object such as ExposedPorts, whose values say nothing. Sorted.
  std::vector<std::string> keys(const boost::json::object& from, std::string_view key);
  std::optional<std::uint64_t> number(const boost::json::object& from, std::string_view key);
  const boost::json::object* object(const boost::json::object& from, std::string_view key);
  const boost::json::array* array(const boost::json::object& from, std::string_view key, std::size_t limit);
  // An element of a list that must be an object.
  const boost::json::object* element(const boost::json::value& value, std::string_view key);

  void complain(std::string_view key, std::string_view why);
  Status status() const;

 private:
  const boost::json::value* find(const boost::json::object& from, std::string_view key);
  bool take_text(const boost::json::value& value, std::string_view key, std::string& out);
  std::string what_;
  std::optional<Error> error_;
};

}  // namespace gantry::images
