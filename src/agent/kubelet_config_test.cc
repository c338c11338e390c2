// SPDX-License-Identifier: Apache-2.0
#include "agent/kubelet_config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "api/yaml.h"

namespace gantry::agent {
namespace {

using std::chrono::seconds;

constexpr char kHead[] = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

std::string problem_of(const std::string& text) {
  KubeletSettings settings;
  auto read = apply_kubelet_config(api::parse_yaml(kHead + text)->front(), &settings);
  return read ? "" : read.error().message();
}

TEST(KubeletConfigTest, TheTimeOfPodsBeforeAShutdownIsGivenInOneOfTwoWays) {
  KubeletSettings settings;
  const auto two = apply_kubelet_config(
      api::parse_yaml(std::string(kHead) + "shutdownGracePeriod: 30s\nshutdownGracePeriodCriticalPods: 10s\n")->front(),
      &settings);
  ASSERT_TRUE(two) << two.error().message();
  EXPECT_EQ(settings.agent.shutdown.all, seconds(30));
  EXPECT_EQ(settings.agent.shutdown.critical, seconds(10));
  EXPECT_EQ(effective_config(*two, settings).text_at("shutdownGracePeriod"), "30s");
  settings = {};
  const char* list = "shutdownGracePeriodByPodPriority:\n- {priority: 1000, shutdownGracePeriodSeconds: 20}\n- {}\n";
  const auto read = apply_kubelet_config(api::parse_yaml(std::string(kHead) + list)->front(), &settings);
  ASSERT_TRUE(read) << read.error().message();
  ASSERT_EQ(settings.agent.shutdown.by_priority.size(), 2U);
  EXPECT_EQ(settings.agent.shutdown.by_priority[0].priority, 1000);
  EXPECT_EQ(settings.agent.shutdown.by_priority[0].period, seconds(20));
  EXPECT_EQ(problem_of(std::string(list) + "shutdownGracePeriod: 1s\n"),
            "shutdownGracePeriodByPodPriority: it is given together with shutdownGracePeriod");
  EXPECT_EQ(problem_of("shutdownGracePeriod: 5s\nshutdownGracePeriodCriticalPods: 6s\n"),
            "shutdownGracePeriodCriticalPods: at most shutdownGracePeriod was expected");
  EXPECT_EQ(problem_of("shutdownGracePeriodByPodPriority: [{priority: 1, seconds: 2}]\n"),
            "shutdownGracePeriodByPodPriority[0].seconds: is no field of KubeletConfiguration");
  EXPECT_EQ(problem_of("shutdownGracePeriodByPodPriority: [{priority: 3000000000}]\n"),
            "shutdownGracePeriodByPodPriority[0].priority: a number from -2147483648 to 2147483647 was expected");
}

TEST(KubeletConfigTest, FieldsWithAnEffectAreTakenOthersAreNamed) {
  KubeletSettings settings;
  const auto document = api::parse_yaml(std::string(kHead) + R"(
maxPods: 50
nodeLeaseDurationSeconds: 20
nodeStatusUpdateFrequency: 1m30s
nodeStatusReportFrequency: 0s
registerNode: false
registerWithTaints: [{key: a, value: b, effect: NoExecute}]
kubeReserved: {cpu: 500m}
evictionHard: {memory.available: 5%, nodefs.available: 1Gi}
runOnce: true
readOnlyPort: 10255
containerLogMaxSize: 5Mi
imageMinimumGCAge: 3m
imageGCHighThresholdPercent: 90
staticPodPath: /pods
maxParallelImagePulls: 3
eventRecordQPS: 0
userNamespaces: {idsPerPod: 131072}
cpuManagerPolicy: static
)");
  ASSERT_TRUE(document);
  const auto read = apply_kubelet_config(document->front(), &settings);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->ignored, (std::vector<std::string>{"cpuManagerPolicy", "readOnlyPort", "runOnce"}));
  EXPECT_EQ(settings.node.max_pods, 50);
  EXPECT_EQ(settings.node.lease_seconds, 20);
  EXPECT_EQ(settings.node.status_update, seconds(90));
  EXPECT_EQ(settings.node.status_report, std::chrono::minutes(5));  // 0 is the default
  EXPECT_FALSE(settings.node.registers);
  EXPECT_EQ(settings.agent.logs.max_size, 5 << 20);
  EXPECT_EQ(settings.agent.image_gc.min_age, seconds(180));
  EXPECT_EQ(settings.agent.image_gc.high_percent, 90);
  EXPECT_EQ(settings.agent.manifest_dir, "/pods");
  EXPECT_EQ(settings.agent.pull_limits.most(), 3U);
  EXPECT_EQ(settings.agent.event_rate.per_second, 0);
  EXPECT_EQ(settings.agent.ids_per_pod, 131072U);
  ASSERT_EQ(settings.node.taints.size(), 1U);
  EXPECT_EQ(settings.node.taints[0].effect, "NoExecute");
  EXPECT_EQ(settings.node.kube_reserved.at("cpu"), "500m");
  ASSERT_EQ(settings.node.eviction_hard.size(), 2U);
  EXPECT_EQ(settings.node.eviction_hard.at("memory.available").percent, 5);
  EXPECT_EQ(settings.node.eviction_hard.at("nodefs.available").amount, "1Gi");
}

TEST(KubeletConfigTest, TheRuntimeAndWhatItIsToldByDefault) {
  KubeletSettings settings;
  const auto document = api::parse_yaml(std::string(kHead) + R"(
cgroupDriver: systemd
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
imageServiceEndpoint: ""
seccompDefault: false
cpuCFSQuota: false
cpuCFSQuotaPeriod: 20ms
)");
  ASSERT_TRUE(document);
  const auto read = apply_kubelet_config(document->front(), &settings);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(read->ignored.empty());
  EXPECT_EQ(settings.agent.cgroup_driver, cgroups::DriverKind::kSystemd);
  EXPECT_EQ(settings.runtime_endpoint, "/run/containerd/containerd.sock");
  EXPECT_EQ(settings.image_endpoint, "");
  EXPECT_FALSE(settings.agent.seccomp_by_default);
  EXPECT_FALSE(settings.agent.limits_cpu);
  EXPECT_EQ(settings.agent.cpu_period, std::chrono::milliseconds(20));
  EXPECT_NE(problem_of("cgroupDriver: cgroupv2"), "");
  EXPECT_NE(problem_of("containerRuntimeEndpoint: tcp://127.0.0.1:1"), "");
  EXPECT_NE(problem_of("containerRuntimeEndpoint: unix:///run/containerd/"), "");
  EXPECT_NE(problem_of("cpuCFSQuotaPeriod: 2s"), "");
  EXPECT_NE(problem_of("seccompDefault: 'yes'"), "");
}

TEST(KubeletConfigTest, TheClustersDnsAndSysctls) {
  KubeletSettings settings;
  const auto document = api::parse_yaml(std::string(kHead) + R"(
clusterDomain: cluster.local
clusterDNS: [10.96.0.10, "fd00::a"]
allowedUnsafeSysctls: ["kernel.msg*"]
)");
  ASSERT_TRUE(document);
  const auto read = apply_kubelet_config(document->front(), &settings);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(read->ignored.empty());
  EXPECT_EQ(settings.agent.cluster_domain, "cluster.local");
  EXPECT_EQ(settings.agent.cluster_dns, (std::vector<std::string>{"10.96.0.10", "fd00::a"}));
  EXPECT_EQ(settings.agent.allowed_unsafe_sysctls, std::vector<std::string>{"kernel.msg*"});
  EXPECT_NE(problem_of("clusterDNS: [dns.example]"), "");
  EXPECT_NE(problem_of("allowedUnsafeSysctls: kernel.msg"), "");
}

TEST(KubeletConfigTest, TheNodesOwnServers) {
  KubeletSettings settings;
  const auto document = api::parse_yaml(std::string(kHead) + R"(
address: 127.0.0.1
port: 10260
readOnlyPort: 0
tlsCertFile: /a.crt
tlsPrivateKeyFile: /a.key
tlsCipherSuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
tlsCurvePreferences: [24, 4588, 29]
tlsMinVersion: VersionTLS12
rotateCertificates: false
serverTLSBootstrap: false
authentication:
  x509: {clientCAFile: /ca.crt}
  webhook: {enabled: false, cacheTTL: 0s}
  anonymous: {enabled: true}
authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 1m, cacheUnauthorizedTTL: 5s}}
enableDebuggingHandlers: false
healthzPort: 0
healthzBindAddress: "::1"
registryPullQPS: 0
registryBurst: 7
)");
  ASSERT_TRUE(document);
  const auto read = apply_kubelet_config(document->front(), &settings);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(read->ignored.empty());
  const ServerConfig& server = settings.server;
  EXPECT_EQ(server.address, "127.0.0.1");
  EXPECT_EQ(server.served_port(), 10260);
  EXPECT_EQ(server.certificate_file + server.key_file + server.client_ca_file, "/a.crt/a.key/ca.crt");
  EXPECT_FALSE(server.tls.only_tls13);
  EXPECT_EQ(server.tls.tls12_ciphers, "ECDHE-RSA-AES128-GCM-SHA256");
  EXPECT_EQ(server.tls.groups, "X25519:P-384");
  EXPECT_FALSE(server.renews_certificate || server.asks_for_certificate || server.enters_containers);
  EXPECT_TRUE(!server.gate.takes_tokens && server.gate.takes_anonymous && server.gate.asks_for_rights);
  EXPECT_EQ(server.gate.tokens, std::chrono::minutes(2));  // 0 is the default
  EXPECT_EQ(server.gate.authorized, std::chrono::minutes(1));
  EXPECT_EQ(server.gate.unauthorized, seconds(5));
  EXPECT_EQ(server.health_port, 0);
  EXPECT_EQ(server.health_address, "::1");
  EXPECT_EQ(settings.agent.pull_rate.per_second, 0);
  EXPECT_EQ(settings.agent.pull_rate.burst, 7);
  // As it is told, it is read.
  const api::Value told = effective_config(*read, settings);
  KubeletSettings again;
  const auto reread = apply_kubelet_config(told, &again);
  ASSERT_TRUE(reread) << reread.error().message();
  EXPECT_EQ(effective_config(*reread, again), told);
}

