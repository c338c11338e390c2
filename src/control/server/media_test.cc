// SPDX-License-Identifier: Apache-2.0
#include "control/server/media.h"

#include <gtest/gtest.h>

namespace gantry::control {
namespace {

AnswerForm form(std::string_view accept, Offer offer = {.protobuf = true, .views = true}) {
  Outcome<AnswerForm> negotiated = negotiate(accept, offer);
  EXPECT_TRUE(negotiated) << accept;
  return negotiated.value_or(AnswerForm{});
}

// The headers that kubectl 1.32 sends, kubernetes-features.md 2.1.
TEST(MediaTest, KubectlGetsWhatItAsksFor) {
  EXPECT_EQ(form("application/json").encoding, Encoding::kJson);
  EXPECT_EQ(form("application/json, */*").view, View::kObject);
  EXPECT_EQ(form("application/vnd.kubernetes.protobuf,application/json").encoding, Encoding::kProtobuf);
  const AnswerForm table = form(
      "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,"
      "application/json");
  EXPECT_EQ(table.view, View::kTable);
  EXPECT_EQ(table.view_version, "v1");
  EXPECT_EQ(form("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io").view, View::kMetadata);
}

TEST(MediaTest, WhatCannotBeHadIsPassedOver) {
  EXPECT_EQ(form("application/vnd.kubernetes.protobuf,application/json", {}).encoding, Encoding::kJson);
  EXPECT_EQ(form("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json").view,
            View::kObject);
  EXPECT_EQ(form("application/json;q=0.1, application/yaml").encoding, Encoding::kYaml);
  EXPECT_EQ(form("").encoding, Encoding::kJson);
}

TEST(MediaTest, NothingThatCanBeHadIsRefused) {
  Outcome<AnswerForm> refused = negotiate("application/json;as=Table;v=v1;g=meta.k8s.io", {.views = false});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, 406);
  EXPECT_FALSE(negotiate("text/html", {}));
  EXPECT_FALSE(negotiate("application/json;q=0", {}));
}

TEST(MediaTest, BodiesAreJsonYamlOrProtobuf) {
  EXPECT_EQ(body_encoding("application/json; charset=utf-8").value(), Encoding::kJson);
  EXPECT_EQ(body_encoding("Application/YAML").value(), Encoding::kYaml);
  EXPECT_EQ(body_encoding("").value(), Encoding::kJson);
  EXPECT_EQ(body_encoding("text/plain").error().code, 415);
}

}  // namespace
}  // namespace gantry::control
