// SPDX-License-Identifier: Apache-2.0
// Interfaces written down as tables, for the tests that compare compiled descriptors with them row by row.
// Columns: kind (rpc, field, enum, message, struct), owner, name, number or input, type or output, markers.
#pragma once

#include <google/protobuf/descriptor.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace gantry {

// The lines of a file, without their ends. Empty if it can not be read.
inline std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

inline std::vector<std::string> split(std::string_view line, char separator) {
  std::vector<std::string> parts;
  for (size_t end = 0; end != std::string_view::npos;) {
    end = line.find(separator);
    parts.emplace_back(line.substr(0, end));
    if (end != std::string_view::npos) line.remove_prefix(end + 1);
  }
  return parts;
}

inline std::string type_name(const google::protobuf::FieldDescriptor& field) {
  if (field.message_type() != nullptr) return field.message_type()->full_name();
  if (field.enum_type() != nullptr) return field.enum_type()->full_name();
  return field.type_name();
}

// "string", "repeated int32", "map<string,string>", and "optional T" where the file says optional.
inline std::string type_text(const google::protobuf::FieldDescriptor& field) {
  if (field.is_map()) {
    const auto& entry = *field.message_type();
    return "map<" + type_name(*entry.map_key()) + "," + type_name(*entry.map_value()) + ">";
  }
  if (field.is_repeated()) return "repeated " + type_name(field);
  return (field.has_optional_keyword() ? "optional " : "") + type_name(field);
}

}  // namespace gantry