TEST(KubeletConfigTest, WhatTlsMaySpeak) {
  const auto rules_of = [](const std::string& text) {
    KubeletSettings settings;
    auto read = apply_kubelet_config(api::parse_yaml(kHead + text)->front(), &settings);
    return read ? settings.server.tls : http::TlsRules{.tls12_ciphers = read.error().message()};
  };
  EXPECT_EQ(rules_of("tlsCipherSuites: []\ntlsCurvePreferences: []\ntlsMinVersion: ''"), http::TlsRules());
  EXPECT_TRUE(rules_of("tlsMinVersion: VersionTLS13").only_tls13);
  // None of TLS 1.2 that is spoken here.
  EXPECT_TRUE(rules_of("tlsCipherSuites: [TLS_RSA_WITH_AES_128_CBC_SHA]").only_tls13);
  EXPECT_TRUE(rules_of("tlsCipherSuites: [TLS_RSA_WITH_AES_128_CBC_SHA]\ntlsMinVersion: VersionTLS12").only_tls13);
}

TEST(KubeletConfigTest, AMistakeIsNamedWithItsField) {
  EXPECT_EQ(problem_of("authentication: {webhook: {ttl: 1s}}"),
            "authentication.webhook.ttl: is no field of KubeletConfiguration");
  EXPECT_EQ(problem_of("authorization: {mode: Open}"), "authorization.mode: Webhook or AlwaysAllow was expected");
  EXPECT_NE(problem_of("authorization: {mode: AlwaysAllow}\nauthentication: {anonymous: {enabled: true}}"), "");
  EXPECT_NE(problem_of("tlsCertFile: /a.crt"), "");
  EXPECT_NE(problem_of("tlsCipherSuites: [TLS_NONE]"), "");
  EXPECT_NE(problem_of("tlsCurvePreferences: [4588]"), "");
  EXPECT_NE(problem_of("tlsMinVersion: VersionTLS14"), "");
  EXPECT_NE(problem_of("port: 70000"), "");
  EXPECT_NE(problem_of("address: localhost"), "");
  EXPECT_NE(problem_of("registryPullQPS: -1"), "");
  EXPECT_EQ(problem_of("maxPods: -1").substr(0, 8), "maxPods:");
  EXPECT_NE(problem_of("maxPods: many"), "");
  EXPECT_NE(problem_of("registerNode: maybe"), "");
  EXPECT_NE(problem_of("nodeStatusUpdateFrequency: 10"), "");
  EXPECT_NE(problem_of("kubeReserved: {cpu: much}"), "");
  EXPECT_NE(problem_of("evictionHard: {memory.available: 101%}"), "");
  EXPECT_NE(problem_of("evictionHard: {weather.available: 1%}"), "");
  EXPECT_NE(problem_of("registerWithTaints: [{key: a, effect: Never}]"), "");
  EXPECT_EQ(problem_of("zoo: 1"), "zoo: is no field of KubeletConfiguration");
  EXPECT_NE(problem_of("imageGCLowThresholdPercent: 85"), "");
  EXPECT_NE(problem_of("containerLogMaxFiles: 1"), "");
  EXPECT_NE(problem_of("maxParallelImagePulls: 0"), "");
  EXPECT_NE(problem_of("serializeImagePulls: true\nmaxParallelImagePulls: 2"), "");
  EXPECT_NE(problem_of("containerLogMaxSize: 0"), "");
  EXPECT_NE(problem_of("containerLogMonitorInterval: 1s"), "");
  EXPECT_NE(problem_of("crashLoopBackOff: {maxContainerRestartPeriod: 10m}"), "");
  EXPECT_EQ(problem_of("enforceNodeAllocatable: [pods, system-reserved]"),
            "enforceNodeAllocatable: \"system-reserved\" is not enforced here, \"pods\" and \"none\" are");
  EXPECT_NE(problem_of("enforceNodeAllocatable: [none, pods]"), "");
  EXPECT_EQ(problem_of("enforceNodeAllocatable: []"), "");
  EXPECT_NE(problem_of("podPidsLimit: -2"), "");
  EXPECT_NE(problem_of("userNamespaces: {idsPerPod: 1000}"), "");
  EXPECT_NE(problem_of("userNamespaces: {idsPerPod: 65537}"), "");
  EXPECT_NE(problem_of("userNamespaces: {idsForPods: 65536}"), "");
  EXPECT_EQ(problem_of("maxPods: null"), "");
}

