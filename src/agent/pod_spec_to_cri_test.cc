// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_spec_to_cri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/container_spec.h"
#include "agent/expansion.h"
#include "agent/manifest.h"
#include "agent/pod_resources.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

const NodeFacts kNode{.node_name = "node-1",
                      .host_ip = "192.0.2.1",
                      .pod_logs_dir = "/var/log/pods",
                      .root_dir = "/var/lib/kubelet",
                      .cgroup_root = "",
                      .resources = {.memory_capacity = std::uint64_t{4} << 30},
                      .masked_paths = {"/proc/kcore", "/sys/firmware"},
                      .read_only_paths = {"/proc/sys"}};

core::Pod pod_of(const std::string& spec, const std::string& metadata = "{name: web, labels: {app: shop}}") {
  auto pod = parse_manifest({"/m", "node-1", ""}, "web.yaml",
                            "apiVersion: v1\nkind: Pod\nmetadata: " + metadata + "\nspec:\n" + spec);
  EXPECT_TRUE(pod) << (pod ? "" : pod.error().message());
  return pod ? *pod->pod : core::Pod();
}
// A pod of one container, with these lines more in the container and in the spec.
core::Pod pod_with(const std::string& lines, const std::string& spec = "") {
  return pod_of(spec + "  containers:\n  - name: web\n    image: web:1\n" + lines);
}

v1::Image image_of(const std::string& user) {
  v1::Image image;
  image.set_id("sha256:1");
  if (!user.empty() && user.find_first_not_of("0123456789") == user.npos) {
    image.mutable_uid()->set_value(std::stoll(user));
  } else {
    image.set_username(user);
  }
  return image;
}

Result<v1::ContainerConfig> made(const core::Pod& pod, const std::string& user = "") {
  v1::Image image = image_of(user);
  ContainerInputs inputs{.attempt = 2, .pod_ips = {"10.88.0.5", "fd00::5"}, .image = &image};
  for (const auto& volume : pod.spec().volumes()) inputs.volumes[volume.name()].path = "/host/" + volume.name();
  inputs.termination_log = "/log";
  return container_config(pod, pod.spec().containers(0), kNode, inputs);
}
v1::ContainerConfig config_of(const core::Pod& pod, const std::string& user = "") {
  auto config = made(pod, user);
  EXPECT_TRUE(config) << (config ? "" : config.error().message());
  return config ? *config : v1::ContainerConfig();
}
v1::PodSandboxConfig sandbox_of(const core::Pod& pod, const std::string& resolv_conf = "",
                                std::string* omitted = nullptr) {
  return sandbox_config(pod, kNode, 3, resolv_conf, "web.yaml", {}, omitted);
}

// ---- sandbox

TEST(SandboxConfig, HasKubeletsNames) {
  core::Pod pod = pod_with("    ports: [{containerPort: 80}]\n");
  v1::PodSandboxConfig config = sandbox_of(pod);
  EXPECT_EQ(config.metadata().name(), "web");
  EXPECT_EQ(config.metadata().attempt(), 3u);
  EXPECT_EQ(config.hostname(), "web");
  EXPECT_EQ(config.log_directory(), "/var/log/pods/default_web_" + pod.metadata().uid());
  EXPECT_EQ(config.labels().at("app"), "shop");
  EXPECT_EQ(config.labels().at("io.kubernetes.pod.uid"), pod.metadata().uid());
  EXPECT_EQ(config.annotations().at("gantry.io/manifest-file"), "web.yaml");
  EXPECT_EQ(config.linux().cgroup_parent(), "/kubepods/besteffort/pod" + pod.metadata().uid());
  EXPECT_EQ(config.dns_config().ByteSizeLong(), 0U) << "an empty file";
  ASSERT_EQ(config.port_mappings_size(), 1);
  EXPECT_EQ(config.port_mappings(0).container_port(), 80);
  const auto& options = config.linux().security_context().namespace_options();
  EXPECT_EQ(options.network(), v1::POD);
  EXPECT_EQ(options.pid(), v1::CONTAINER);
  EXPECT_EQ(options.ipc(), v1::POD);
}

TEST(SandboxConfig, WithTheDriverSystemdThePodIsInASlice) {
  NodeFacts node = kNode;
  node.cgroup_driver = cgroups::DriverKind::kSystemd;
  core::Pod pod = pod_with("    ports: [{containerPort: 80}]\n");
  EXPECT_EQ(sandbox_config(pod, node, 0, "", "").linux().cgroup_parent(),
            "kubepods-besteffort-pod" + pod.metadata().uid() + ".slice");
}

