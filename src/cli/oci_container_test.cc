// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_container.h"

#include <gtest/gtest.h>

namespace gantry::cli {
namespace {

TEST(ContainerRecordTest, IsReadAsItWasWritten) {
  ContainerRecord record;
  record.id = "a";
  record.oci_version = "1.2.0";
  record.bundle = "/b";
  record.rootfs = "/b/rootfs";
  record.cgroup = "/c";
  record.made_cgroup = true;
  record.claim = "d";
  record.goes_on = true;
  record.pid = 7;
  record.start_time = UINT64_MAX;
  record.owner = UINT32_MAX;
  record.annotations = {{"", ""}, {"line", "\n\"\\\x01"}, {"nul", std::string("a\0b", 3)}};
  auto read = parse_record(record_text(record));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(record_text(*read), record_text(record));
  EXPECT_EQ(read->annotations, record.annotations);
  EXPECT_EQ(read->start_time, record.start_time);
  EXPECT_TRUE(read->goes_on);
}

TEST(ContainerRecordTest, IsWholeOrRefused) {
  std::string text = record_text(ContainerRecord{.annotations = {{"a", "b"}}});
  ASSERT_TRUE(parse_record(text).has_value());
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_EQ(parse_record(std::string_view(text).substr(0, size)).error().code(), Code::kDataLoss) << size;
  for (const char* wrong : {"\"pid\":0.5", "\"pid\":4294967296", "\"pid\":\"0\"", "\"pid\":null"}) {
    std::string other = text;
    other.replace(other.find("\"pid\":0"), 7, wrong);
    EXPECT_EQ(parse_record(other).error().code(), Code::kDataLoss) << other;
  }
}

}  // namespace
}  // namespace gantry::cli