TEST(KubeletConfigTest, WhatIsInForceIsTold) {
  KubeletSettings settings;
  const auto document = api::parse_yaml(std::string(kHead) + R"(
maxPods: 50
evictionHard: {memory.available: 5%, nodefs.available: 1Gi}
evictionSoft: {memory.available: 12.5%}
evictionSoftGracePeriod: {memory.available: 90s}
registerWithTaints: [{key: a, effect: NoExecute}]
imageGCHighThresholdPercent: 90
crashLoopBackOff: {maxContainerRestartPeriod: 20s}
containerLogMaxSize: 5Mi
clusterDNS: [10.0.0.10]
serializeImagePulls: false
podPidsLimit: 100
cpuManagerPolicy: static
)");
  ASSERT_TRUE(document);
  const auto read = apply_kubelet_config(document->front(), &settings);
  ASSERT_TRUE(read) << read.error().message();
  // As a flag has it.
  settings.agent.image_gc.high_percent = 95;
  const api::Value told = effective_config(*read, settings);
  const auto expected = api::parse_yaml(R"(
maxPods: 50
evictionHard: {memory.available: 5%, nodefs.available: 1Gi}
evictionSoft: {memory.available: 12.5%}
evictionSoftGracePeriod: {memory.available: 1m30s}
registerWithTaints: [{key: a, effect: NoExecute}]
imageGCHighThresholdPercent: 95
imageGCLowThresholdPercent: 80
crashLoopBackOff: {maxContainerRestartPeriod: 20s}
containerLogMaxSize: "5242880"
clusterDNS: [10.0.0.10]
serializeImagePulls: false
podPidsLimit: 100
userNamespaces: {idsPerPod: 65536}
enforceNodeAllocatable: [pods]
singleProcessOOMKill: false
evictionPressureTransitionPeriod: 5m0s
nodeStatusUpdateFrequency: 10s
eventBurst: 100
port: 10250
authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 5m0s, cacheUnauthorizedTTL: 30s}}
healthzPort: 10248
serverTLSBootstrap: true
registryPullQPS: 5
)");
  ASSERT_TRUE(expected);
  for (const auto& [name, value, position] : *expected->front().as_object()) {
    const api::Value* found = told.find(name);
    EXPECT_TRUE(found != nullptr && *found == value) << name;
  }
  for (const char* name : {"cpuManagerPolicy", "apiVersion", "kind", "maxParallelImagePulls", "providerID"}) {
    EXPECT_EQ(told.find(name), nullptr) << name;
  }
}

