// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/id_mappings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/plan/fields.h"

namespace gantry::runtime::oci {
namespace {

using ::testing::HasSubstr;

struct Reading {
  IdMappings ids;
  Status problem;
};

// The same list for users and groups.
Reading read(const std::string& list) {
  auto value = boost::json::parse("{\"uidMappings\":" + list + ",\"gidMappings\":" + list + "}");
  Reading out;
  read_id_mappings(Fields(value.as_object(), "linux", out.problem), out.ids);
  return out;
}

std::string one(std::uint64_t container, std::uint64_t host, std::uint64_t size) {
  return cat("{\"containerID\":", container, ",\"hostID\":", host, ",\"size\":", size, "}");
}

// `count` lines that neither overlap nor follow each other; with a high first id they are long as text.
std::string many(std::size_t count, std::uint64_t first) {
  std::string list = "[";
  for (std::size_t i = 0; i < count; ++i) list += (i == 0 ? "" : ",") + one(first + 2 * i, first + 2 * i, 1);
  return list + "]";
}

TEST(IdMappings, AreTextAsTheKernelTakesIt) {
  auto read_in = read("[" + one(0, 100000, 65536) + "," + one(65536, 5, 1) + "]");
  ASSERT_TRUE(read_in.problem) << read_in.problem.error().message();
  EXPECT_EQ(id_map_text(read_in.ids.uids), "0 100000 65536\n65536 5 1\n");
  EXPECT_EQ(id_map_text(read_in.ids.gids), id_map_text(read_in.ids.uids));
}

TEST(IdMappings, SayWhatAnIdIsOutside) {
  auto ids = read("[" + one(0, 100000, 10) + "," + one(4294967294, 5, 1) + "]").ids.uids;
  EXPECT_EQ(host_id(ids, 0), 100000U);
  EXPECT_EQ(host_id(ids, 9), 100009U);
  EXPECT_EQ(host_id(ids, 10), std::nullopt);
  EXPECT_EQ(host_id(ids, 4294967294), 5U);
  EXPECT_EQ(host_id(ids, 4294967295), std::nullopt);
}

TEST(IdMappings, WhatTheKernelWouldRefuseIsNamed) {
  const std::pair<std::string, const char*> kCases[] = {
      {"[" + one(0, 0, 0) + "]", "linux.uidMappings[0].size: 0 is wrong"},
      {"[{\"containerID\":0,\"size\":1}]", "linux.uidMappings[0].hostID: is missing"},
      {"[{\"hostID\":0,\"size\":1}]", "linux.uidMappings[0].containerID: is missing"},
      {"[" + one(4294967295, 0, 1) + "]", "linux.uidMappings[0]"},
      {"[" + one(0, 4294967290, 6) + "]", "linux.uidMappings[0].size: 6 is too much"},
      {"[" + one(0, 0, 10) + "," + one(9, 100, 1) + "]", "linux.uidMappings[1].containerID: 9"},
      {"[" + one(10, 0, 10) + "," + one(0, 100, 11) + "]", "linux.uidMappings[1].containerID: 0"},
      {"[" + one(0, 0, 10) + "," + one(10, 5, 1) + "]", "linux.uidMappings[1].hostID: 5"},
      {many(341, 0), "linux.uidMappings: has 341 entries"},
      {many(300, 4200000000), "bytes as text: the kernel takes 4095"},
  };
  for (const auto& [list, message] : kCases) {
    auto out = read(list);
    ASSERT_FALSE(out.problem) << list;
    EXPECT_THAT(out.problem.error().message(), HasSubstr(message));
  }
  EXPECT_TRUE(read(many(340, 0)).problem);
  EXPECT_TRUE(read("[" + one(0, 4294967290, 5) + "]").problem);
  EXPECT_TRUE(read("[" + one(0, 0, 10) + "," + one(10, 10, 1) + "]").problem) << "side by side";
}

TEST(IdMappings, OfUsersAndOfGroupsGoTogether) {
  Status problem;
  IdMappings ids;
  auto value = boost::json::parse("{\"gidMappings\":[" + one(0, 0, 1) + "]}");
  read_id_mappings(Fields(value.as_object(), "linux", problem), ids);
  ASSERT_FALSE(problem);
  EXPECT_THAT(problem.error().message(), HasSubstr("linux.uidMappings: is missing"));
}

}  // namespace
}  // namespace gantry::runtime::oci
