// SPDX-License-Identifier: Apache-2.0
#include "cdi/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::cdi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kYaml[] = R"(
cdiVersion: "0.8.0"
kind: vendor.com/gpu
annotations: {made-by: a-test}
containerEdits:
  env: [DRIVER=1]
devices:
- name: "0"
  containerEdits:
    env: [GPU=0, EMPTY=]
    deviceNodes:
    - {path: /dev/gpu0, hostPath: /dev/null, permissions: rw, uid: 5, gid: 6, fileMode: 0640}
    - {path: /dev/made, type: c, major: 1, minor: 3}
    mounts:
    - {hostPath: /usr/lib/gpu, containerPath: /gpu, options: [ro, nosuid, bind]}
    additionalGids: [44, 0]
- name: all
  containerEdits: {env: [GPU=all]}
)";

Edits edits_of(std::string_view text) {
  auto edits = parse_edits(text);
  EXPECT_TRUE(edits) << edits.error().message();
  return edits ? std::move(*edits) : Edits();
}

TEST(CdiSpecTest, ReadsYamlAndItsEdits) {
  auto spec = parse_spec(kYaml);
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->kind, "vendor.com/gpu");
  ASSERT_EQ(spec->devices.size(), 2U);
  EXPECT_EQ(spec->devices[0].name, "0");
  Edits edits = edits_of("[" + spec->edits + "," + spec->devices[0].edits + "]");
  EXPECT_THAT(edits.env, ElementsAre("DRIVER=1", "GPU=0", "EMPTY="));
  ASSERT_EQ(edits.nodes.size(), 2U);
  EXPECT_EQ(edits.nodes[0].path, "/dev/gpu0");
  EXPECT_EQ(edits.nodes[0].host_path, "/dev/null");
  EXPECT_EQ(edits.nodes[0].permissions, "rw");
  EXPECT_EQ(edits.nodes[0].mode, 0640U);
  EXPECT_EQ(edits.nodes[0].uid, 5U);
  EXPECT_FALSE(edits.nodes[0].is_complete());
  EXPECT_TRUE(edits.nodes[1].is_complete());
  EXPECT_EQ(edits.nodes[1].host_path, "/dev/made");
  ASSERT_EQ(edits.mounts.size(), 1U);
  EXPECT_THAT(edits.mounts[0].options, ElementsAre("ro", "nosuid", "bind"));
  EXPECT_THAT(edits.groups, ElementsAre(44U));
  EXPECT_TRUE(edits.unsupported.empty());
}

TEST(CdiSpecTest, ReadsJson) {
  auto spec = parse_spec(R"({"cdiVersion": "1.0.0", "kind": "a.b/c-d", "devices": [
      {"name": "x:1", "containerEdits": {"hooks": [{"hookName": "poststop", "path": "/bin/true"},
        {"hookName": "createContainer", "path": "/bin/echo", "args": ["echo", "x"], "env": ["A=1"], "timeout": 5}]}}]})");
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->edits, "");
  Edits edits = edits_of("[" + spec->devices[0].edits + "]");
  ASSERT_EQ(edits.other_hooks.count("poststop"), 1U);
  EXPECT_EQ(edits.other_hooks.find("poststop")->second[0].path, "/bin/true");
  ASSERT_EQ(edits.hooks.size(), 1U);
  EXPECT_EQ(edits.hooks[0].path, "/bin/echo");
  EXPECT_THAT(edits.hooks[0].args, ElementsAre("echo", "x"));
  EXPECT_EQ(edits.hooks[0].timeout, 5);
}