// A kubelet that is given what it tells works in the same way.
TEST(KubeletConfigTest, WhatIsToldIsAConfiguration) {
  KubeletSettings settings;
  const api::Value told = effective_config({}, settings);
  const auto read = apply_kubelet_config(told, &settings);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(effective_config(*read, settings), told);
}

TEST(KubeletConfigTest, LaterFilesCountMore) {
  char name[] = "/tmp/gantry-kubelet-config-XXXXXX";
  const std::filesystem::path folder = ::mkdtemp(name);
  std::filesystem::create_directory(folder / "d");
  std::ofstream(folder / "d/20.conf") << kHead << "maxPods: 30\n";
  std::ofstream(folder / "d/10.conf") << kHead << "maxPods: 20\nkubeReserved: {cpu: '2'}\n";
  std::ofstream(folder / "d/30.yaml") << "not one of them";
  std::ofstream(folder / "base") << kHead << "maxPods: 10\nkubeReserved: {cpu: '1', memory: 1Gi}\n";
  KubeletSettings settings;
  const auto read = read_kubelet_config(folder / "base", folder / "d", &settings);
  EXPECT_TRUE(read) << read.error().message();
  EXPECT_EQ(settings.node.max_pods, 30);
  EXPECT_EQ(settings.node.kube_reserved.at("cpu"), "2");
  EXPECT_EQ(settings.node.kube_reserved.at("memory"), "1Gi");
  std::ofstream(folder / "d/40.conf") << "kind: KubeletConfiguration\n";
  EXPECT_FALSE(read_kubelet_config(folder / "base", folder / "d", &settings));
  EXPECT_FALSE(read_kubelet_config(folder / "nothing", "", &settings));
  std::filesystem::remove_all(folder);
}

// What each file says alone need not go together with what is there already; all of them together must.
TEST(KubeletConfigTest, FieldsOfSeveralFilesAreCheckedTogether) {
  char name[] = "/tmp/gantry-kubelet-config-XXXXXX";
  const std::filesystem::path folder = ::mkdtemp(name);
  std::filesystem::create_directory(folder / "d");
  std::ofstream(folder / "base") << kHead << "imageGCHighThresholdPercent: 95\n";
  std::ofstream(folder / "d/10.conf") << kHead << "imageGCLowThresholdPercent: 90\n";
  KubeletSettings settings;
  const auto read = read_kubelet_config(folder / "base", folder / "d", &settings);
  EXPECT_TRUE(read) << read.error().message();
  std::ofstream(folder / "d/20.conf") << kHead << "imageGCHighThresholdPercent: 89\n";
  EXPECT_FALSE(read_kubelet_config(folder / "base", folder / "d", &settings));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace gantry::agent
