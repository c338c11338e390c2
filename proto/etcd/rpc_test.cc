// SPDX-License-Identifier: Apache-2.0
// What is compiled of etcd v3 against the table of the published interface: every row of ours is one of its rows.
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <set>

#include "etcd/kv.pb.h"
#include "etcd/rpc.pb.h"
#include "proto/interface_table.h"

namespace gantry {
namespace {

namespace pb = google::protobuf;

class EtcdApi : public ::testing::Test {
 protected:
  EtcdApi() {
    for (const std::string& line : read_lines(GANTRY_ETCD_TABLE)) table_.insert(line);
  }
  void expect(std::initializer_list<std::string> columns) {
    std::string row;
    for (const std::string& column : columns) row += (row.empty() ? "" : "\t") + column;
    EXPECT_TRUE(table_.contains(row)) << row;
    ++rows_;
  }
  void check(const pb::EnumDescriptor& type) {
    for (int i = 0; i < type.value_count(); ++i) {
      expect({"enum", type.full_name(), type.value(i)->name(), std::to_string(type.value(i)->number()), "", ""});
    }
  }
  void check(const pb::Descriptor& type) {
    for (int i = 0; i < type.field_count(); ++i) {
      const pb::FieldDescriptor& field = *type.field(i);
      const auto* one = field.real_containing_oneof();
      expect({"field", type.full_name(), field.name(), std::to_string(field.number()), type_text(field),
              one != nullptr ? "oneof=" + one->name() : ""});
    }
    for (int i = 0; i < type.enum_type_count(); ++i) check(*type.enum_type(i));
    for (int i = 0; i < type.nested_type_count(); ++i) check(*type.nested_type(i));
  }
  void check(const pb::FileDescriptor& file) {
    for (int i = 0; i < file.enum_type_count(); ++i) check(*file.enum_type(i));
    for (int i = 0; i < file.message_type_count(); ++i) check(*file.message_type(i));
    for (int i = 0; i < file.service_count(); ++i) {
      const pb::ServiceDescriptor& service = *file.service(i);
      for (int j = 0; j < service.method_count(); ++j) {
        const pb::MethodDescriptor& method = *service.method(j);
        expect({"rpc", service.full_name(), method.name(),
                (method.client_streaming() ? "stream " : "") + method.input_type()->full_name(),
                (method.server_streaming() ? "stream " : "") + method.output_type()->full_name(), ""});
      }
    }
  }

  std::set<std::string> table_;
  int rows_ = 0;
};

TEST_F(EtcdApi, IsPartOfTheTable) {
  check(*mvccpb::Event::descriptor()->file());
  check(*etcdserverpb::RangeRequest::descriptor()->file());
  EXPECT_GT(rows_, 100);
}

}  // namespace
}  // namespace gantry
