// SPDX-License-Identifier: Apache-2.0
#include "cri/object_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/ids.h"

namespace gantry::cri {
namespace {

using testing::IsEmpty;

using Labels = std::map<std::string, std::string>;

std::string id_of(char digit) { return std::string(kIdBytes, digit); }

class ObjectTableTest : public ::testing::Test {
 protected:
  void add(char digit, char pod, const std::string& app) {
    auto container = std::make_shared<Container>(loop_);
    container->status.set_id(id_of(digit));
    container->status.mutable_metadata()->set_name("main");
    container->sandbox_id = id_of(pod);
    (*container->status.mutable_labels())["app"] = app;
    (*container->status.mutable_labels())["all"] = "yes";
    table_.add(container);
  }
  std::string found(std::string_view id, const Labels& labels, std::string_view pod = "") const {
    std::string digits;
    google::protobuf::Map<std::string, std::string> selector(labels.begin(), labels.end());
    for (const auto& container : table_.select(id, terms_of(selector, pod))) digits += container->id().front();
    return digits;
  }

  Loop loop_;
  ObjectTable<Container> table_;
};

TEST_F(ObjectTableTest, FindsByIdPodAndLabelsInTheOrderOfIds) {
  add('c', '1', "web");
  add('a', '1', "db");
  add('b', '2', "web");
  EXPECT_EQ(found("", {}), "abc");
  EXPECT_EQ(found("bb", {}), "b");
  EXPECT_EQ(found("bc", {}), "");
  EXPECT_EQ(found("", {}, id_of('1')), "ac");
  EXPECT_EQ(found("", {{"app", "web"}}), "bc");
  EXPECT_EQ(found("", {{"app", "web"}, {"all", "yes"}}, id_of('2')), "b");
  EXPECT_EQ(found("", {{"app", "cache"}}), "");
  // The start of a pod's id is no fact that an object has: all are to be looked at.
  EXPECT_EQ(found("", {}, "1"), "abc");
}

TEST_F(ObjectTableTest, WhatIsRemovedIsNotFound) {
  add('a', '1', "web");
  add('b', '1', "web");
  table_.remove(id_of('a'));
  table_.remove(id_of('a'));
  EXPECT_EQ(table_.size(), 1U);
  EXPECT_EQ(found("", {{"app", "web"}}), "b");
  EXPECT_EQ(found("", {}, id_of('1')), "b");
  table_.remove(id_of('b'));
  EXPECT_EQ(found("", {{"app", "web"}}), "");
}

TEST_F(ObjectTableTest, FindsByName) {
  add('a', '1', "web");
  add('b', '2', "web");
  v1::ContainerMetadata metadata;
  metadata.set_name("main");
  auto found = table_.select("", {name_term(id_of('2'), metadata)});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front()->id(), id_of('b'));
  metadata.set_attempt(1);
  EXPECT_THAT(table_.select("", {name_term(id_of('2'), metadata)}), IsEmpty());
}

}  // namespace
}  // namespace gantry::cri
