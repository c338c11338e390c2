// SPDX-License-Identifier: Apache-2.0
#include "agent/admission.h"

#include <gtest/gtest.h>

#include "api/codec.h"
#include "api/yaml.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using PodPtr = std::shared_ptr<const core::Pod>;

template <typename M>
M parsed(const std::string& text) {
  M message;
  const auto documents = api::parse_yaml(text);
  EXPECT_TRUE(documents && api::decode(documents->front(), &message)) << text;
  return message;
}

core::Pod pod(const std::string& spec, const std::string& metadata = "{name: web, uid: a}") {
  return parsed<core::Pod>("{apiVersion: v1, kind: Pod, metadata: " + metadata + ", spec: " + spec + "}");
}

core::Pod asking(const std::string& requests, const std::string& more = "") {
  return pod("{containers: [{name: a, resources: {requests: " + requests + "}}]" + more + "}");
}

core::Pod with_port(int port, const std::string& ip = "", const std::string& protocol = "TCP") {
  return pod("{containers: [{name: a, ports: [{hostPort: " + std::to_string(port) + ", hostIP: '" + ip +
             "', protocol: " + protocol + "}]}]}");
}

class Admission : public testing::Test {
 protected:
  std::string ask(const core::Pod& asking, bool is_static = false) {
    auto why = refusal(asking, is_static, &node_, others_, rules_);
    return why ? why->reason + ": " + why->message : "";
  }
  void add(core::Pod pod) { others_.push_back(std::make_shared<core::Pod>(std::move(pod))); }

  core::Node node_ = parsed<core::Node>(
      "{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {disk: ssd}}, "
      "status: {allocatable: {cpu: '3', memory: 1Gi, ephemeral-storage: 10Gi, pods: '2', example.com/a: '1'}}}");
  std::vector<PodPtr> others_;
  AdmissionRules rules_;
};

