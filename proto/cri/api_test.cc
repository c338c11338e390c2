// SPDX-License-Identifier: Apache-2.0
// The compiled CRI against the table of the published interface: every row is there, and nothing else is.
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <set>

#include "cri/runtime/v1/api.pb.h"
#include "proto/interface_table.h"

namespace gantry {
namespace {

namespace pb = google::protobuf;

std::string joined(std::initializer_list<std::string> columns) {
  std::string row;
  for (const std::string& column : columns) row += (row.empty() ? "" : "\t") + column;
  return row;
}

void add_enum(const pb::EnumDescriptor& type, std::multiset<std::string>* rows) {
  for (int i = 0; i < type.value_count(); ++i) {
    const pb::EnumValueDescriptor& value = *type.value(i);
    rows->insert(joined({"enum", type.full_name(), value.name(), std::to_string(value.number()), "", ""}));
  }
}

void add_message(const pb::Descriptor& type, std::multiset<std::string>* rows) {
  if (type.options().map_entry()) return;
  if (type.field_count() == 0) rows->insert(joined({"message", type.full_name(), "", "", "", ""}));
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    const std::string marker = field.options().deprecated() ? "deprecated" : "";
    rows->insert(
        joined({"field", type.full_name(), field.name(), std::to_string(field.number()), type_text(field), marker}));
    EXPECT_EQ(field.real_containing_oneof(), nullptr) << field.full_name();
  }
  for (int i = 0; i < type.enum_type_count(); ++i) add_enum(*type.enum_type(i), rows);
  for (int i = 0; i < type.nested_type_count(); ++i) add_message(*type.nested_type(i), rows);
}

void add_service(const pb::ServiceDescriptor& service, std::multiset<std::string>* rows) {
  for (int i = 0; i < service.method_count(); ++i) {
    const pb::MethodDescriptor& method = *service.method(i);
    const std::string input = (method.client_streaming() ? "stream " : "") + method.input_type()->full_name();
    const std::string output = (method.server_streaming() ? "stream " : "") + method.output_type()->full_name();
    rows->insert(joined({"rpc", service.full_name(), method.name(), input, output, ""}));
  }
}

std::multiset<std::string> compiled_rows() {
  const pb::FileDescriptor& file = *::runtime::v1::VersionRequest::descriptor()->file();
  std::multiset<std::string> rows;
  for (int i = 0; i < file.service_count(); ++i) add_service(*file.service(i), &rows);
  for (int i = 0; i < file.enum_type_count(); ++i) add_enum(*file.enum_type(i), &rows);
  for (int i = 0; i < file.message_type_count(); ++i) add_message(*file.message_type(i), &rows);
  return rows;
}

TEST(CriApi, IsTheTableRowByRow) {
  const std::vector<std::string> lines = read_lines(GANTRY_CRI_TABLE);
  const std::multiset<std::string> table(lines.begin(), lines.end());
  ASSERT_GT(table.size(), 600u) << "no table in " GANTRY_CRI_TABLE;
  const std::multiset<std::string> compiled = compiled_rows();
  for (const std::string& row : table) {
    EXPECT_EQ(compiled.count(row), table.count(row)) << "in the table, not as compiled: " << row;
  }
  for (const std::string& row : compiled) {
    EXPECT_EQ(table.count(row), compiled.count(row)) << "compiled, not as in the table: " << row;
  }
}

// proto3 without presence: a scalar that is zero is not written, as the clients expect.
TEST(CriApi, IsProto3) {
  const pb::FileDescriptor& file = *::runtime::v1::VersionRequest::descriptor()->file();
  EXPECT_EQ(file.syntax(), pb::FileDescriptor::SYNTAX_PROTO3);
  EXPECT_EQ(file.package(), "runtime.v1");
}

}  // namespace
}  // namespace gantry