TEST(SandboxConfig, HostNamespaces) {
  v1::PodSandboxConfig config =
      sandbox_of(pod_with("    ports: [{containerPort: 80}]\n", "  hostNetwork: true\n  hostIPC: true\n"));
  const auto& options = config.linux().security_context().namespace_options();
  EXPECT_EQ(options.network(), v1::NODE);
  EXPECT_EQ(options.ipc(), v1::NODE);
  EXPECT_EQ(config.hostname(), "");
  EXPECT_EQ(config.port_mappings_size(), 0);
  EXPECT_EQ(
      sandbox_of(pod_with("", "  shareProcessNamespace: true\n")).linux().security_context().namespace_options().pid(),
      v1::POD);
  EXPECT_EQ(sandbox_of(pod_with("", "  hostPID: true\n")).linux().security_context().namespace_options().pid(),
            v1::NODE);
}

TEST(SandboxConfig, Dns) {
  const std::string node = "# node\nsearch example.com corp\nnameserver 192.0.2.53\noptions ndots:1 edns0\n";
  v1::PodSandboxConfig added = sandbox_of(pod_with("",
                                                   "  dnsConfig: {nameservers: [10.0.0.1], searches: [a.b], options: "
                                                   "[{name: ndots, value: '5'}, {name: rotate}]}\n"),
                                          node);
  EXPECT_THAT(added.dns_config().servers(), ElementsAre("192.0.2.53", "10.0.0.1"));
  EXPECT_THAT(added.dns_config().searches(), ElementsAre("example.com", "corp", "a.b"));
  EXPECT_THAT(added.dns_config().options(), ElementsAre("edns0", "ndots:5", "rotate"));
  v1::PodSandboxConfig own =
      sandbox_of(pod_with("", "  dnsPolicy: None\n  dnsConfig: {nameservers: [10.0.0.1]}\n"), node);
  EXPECT_THAT(own.dns_config().servers(), ElementsAre("10.0.0.1"));
  EXPECT_THAT(own.dns_config().searches(), IsEmpty());
  // More than resolvers read: the first ones, and a word about it.
  std::string omitted = "x";
  EXPECT_THAT(
      sandbox_of(pod_with("", "  dnsConfig: {options: [{name: rotate}]}\n"), node, &omitted).dns_config().servers(),
      ElementsAre("192.0.2.53"));
  EXPECT_EQ(omitted, "");
  std::string searches;
  for (int i = 0; i < 31; ++i) searches += std::string(i == 0 ? "" : ", ") + "s" + std::to_string(i);
  v1::PodSandboxConfig many = sandbox_of(
      pod_with("", "  dnsConfig: {nameservers: [10.0.0.1, 10.0.0.2, 10.0.0.3], searches: [" + searches + "]}\n"), node,
      &omitted);
  EXPECT_THAT(many.dns_config().servers(), ElementsAre("192.0.2.53", "10.0.0.1", "10.0.0.2"));
  EXPECT_EQ(many.dns_config().searches_size(), 32);
  EXPECT_THAT(omitted, HasSubstr("of 4 nameservers"));
  EXPECT_THAT(omitted, HasSubstr("of 33 search domains"));
  v1::PodSandboxConfig long_one =
      sandbox_of(pod_with("", "  dnsConfig: {searches: [a.b]}\n"), "search " + std::string(2045, 'x') + "\n", &omitted);
  EXPECT_EQ(long_one.dns_config().searches_size(), 1);
}

TEST(SandboxConfig, TheClustersDns) {
  NodeFacts node = kNode;
  node.cluster_domain = "cluster.local";
  node.cluster_dns = {"10.96.0.10"};
  const std::string own = "search example.com cluster.local\nnameserver 192.0.2.53\noptions edns0\n";
  const auto dns_of = [&](const std::string& spec) {
    return sandbox_config(pod_with("", spec), node, 0, own, "web.yaml").dns_config();
  };
  EXPECT_THAT(dns_of("").servers(), ElementsAre("10.96.0.10"));
  EXPECT_THAT(dns_of("").searches(),
              ElementsAre("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com"));
  EXPECT_THAT(dns_of("").options(), ElementsAre("ndots:5"));
  EXPECT_THAT(dns_of("  dnsPolicy: Default\n").servers(), ElementsAre("192.0.2.53"));
  EXPECT_THAT(dns_of("  dnsPolicy: Default\n").searches(), ElementsAre("example.com", "cluster.local"));
  EXPECT_THAT(dns_of("  hostNetwork: true\n").servers(), ElementsAre("192.0.2.53"));
  EXPECT_THAT(dns_of("  hostNetwork: true\n  dnsPolicy: ClusterFirstWithHostNet\n").servers(),
              ElementsAre("10.96.0.10"));
}