TEST(CdiSpecTest, SaysWhatIsWrongAndWhere) {
  auto with = [](std::string_view edits) {
    return R"({"cdiVersion": "0.8.0", "kind": "a.b/c", "devices": [{"name": "x", "containerEdits": )" +
           std::string(edits) + "}]}";
  };
  const std::pair<std::string, const char*> kCases[] = {
      {"", "0 documents"},
      {"[]", "an object"},
      {"kind: a.b/c\n  x: [", "line 2"},
      {R"({"kind": "a.b/c"})", "cdiVersion: is missing"},
      {R"({"cdiVersion": "2.0.0"})", "\"2.0.0\" is not supported"},
      {R"({"cdiVersion": "0.8.0", "kind": "c"})", "kind: \"c\" is wrong"},
      {R"({"cdiVersion": "0.8.0", "kind": "a.b/../c"})", "kind:"},
      {R"({"cdiVersion": "0.8.0", "kind": "a.b/c"})", "devices: is missing"},
      {R"({"cdiVersion": "0.8.0", "kind": "a.b/c", "devices": [{"name": "../x"}]})", "devices[0].name: \"../x\""},
      {R"({"cdiVersion": "0.8.0", "kind": "a.b/c", "devices": [{"name": "x"}]})", "devices[0].containerEdits"},
      {R"({"cdiVersion": "0.8.0", "kind": "a.b/c", "device": []})", "\"device\": is no field"},
      {with("{}"), "devices[0].containerEdits: is missing"},
      {with(R"({"envs": []})"), "devices[0].containerEdits.\"envs\": is no field"},
      {with(R"({"env": ["A"]})"), "devices[0].containerEdits.env[0]: is no variable"},
      {with(R"({"deviceNodes": [{}]})"), "deviceNodes[0].path: is missing"},
      {with(R"({"deviceNodes": [{"path": "dev/x"}]})"), "absolute path"},
      {with(R"({"deviceNodes": [{"path": "/dev/x", "type": "x"}]})"), "type: \"x\" is unknown"},
      {with(R"({"deviceNodes": [{"path": "/dev/x", "major": -1}]})"), "major: -1 is wrong"},
      {with(R"({"deviceNodes": [{"path": "/dev/x", "permissions": "rx"}]})"), "permissions: \"rx\""},
      {with(R"({"hooks": [{"path": "/a"}]})"), "hooks[0].hookName: is missing"},
      {with(R"({"hooks": [{"hookName": "create", "path": "/a"}]})"), "hookName: \"create\" is unknown"},
      {with(R"({"hooks": [{"hookName": "poststop", "path": "a"}]})"), "hooks[0].path: \"a\" is wrong"},
      {with(R"({"mounts": [{"containerPath": "/x"}]})"), "hostPath: is missing"},
      {with(R"({"additionalGids": [4294967295]})"), "additionalGids[0]: 4294967295"},
  };
  for (const auto& [text, sentence] : kCases) {
    auto spec = parse_spec(text);
    ASSERT_FALSE(spec) << text;
    EXPECT_THAT(spec.error().message(), HasSubstr(sentence)) << text;
  }
}

TEST(CdiSpecTest, BoundsWhatItReads) {
  EXPECT_TRUE(parse_spec(std::string(kMaxSpecBytes + 1, ' ')).error().is_resource());
  EXPECT_TRUE(parse_spec(std::string(100, '[')).error().is_resource() ||
              parse_spec(std::string(100, '[')).error().is_invalid());
}

TEST(CdiSpecTest, NamesOfDevicesAreWordsAndNoPaths) {
  auto name = parse_device_name("vendor.com/class=gpu0:1");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->kind, "vendor.com/class");
  EXPECT_EQ(name->name, "gpu0:1");
  for (const char* bad : {"", "=", "gpu", "a/b", "a/=c", "/b=c", "a/b=", "1a/b=c", "a/b=../c", "a/../b=c", "a/b=c d",
                          "a/b=c\n", "a/b=-c", "/etc/passwd", "a/b=c=d"}) {
    EXPECT_FALSE(parse_device_name(bad)) << bad;
  }
  EXPECT_FALSE(parse_device_name("a/b=" + std::string(600, 'c')));
}

}  // namespace
}  // namespace gantry::cdi
