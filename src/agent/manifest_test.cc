// SPDX-License-Identifier: Apache-2.0
#include "agent/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

using testing::HasSubstr;
using testing::Not;

const ManifestContext kNode{"/etc/gantry/manifests", "node-1", ""};
const std::string kPod =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: web, image: 'web:1'}\n";

std::string problem_of(std::string_view text) {
  auto pod = parse_manifest(kNode, "web.yaml", text);
  return pod ? "" : pod.error().message();
}
// With these lines more in the spec.
std::string problem_in_spec(const std::string& lines) { return problem_of(kPod + lines); }

TEST(Manifest, BecomesAStaticPod) {
  auto pod = parse_manifest(kNode, "web.yaml", kPod);
  ASSERT_TRUE(pod) << pod.error().message();
  EXPECT_EQ(pod->full_name(), "default/web");
  EXPECT_EQ(pod->uid.size(), 32u);
  const auto& metadata = pod->pod->metadata();
  EXPECT_EQ(metadata.uid(), pod->uid);
  EXPECT_EQ(metadata.annotations().at("kubernetes.io/config.source"), "file");
  EXPECT_EQ(metadata.annotations().at("kubernetes.io/config.hash"), pod->uid);
  EXPECT_TRUE(metadata.annotations().contains("kubernetes.io/config.seen"));
  EXPECT_EQ(pod->pod->spec().node_name(), "node-1");
  EXPECT_EQ(pod->pod->spec().termination_grace_period_seconds(), 30);
  auto joined = parse_manifest({kNode.folder, kNode.node_name, "-node-1"}, "web.yaml", kPod);
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->name, "web-node-1");
}

TEST(Manifest, UidFollowsWhatItSays) {
  auto uid = [](const ManifestContext& context, const std::string& file, const std::string& text) {
    auto pod = parse_manifest(context, file, text);
    return pod ? pod->uid : pod.error().message();
  };
  std::string uid_now = uid(kNode, "web.yaml", kPod);
  EXPECT_EQ(uid(kNode, "web.yaml", kPod), uid_now);
  EXPECT_EQ(uid(kNode, "web.yaml", "# words\n" + kPod), uid_now);
  EXPECT_EQ(
      uid(kNode, "web.yaml",
          R"({"kind":"Pod","spec":{"containers":[{"image":"web:1","name":"web"}]},"apiVersion":"v1","metadata":{"name":"web"}})"),
      uid_now);
  EXPECT_EQ(uid(kNode, "web.yaml", kPod + "status: {phase: Failed}\n"), uid_now);
  EXPECT_NE(uid(kNode, "web.yaml", kPod + "  hostname: x\n"), uid_now);
  EXPECT_NE(uid(kNode, "other.yaml", kPod), uid_now);
  EXPECT_NE(uid({kNode.folder, "node-2", ""}, "web.yaml", kPod), uid_now);
}

TEST(Manifest, ProblemsNameLineAndField) {
  EXPECT_THAT(
      problem_of(
          "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - name: web\n    imag: x\n"),
      HasSubstr("spec.containers[0].imag: line 7"));
  EXPECT_THAT(problem_in_spec("  restartPolicy: Sometimes\n"), HasSubstr("spec.restartPolicy: line 7: \"Sometimes\""));
  EXPECT_THAT(problem_of("a: [\n"), HasSubstr("line"));
  EXPECT_THAT(problem_of(""), HasSubstr("holds nothing"));
  EXPECT_THAT(problem_of(kPod + "---\n" + kPod), HasSubstr("one Pod a file"));
  EXPECT_THAT(problem_of(std::string("a: b\0c", 6)), HasSubstr("zero byte"));
  EXPECT_THAT(problem_of("apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"), HasSubstr("kind"));
}

// They come to logs and terminals.
TEST(Manifest, ProblemsHaveNoControls) {
  EXPECT_THAT(problem_in_spec("  \"im\\x7fage\": x\n"), AllOf(HasSubstr("im\\x7fage"), HasSubstr("unknown field")));
}

TEST(Manifest, WhatIsNotSupportedIsRefusedByName) {
  const std::pair<const char*, const char*> table[] = {
      {"  resources: {limits: {nvidia.com/gpu: 1}}\n", "spec.resources"},
      {"  nodeSelector: {a: b}\n", "spec.nodeSelector"},
      {"  runtimeClassName: x\n", "spec.runtimeClassName"},
      {"  volumes: [{name: v, nfs: {server: s, path: /x}}]\n", "volumes of the kind nfs are not supported yet"},
      {"  volumes: [{name: v, configMap: {name: c}}]\n", "volumes[0].configMap"},
      {"  volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]\n", "sizeLimit"},
      {"  initContainers: [{name: i, image: 'i:1', resources: {limits: {nvidia.com/gpu: 1}}}]\n",
       "resources.limits[nvidia.com/gpu]"},
      {"  initContainers: [{name: i, image: 'i:1', restartPolicy: Always, startupProbe: {grpc: {port: 1, mode: "
       "TLS}}}]\n",
       "startupProbe.grpc.mode"},
  };
  for (const auto& [lines, words] : table) EXPECT_THAT(problem_in_spec(lines), HasSubstr(words));
  // Said once: the request that a limit implies is not another problem.
  EXPECT_THAT(
      problem_in_spec("  initContainers: [{name: i, image: 'i:1', resources: {limits: {nvidia.com/gpu: 1}}}]\n"),
      Not(HasSubstr("requests")));
  EXPECT_EQ(problem_in_spec(
                "  volumes: [{name: v, emptyDir: {medium: Memory, sizeLimit: 1Mi}}, {name: h, hostPath: {path: /x}}, "
                "{name: p, emptyDir: {medium: HugePages, sizeLimit: 2Mi}}]\n"
                "  hostNetwork: true\n"),
            "");
}

}  // namespace
}  // namespace gantry::agent