// ---- container

TEST(ContainerConfig, HasKubeletsNames) {
  core::Pod pod = pod_with("    terminationMessagePath: /tmp/end\n");
  v1::ContainerConfig config = config_of(pod);
  EXPECT_EQ(config.metadata().attempt(), 2u);
  EXPECT_EQ(config.image().image(), "sha256:1");
  EXPECT_EQ(config.image().user_specified_image(), "web:1");
  EXPECT_EQ(config.log_path(), "web/2.log");
  EXPECT_THAT(config.labels(), UnorderedElementsAre(Pair("io.kubernetes.pod.name", "web"),
                                                    Pair("io.kubernetes.pod.namespace", "default"),
                                                    Pair("io.kubernetes.pod.uid", pod.metadata().uid()),
                                                    Pair("io.kubernetes.container.name", "web")));
  EXPECT_EQ(config.annotations().at("io.kubernetes.container.restartCount"), "2");
  EXPECT_EQ(config.annotations().at("io.kubernetes.container.terminationMessagePath"), "/tmp/end");
  EXPECT_EQ(config.annotations().at("io.kubernetes.pod.terminationGracePeriod"), "30");
  ASSERT_EQ(config.mounts_size(), 1);
  EXPECT_EQ(config.mounts(0).host_path(), "/log");
  EXPECT_EQ(config.mounts(0).container_path(), "/tmp/end");
  EXPECT_EQ(container_log_link("web", "default", "c", "0123"), "web_default_c-0123.log");
  EXPECT_EQ(container_log_link(std::string(253, 'a'), "default", "c", "0123").size(), 255u);
}