TEST_F(Admission, ResourcesThatAreNotThere) {
  add(asking("{cpu: 1500m, memory: 512Mi}"));
  EXPECT_EQ(ask(asking("{cpu: 1500m, memory: 512Mi, ephemeral-storage: 10Gi}")), "");
  EXPECT_EQ(ask(asking("{cpu: '2'}")),
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 2000, used: 1500, capacity: 3000");
  EXPECT_EQ(ask(asking("{memory: 1Gi}")),
            "OutOfmemory: Node didn't have enough resource: memory, requested: 1073741824, used: 536870912, capacity: "
            "1073741824");
  EXPECT_EQ(ask(asking("{ephemeral-storage: 11Gi}")).substr(0, 23), "OutOfephemeral-storage:");
  EXPECT_EQ(ask(asking("{example.com/a: '2'}")).substr(0, 19), "OutOfexample.com/a:");
  EXPECT_EQ(ask(asking("{example.com/b: '2'}")), "");
  EXPECT_EQ(ask(asking("{cpu: '1'}", ", overhead: {cpu: 600m}")).substr(0, 8), "OutOfcpu");
  add(pod("{containers: [{name: a}]}"));
  EXPECT_EQ(ask(pod("{containers: [{name: a}]}")),
            "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2");
}

TEST_F(Admission, InitContainersCountAtTheirMost) {
  EXPECT_EQ(ask(pod("{initContainers: [{name: i, resources: {requests: {cpu: '3'}}}], "
                    "containers: [{name: a, resources: {requests: {cpu: '1'}}}]}")),
            "");
  EXPECT_NE(ask(pod("{initContainers: [{name: i, restartPolicy: Always, resources: {requests: {cpu: '3'}}}], "
                    "containers: [{name: a, resources: {requests: {cpu: '1'}}}]}")),
            "");
}

TEST_F(Admission, LabelsAndTaints) {
  EXPECT_EQ(ask(pod("{nodeSelector: {disk: ssd}, containers: [{name: a}]}")), "");
  EXPECT_EQ(ask(pod("{nodeSelector: {disk: hdd}, containers: [{name: a}]}")),
            "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
  auto* taint = node_.mutable_spec()->add_taints();
  taint->set_key("gone");
  taint->set_effect("NoSchedule");
  EXPECT_EQ(ask(pod("{containers: [{name: a}]}")), "");
  taint->set_effect("NoExecute");
  EXPECT_EQ(ask(pod("{containers: [{name: a}]}")),
            "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate");
  EXPECT_EQ(ask(pod("{containers: [{name: a}]}"), true), "");
  EXPECT_EQ(ask(pod("{tolerations: [{key: gone, operator: Exists}], containers: [{name: a}]}")), "");
}

TEST_F(Admission, PortsOfTheHost) {
  add(with_port(80, "192.0.2.1"));
  EXPECT_EQ(ask(with_port(80, "192.0.2.2")), "");
  EXPECT_EQ(ask(with_port(80, "", "UDP")), "");
  EXPECT_EQ(ask(with_port(81)), "");
  EXPECT_EQ(ask(with_port(80)),
            "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports");
  EXPECT_NE(ask(with_port(80, "192.0.2.1")), "");
}

TEST_F(Admission, Sysctls) {
  const auto with = [&](const std::string& name, const std::string& more = "") {
    return ask(
        pod("{securityContext: {sysctls: [{name: " + name + ", value: '1'}]}, containers: [{name: a}]" + more + "}"));
  };
  EXPECT_EQ(with("net.ipv4.ip_unprivileged_port_start"), "");
  EXPECT_EQ(with("kernel.msgmax"), "SysctlForbidden: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
  rules_.allowed_unsafe_sysctls = {"kernel.msg*", "net.core.somaxconn"};
  EXPECT_EQ(with("kernel.msgmax"), "");
  EXPECT_EQ(with("net.core.somaxconn"), "");
  EXPECT_EQ(with("net/core/somaxconn"), "");
  EXPECT_NE(with("net.core.somaxconn2"), "");
  EXPECT_EQ(with("kernel.msgmax", ", hostIPC: true"),
            "SysctlForbidden: forbidden sysctl: \"kernel.msgmax\" not allowed with host ipc enabled");
  EXPECT_EQ(with("net.core.somaxconn", ", hostNetwork: true"),
            "SysctlForbidden: forbidden sysctl: \"net.core.somaxconn\" not allowed with host net enabled");
}

TEST_F(Admission, AnotherSystem) {
  EXPECT_EQ(ask(pod("{os: {name: windows}, containers: [{name: a}]}")),
            "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS");
  EXPECT_EQ(
      ask(pod("{containers: [{name: a}]}", "{name: a, labels: {kubernetes.io/os: windows}}")),
      "PodOSSelectorNodeLabelDoesNotMatch: Failed to admit pod as the `kubernetes.io/os` label doesn't match node "
      "label");
  const auto confined = pod("{containers: [{name: a, securityContext: {appArmorProfile: {type: RuntimeDefault}}}]}");
  EXPECT_EQ(ask(confined), "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host");
  rules_.has_apparmor = true;
  EXPECT_EQ(ask(confined), "");
}

TEST_F(Admission, WithoutANodeOnlyThePodItselfCounts) {
  EXPECT_FALSE(refusal(asking("{cpu: '100'}"), true, nullptr, others_, rules_));
  EXPECT_TRUE(refusal(pod("{os: {name: windows}}"), true, nullptr, others_, rules_));
}

TEST(AdmissionOrder, StaticThenCriticalThenOlder) {
  const auto old = pod("{}", "{name: a, uid: a, creationTimestamp: '2026-01-01T00:00:00Z'}");
  const auto young = pod("{}", "{name: b, uid: b, creationTimestamp: '2026-01-02T00:00:00Z'}");
  const auto critical = pod("{priority: 2000001000}", "{name: c, uid: c, creationTimestamp: '2026-01-03T00:00:00Z'}");
  EXPECT_TRUE(comes_before(old, false, young, false));
  EXPECT_FALSE(comes_before(young, false, old, false));
  EXPECT_TRUE(comes_before(critical, false, old, false));
  EXPECT_TRUE(comes_before(young, true, critical, false));
}

}  // namespace
}  // namespace gantry::agent
