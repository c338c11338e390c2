// SPDX-License-Identifier: Apache-2.0
#include "cli/gantryd_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(std::string_view text) {
  auto config = parse_gantryd_config(text);
  return config ? "" : config.error().message();
}

TEST(GantrydConfig, HandlersAreRead) {
  auto config = parse_gantryd_config(R"(
runtimeHandlers:
- name: crun
  path: /usr/bin/crun
  flags: [--debug]
  annotations: [run.oci.handler, example.com/a]
- {name: kata-2, path: /opt/kata}
)");
  ASSERT_TRUE(config) << config.error().message();
  ASSERT_EQ(config->handlers.size(), 2U);
  EXPECT_EQ(config->handlers[0].name, "crun");
  EXPECT_EQ(config->handlers[0].path, "/usr/bin/crun");
  EXPECT_THAT(config->handlers[0].flags, ElementsAre("--debug"));
  EXPECT_THAT(config->handlers[0].annotations, ElementsAre("run.oci.handler", "example.com/a"));
  EXPECT_TRUE(config->handlers[1].flags.empty());
  for (const char* empty : {"", "# nothing\n", "{}", "runtimeHandlers: []"}) {
    auto none = parse_gantryd_config(empty);
    ASSERT_TRUE(none) << empty;
    EXPECT_TRUE(none->handlers.empty());
  }
}

TEST(GantrydConfig, WhatIsWrongIsNamed) {
  EXPECT_THAT(refusal("[]"), HasSubstr("an object"));
  EXPECT_THAT(refusal("runtimehandlers: []"), HasSubstr("runtimehandlers: is unknown"));
  EXPECT_THAT(refusal("runtimeHandlers: {}"), HasSubstr("runtimeHandlers: a list"));
  EXPECT_THAT(refusal("runtimeHandlers: [5]"), HasSubstr("runtimeHandlers[0]: an object"));
  EXPECT_THAT(refusal("runtimeHandlers: [{path: /x}]"), HasSubstr("runtimeHandlers[0]: name is missing"));
  EXPECT_THAT(refusal("runtimeHandlers: [{name: gantry, path: /x}]"), HasSubstr("gantryd's own"));
  EXPECT_THAT(refusal("runtimeHandlers: [{name: A, path: /x}]"), HasSubstr("\"A\": a DNS label"));
  EXPECT_THAT(refusal("runtimeHandlers: [{name: a, path: x}]"), HasSubstr("\"x\": the absolute path"));
  EXPECT_THAT(refusal("runtimeHandlers: [{name: a}]"), HasSubstr("runtimeHandlers[0].path"));
  EXPECT_THAT(refusal("runtimeHandlers: [{name: a, path: /x, root: /y}]"),
              HasSubstr("runtimeHandlers[0].root: is unknown"));
  EXPECT_THAT(refusal("runtimeHandlers: [{name: a, path: /x, flags: [--log=/y]}]"),
              HasSubstr("flags[0]: \"--log=/y\""));
  EXPECT_THAT(refusal("runtimeHandlers: [{name: a, path: /x, annotations: [{}]}]"),
              HasSubstr("annotations[0]: a string"));
  EXPECT_THAT(refusal("runtimeHandlers: [{name: a, path: /x}, {name: a, path: /y}]"),
              HasSubstr("runtimeHandlers[1].name: \"a\" is there twice"));
}

}  // namespace
}  // namespace gantry::cli