TEST(ContainerConfig, EnvironmentAndCommands) {
  v1::ContainerConfig config = config_of(pod_with(R"(    command: [/bin/serve, $(NAME), $$(NAME), $(NOT), $5, "a$"]
    args: ['--at=$(IP)']
    env:
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
    - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: NONE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['x']"}}}
    - {name: URL, value: 'http://$(NAME)/$(LATER)'}
    - {name: LATER, value: x}
    - {name: NODE, value: second}
)"));
  EXPECT_THAT(config.command(), ElementsAre("/bin/serve", "web", "$(NAME)", "$(NOT)", "$5", "a$"));
  EXPECT_THAT(config.args(), ElementsAre("--at=10.88.0.5"));
  std::vector<std::string> env;
  for (const auto& pair : config.envs()) env.push_back(pair.key() + "=" + pair.value());
  EXPECT_THAT(env, ElementsAre("NAME=web", "IP=10.88.0.5", "IPS=10.88.0.5,fd00::5", "HOST=192.0.2.1", "NODE=second",
                               "APP=shop", "NONE=", "URL=http://web/$(LATER)", "LATER=x"));
}

TEST(ContainerConfig, Users) {
  const auto security = [](const v1::ContainerConfig& config) { return config.linux().security_context(); };
  auto plain = security(config_of(pod_with(""), "1000"));
  EXPECT_FALSE(plain.has_run_as_user());  // the image's, with its group
  auto both = security(
      config_of(pod_with("    securityContext: {runAsUser: 7}\n",
                         "  securityContext: {runAsUser: 5, runAsGroup: 6, supplementalGroups: [8], fsGroup: 9}\n")));
  EXPECT_EQ(both.run_as_user().value(), 7);
  EXPECT_EQ(both.run_as_group().value(), 6);
  EXPECT_THAT(both.supplemental_groups(), ElementsAre(8, 9));
  auto group = security(config_of(pod_with("    securityContext: {runAsGroup: 6}\n"), "www"));
  EXPECT_EQ(group.run_as_username(), "www");
  const std::string rule = "    securityContext: {runAsNonRoot: true}\n";
  EXPECT_TRUE(made(pod_with(rule), "1000"));
  EXPECT_FALSE(made(pod_with(rule), "0"));
  EXPECT_FALSE(made(pod_with(rule), ""));
  EXPECT_THAT(made(pod_with(rule), "www").error().message(), HasSubstr("non-numeric user (www), cannot verify"));
  EXPECT_TRUE(made(pod_with("    securityContext: {runAsNonRoot: true, runAsUser: 4}\n"), "www"));
  EXPECT_FALSE(
      made(pod_with("    securityContext: {runAsUser: 0}\n", "  securityContext: {runAsNonRoot: true}\n"), "5"));
}

TEST(ContainerConfig, Security) {
  auto by_default = config_of(pod_with("")).linux().security_context();
  EXPECT_EQ(by_default.seccomp().profile_type(), v1::SecurityProfile::RuntimeDefault);
  EXPECT_FALSE(by_default.no_new_privs());
  EXPECT_THAT(by_default.masked_paths(), ElementsAre("/proc/kcore", "/sys/firmware"));
  EXPECT_THAT(by_default.readonly_paths(), ElementsAre("/proc/sys"));
  auto tight =
      config_of(pod_with("    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, "
                         "capabilities: {add: [NET_ADMIN], drop: [ALL]}, "
                         "seccompProfile: {type: Localhost, localhostProfile: a.json}}\n"));
  const auto& security = tight.linux().security_context();
  EXPECT_TRUE(security.no_new_privs());
  EXPECT_TRUE(security.readonly_rootfs());
  EXPECT_THAT(security.capabilities().add_capabilities(), ElementsAre("NET_ADMIN"));
  EXPECT_THAT(security.capabilities().drop_capabilities(), ElementsAre("ALL"));
  EXPECT_EQ(security.seccomp().localhost_ref(), "/var/lib/kubelet/seccomp/a.json");
  core::Pod privileged = pod_with("    securityContext: {privileged: true}\n",
                                  "  securityContext: {seccompProfile: {type: Unconfined}}\n");
  EXPECT_TRUE(sandbox_of(privileged).linux().security_context().privileged());
  auto all = config_of(privileged).linux().security_context();
  EXPECT_TRUE(all.privileged());
  EXPECT_EQ(all.seccomp().profile_type(), v1::SecurityProfile::Unconfined);
  EXPECT_EQ(all.masked_paths_size(), 0);
}

TEST(ContainerConfig, SeccompIsOffByDefaultWhereTheNodeSaysSo) {
  NodeFacts node = kNode;
  node.seccomp_by_default = false;
  const auto profile = [&node](const std::string& more) {
    const core::Pod pod = pod_with(more);
    return container_config(pod, pod.spec().containers(0), node, {})->linux().security_context().seccomp();
  };
  EXPECT_EQ(profile("").profile_type(), v1::SecurityProfile::Unconfined);
  EXPECT_EQ(profile("    securityContext: {seccompProfile: {type: RuntimeDefault}}\n").profile_type(),
            v1::SecurityProfile::RuntimeDefault);
}

TEST(ContainerConfig, InAUserNamespace) {
  const UserRange users{131072, 65536};
  const core::Pod pod = pod_with(
      "    volumeMounts: [{name: v, mountPath: /v}]\n    securityContext: {procMount: Unmasked}\n",
      "  hostUsers: false\n  volumes: [{name: v, emptyDir: {}}]\n");
  const auto options = sandbox_config(pod, kNode, 0, "", "", users).linux().security_context().namespace_options();
  EXPECT_EQ(options.userns_options().ShortDebugString(),
            "uids { host_id: 131072 length: 65536 } gids { host_id: 131072 length: 65536 }");
  EXPECT_FALSE(sandbox_of(pod).linux().security_context().namespace_options().has_userns_options());
  v1::Image image = image_of("");
  ContainerInputs inputs{.image = &image, .termination_log = "/log", .hosts = "/hosts", .users = users};
  inputs.volumes["v"].path = "/host/v";
  auto config = container_config(pod, pod.spec().containers(0), kNode, inputs);
  ASSERT_TRUE(config) << config.error().message();
  const auto& security = config->linux().security_context();
  EXPECT_EQ(security.namespace_options().userns_options().DebugString(), options.userns_options().DebugString());
  EXPECT_EQ(security.masked_paths_size() + security.readonly_paths_size(), 0);
  ASSERT_EQ(config->mounts_size(), 3);
  for (const auto& mount : config->mounts()) {
    EXPECT_EQ(mount.uidmappings_size(), 1) << mount.container_path();
    EXPECT_EQ(mount.gidmappings_size(), 1) << mount.container_path();
    EXPECT_EQ(mount.uidmappings(0).host_id(), 131072U);
  }
  inputs.users.reset();
  config = container_config(pod, pod.spec().containers(0), kNode, inputs);
  EXPECT_EQ(config->linux().security_context().masked_paths_size(), 2);
}

TEST(ContainerConfig, VolumesAreMounted) {
  v1::ContainerConfig config =
      config_of(pod_with("    volumeMounts:\n    - {name: a, mountPath: /a, readOnly: true}\n    - {name: b, "
                         "mountPath: /b, mountPropagation: HostToContainer}\n",
                         "  volumes: [{name: a, emptyDir: {}}, {name: b, hostPath: {path: /x}}]\n"));
  ASSERT_EQ(config.mounts_size(), 3);
  EXPECT_EQ(config.mounts(0).host_path(), "/host/a");
  EXPECT_TRUE(config.mounts(0).readonly());
  EXPECT_EQ(config.mounts(1).propagation(), v1::PROPAGATION_HOST_TO_CONTAINER);
}

// ---- resources

TEST(Resources, FollowKubeletsFormulas) {
  auto resources = [](const std::string& text) {
    core::Pod pod = pod_with("    resources: " + text + "\n");
    return config_of(pod).linux().resources();
  };
  auto guaranteed = resources("{limits: {cpu: 500m, memory: 1Gi}}");
  EXPECT_EQ(guaranteed.cpu_shares(), 512);
  EXPECT_EQ(guaranteed.cpu_quota(), 50'000);
  EXPECT_EQ(guaranteed.cpu_period(), 100'000);
  EXPECT_EQ(guaranteed.memory_limit_in_bytes(), std::int64_t{1} << 30);
  EXPECT_EQ(guaranteed.oom_score_adj(), -997);
  auto burstable = resources("{requests: {cpu: 100m, memory: 1Gi}}");
  EXPECT_EQ(burstable.cpu_shares(), 102);
  EXPECT_EQ(burstable.cpu_quota(), 0);
  EXPECT_EQ(burstable.oom_score_adj(), 750);  // a quarter of the node's 4 GiB
  EXPECT_EQ(resources("{requests: {memory: 1}}").oom_score_adj(), 999);
  auto none = resources("{}");
  EXPECT_EQ(none.cpu_shares(), 2);
  EXPECT_EQ(none.oom_score_adj(), 1000);
  EXPECT_EQ(resources("{limits: {cpu: 1m}}").cpu_quota(), 1000);
  EXPECT_THAT(none.unified(), IsEmpty());
}

TEST(Resources, TheNodesOwnWordsOnPods) {
  const core::Pod pod = pod_with("");
  NodeFacts node = kNode;
  node.pod_pids_limit = 100;
  node.kills_whole_containers = true;
  EXPECT_THAT(sandbox_config(pod, node, 0, "", "").linux().resources().unified(), ElementsAre(Pair("pids.max", "100")));
  const v1::Image image = image_of("");
  const auto config = container_config(pod, pod.spec().containers(0), node, {.image = &image});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_THAT(config->linux().resources().unified(), ElementsAre(Pair("memory.oom.group", "1")));
}

TEST(Resources, HugePagesAreThoseThatAreAskedForAndNoOthers) {
  EXPECT_EQ(huge_page_size("hugepages-2Mi"), "2MB");
  EXPECT_EQ(huge_page_size("hugepages-1Gi"), "1GB");
  EXPECT_EQ(huge_page_size("hugepages-64Ki"), "64KB");
  EXPECT_EQ(huge_page_size("hugepages-512Mi"), "512MB");
  for (const char* other : {"memory", "hugepages-", "hugepages-x", "hugepages-0", "hugepages-512", "hugepages-2Ti"}) {
    EXPECT_EQ(huge_page_size(other), "") << other;
  }
  const core::Pod pod = pod_of(
      "  initContainers:\n"
      "  - {name: first, image: 'i:1', resources: {limits: {hugepages-2Mi: 64Mi, memory: 1Gi}}}\n"
      "  containers:\n"
      "  - {name: web, image: 'i:1', resources: {limits: {hugepages-2Mi: 20Mi, memory: 1Gi}}}\n"
      "  - {name: other, image: 'i:1', resources: {limits: {hugepages-2Mi: 10Mi, memory: 1Gi}}}\n"
      "  - {name: plain, image: 'i:1'}\n");
  NodeFacts node = kNode;
  node.resources.huge_pages = {"hugepages-1Gi"};
  const auto limits = [](const v1::LinuxContainerResources& resources) {
    std::map<std::string, std::uint64_t> all;
    for (const auto& limit : resources.hugepage_limits()) all[limit.page_size()] = limit.limit();
    return all;
  };
  const v1::Image image = image_of("");
  const auto of_container = [&](int index) {
    return limits(container_config(pod, pod.spec().containers(index), node, {.image = &image})->linux().resources());
  };
  EXPECT_THAT(of_container(0), ElementsAre(Pair("1GB", 0U), Pair("2MB", 20U << 20)));
  EXPECT_THAT(of_container(2), ElementsAre(Pair("1GB", 0U)));
  EXPECT_THAT(limits(sandbox_config(pod, node, 0, "", "").linux().resources()),
              ElementsAre(Pair("1GB", 0U), Pair("2MB", 64U << 20)));
}

TEST(Resources, OfThePodAsAWhole) {
  auto resources = [](const std::string& spec) { return sandbox_of(pod_of(spec)).linux().resources(); };
  auto limited = resources(
      "  initContainers:\n"
      "  - {name: big, image: 'i:1', resources: {limits: {cpu: 2, memory: 1Gi}}}\n"
      "  - {name: proxy, image: 'i:1', restartPolicy: Always, resources: {limits: {cpu: 500m, memory: 1Gi}}}\n"
      "  - {name: small, image: 'i:1', resources: {limits: {cpu: 1, memory: 2Gi}}}\n"
      "  containers:\n"
      "  - {name: a, image: 'i:1', resources: {limits: {cpu: 500m, memory: 1Gi}}}\n"
      "  - {name: b, image: 'i:1', resources: {limits: {cpu: 250m, memory: 512Mi}}}\n");
  EXPECT_EQ(limited.cpu_quota(), 200'000) << "the first init container's, which is more than the others' sum";
  EXPECT_EQ(limited.cpu_shares(), 2048);
  EXPECT_EQ(limited.memory_limit_in_bytes(), std::int64_t{3} << 30) << "the sidecar and the init container after it";
  auto partly = resources(
      "  containers:\n"
      "  - {name: a, image: 'i:1', resources: {limits: {cpu: 500m, memory: 1Gi}}}\n"
      "  - {name: b, image: 'i:1', resources: {requests: {cpu: 250m}, limits: {memory: 1Gi}}}\n");
  EXPECT_EQ(partly.cpu_shares(), 768);
  EXPECT_EQ(partly.cpu_quota(), 0) << "one may use all that there is";
  EXPECT_EQ(partly.memory_limit_in_bytes(), std::int64_t{2} << 30);
  auto none = resources("  containers:\n  - {name: a, image: 'i:1'}\n");
  EXPECT_EQ(none.cpu_shares(), 2);
  EXPECT_EQ(none.memory_limit_in_bytes(), 0);
}

// It would be ended before the container that it serves.
TEST(Resources, ASidecarScoresAsTheLeastOfWhatItServes) {
  core::Pod pod = pod_of(
      "  initContainers:\n  - {name: sidecar, image: 'i:1', restartPolicy: Always}\n  - {name: first, image: 'i:1'}\n"
      "  containers:\n  - {name: a, image: 'i:1', resources: {requests: {memory: 2Gi}}}\n"
      "  - {name: b, image: 'i:1', resources: {requests: {memory: 1Gi}}}\n");
  const auto score = [&pod](const core::Container& container) {
    v1::LinuxContainerResources resources;
    set_resources(pod, container, kNode.resources, resources);
    return resources.oom_score_adj();
  };
  EXPECT_EQ(score(pod.spec().init_containers(0)), 750);
  EXPECT_EQ(score(pod.spec().init_containers(1)), 999);
  EXPECT_EQ(score(pod.spec().containers(0)), 500);
  auto& requests = *pod.mutable_spec()->mutable_init_containers(0)->mutable_resources()->mutable_requests();
  requests["memory"].set_string("3Gi");
  EXPECT_EQ(score(pod.spec().init_containers(0)), 250);
}

TEST(Resources, WhatIsSaidOfThePodCounts) {
  const core::Pod pod = pod_of(
      "  resources: {limits: {cpu: '2', memory: 2Gi}}\n"
      "  containers:\n"
      "  - {name: a, image: 'i:1', resources: {requests: {memory: 1Gi}, limits: {cpu: 500m}}}\n"
      "  - {name: b, image: 'i:1'}\n");
  EXPECT_EQ(to_string(qos_of(pod)), "Burstable") << "it requests what its containers do";
  const auto config = sandbox_config(pod, kNode, 0, "", "web.yaml").linux().resources();
  EXPECT_EQ(config.cpu_shares(), 512);
  EXPECT_EQ(config.cpu_quota(), 200'000);
  EXPECT_EQ(config.memory_limit_in_bytes(), std::int64_t{2} << 30);
  EXPECT_EQ(pod_requests(pod).at("memory"), std::int64_t{1} << 30);
  v1::LinuxContainerResources own, none;
  set_resources(pod, pod.spec().containers(0), kNode.resources, own);
  set_resources(pod, pod.spec().containers(1), kNode.resources, none);
  EXPECT_EQ(own.cpu_quota(), 50'000);
  EXPECT_EQ(own.memory_limit_in_bytes(), std::int64_t{2} << 30) << "the pod's, where it has none of its own";
  EXPECT_EQ(none.cpu_quota(), 200'000);
  const core::Pod sure =
      pod_of("  resources: {limits: {cpu: '2', memory: 2Gi}}\n  containers: [{name: a, image: 'i:1'}]\n");
  EXPECT_EQ(to_string(qos_of(sure)), "Guaranteed");
}

TEST(Resources, ThePodsOverheadIsBesideItsContainers) {
  core::Pod pod = pod_of("  containers:\n  - {name: a, image: 'i:1', resources: {limits: {cpu: 500m, memory: 1Gi}}}\n");
  EXPECT_FALSE(sandbox_config(pod, kNode, 0, "", "web.yaml").linux().has_overhead());
  (*pod.mutable_spec()->mutable_overhead())["cpu"].set_string("250m");
  (*pod.mutable_spec()->mutable_overhead())["memory"].set_string("120Mi");
  const auto linux = sandbox_config(pod, kNode, 0, "", "web.yaml").linux();
  EXPECT_EQ(linux.resources().memory_limit_in_bytes(), std::int64_t{1} << 30);
  EXPECT_EQ(linux.overhead().memory_limit_in_bytes(), std::int64_t{120} << 20);
  EXPECT_EQ(linux.overhead().cpu_quota(), 25'000);
  EXPECT_EQ(linux.overhead().cpu_shares(), 256);
}

TEST(Resources, LimitsOfCpuCountInThePeriodOfTheNode) {
  const core::Pod pod = pod_with("    resources: {limits: {cpu: 500m, memory: 1Gi}}\n");
  NodeFacts node = kNode;
  const auto quota = [&] {
    const auto linux = sandbox_config(pod, node, 0, "", "web.yaml").linux();
    auto container = container_config(pod, pod.spec().containers(0), node, {});
    EXPECT_EQ(container->linux().resources().cpu_quota(), linux.resources().cpu_quota());
    return std::pair(linux.resources().cpu_quota(), linux.resources().cpu_period());
  };
  EXPECT_EQ(quota(), std::pair(std::int64_t{50'000}, std::int64_t{100'000}));
  node.resources.quota_period = 20'000;
  EXPECT_EQ(quota(), std::pair(std::int64_t{10'000}, std::int64_t{20'000}));
  node.resources.quota_period = 0;
  EXPECT_EQ(quota(), std::pair(std::int64_t{0}, std::int64_t{0}));
}

TEST(Resources, MemoryVolumesHaveTheLeastOfAllLimits) {
  constexpr std::int64_t kNodes = std::int64_t{4} << 30, kGi = std::int64_t{1} << 30;
  const auto size = [](const std::string& limits, const std::string& own, std::int64_t allocatable) {
    const core::Pod pod = pod_with("    resources: {limits: {" + limits + "}}\n",
                                   "  volumes: [{name: v, emptyDir: {medium: Memory" + own + "}}]\n");
    return memory_volume_size(pod, pod.spec().volumes(0).volume_source().empty_dir(), allocatable);
  };
  EXPECT_EQ(size("", "", kNodes), kNodes);
  EXPECT_EQ(size("memory: 1Gi", "", kNodes), kGi);
  EXPECT_EQ(size("memory: 8Gi", "", kNodes), kNodes);
  EXPECT_EQ(size("memory: 1Gi", ", sizeLimit: 2Gi", kNodes), kGi);
  EXPECT_EQ(size("memory: 1Gi", ", sizeLimit: 1Mi", kNodes), 1 << 20);
  EXPECT_EQ(size("", ", sizeLimit: 1Mi", 0), 1 << 20);
  EXPECT_EQ(size("", "", 0), 0);
}

TEST(Resources, QosClasses) {
  auto qos = [](const std::string& text) { return to_string(qos_of(pod_with("    resources: " + text + "\n"))); };
  EXPECT_EQ(qos("{}"), "BestEffort");
  EXPECT_EQ(qos("{limits: {cpu: 1, memory: 1Gi}}"), "Guaranteed");
  EXPECT_EQ(qos("{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}"), "Burstable");
  EXPECT_EQ(qos("{limits: {cpu: 1}}"), "Burstable");
  EXPECT_EQ(pod_cgroup("/node", Qos::kGuaranteed, "u"), "/node/kubepods/podu");
  EXPECT_EQ(pod_cgroup("", Qos::kBurstable, "u"), "/kubepods/burstable/podu");
  EXPECT_EQ(pod_slice(Qos::kGuaranteed, "1-2"), "kubepods-pod1_2.slice");
  EXPECT_EQ(pod_slice(Qos::kBurstable, "1-2"), "kubepods-burstable-pod1_2.slice");
  EXPECT_EQ(pod_slice(Qos::kBestEffort, "1-2"), "kubepods-besteffort-pod1_2.slice");
}

TEST(ContainerConfig, PartsOfVolumesAreMounted) {
  core::Pod pod = pod_with(
      "    env: [{name: NAME, value: web-0}, {name: NONE, value: ''}]\n"
      "    volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /b, subPath: x/y},\n"
      "      {name: v, mountPath: /c, subPathExpr: logs/$(NAME)}]\n",
      "  volumes: [{name: v, emptyDir: {}}]\n");
  ContainerInputs inputs;
  auto paths = sub_paths_of(pod, pod.spec().containers(0), kNode, inputs);
  ASSERT_TRUE(paths) << paths.error().message();
  EXPECT_EQ(*paths, (std::map<int, std::string>{{1, "x/y"}, {2, "logs/web-0"}}));
  inputs.volumes["v"].path = "/host/v";
  inputs.sub_paths = {{1, "/bound/1"}, {2, "/bound/2"}};
  auto config = container_config(pod, pod.spec().containers(0), kNode, inputs);
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->mounts(0).host_path(), "/host/v");
  EXPECT_EQ(config->mounts(1).host_path(), "/bound/1");
  EXPECT_EQ(config->mounts(2).host_path(), "/bound/2");

  pod.mutable_spec()->mutable_containers(0)->mutable_volume_mounts(2)->set_sub_path_expr("$(NO)/$(NONE)");
  paths = sub_paths_of(pod, pod.spec().containers(0), kNode, inputs);
  ASSERT_FALSE(paths);
  EXPECT_EQ(paths.error().message(), "missing value for NO, NONE");
}

TEST(ContainerConfig, MountsAreReadOnlyAsFarAsTheHandlerCan) {
  const auto made_where = [](const std::string& asked, bool is_supported) -> Result<bool> {
    core::Pod pod = pod_with("    volumeMounts: [{name: v, mountPath: /a, readOnly: true, recursiveReadOnly: " + asked +
                                 "}]\n",
                             "  volumes: [{name: v, emptyDir: {}}]\n");
    EXPECT_EQ(asks_for_recursive_read_only(pod), asked != "Disabled");
    ContainerInputs inputs;
    inputs.volumes["v"].path = "/host/v";
    inputs.recursive_read_only = is_supported;
    auto config = container_config(pod, pod.spec().containers(0), kNode, inputs);
    if (!config) return std::unexpected(std::move(config.error()));
    return config->mounts(0).recursive_read_only();
  };
  EXPECT_EQ(made_where("Disabled", true), false);
  EXPECT_EQ(made_where("IfPossible", true), true);
  EXPECT_EQ(made_where("IfPossible", false), false);
  EXPECT_EQ(made_where("Enabled", true), true);
  auto refused = made_where("Enabled", false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(),
            "failed to resolve recursive read-only mode: volume \"v\" requested recursive read-only mode, but it is "
            "not supported by the runtime");
}

TEST(Expansion, FollowsKubernetes) {
  const std::map<std::string, std::string> values{{"A", "1"}, {"B", "$(A)"}};
  const std::pair<const char*, const char*> table[] = {
      {"$(A)", "1"},  {"x$(A)y", "x1y"}, {"$$(A)", "$(A)"}, {"$$$(A)", "$1"}, {"$(B)", "$(A)"}, {"$(C)", "$(C)"},
      {"$(A", "$(A"}, {"$", "$"},        {"$A", "$A"},      {"", ""},         {"$()", "$()"},
  };
  for (const auto& [text, result] : table) EXPECT_EQ(expand(text, values), result) << text;
}

}  // namespace
}  // namespace gantry::agent
