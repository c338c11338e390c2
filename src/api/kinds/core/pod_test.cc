// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/pod.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "api/codec.h"
#include "api/yaml.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {
namespace {

namespace core = k8s::io::api::core::v1;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

core::Pod defaulted(const std::string& spec, const std::string& metadata = "{name: web, namespace: default}") {
  const auto documents = parse_yaml("apiVersion: v1\nkind: Pod\nmetadata: " + metadata + "\nspec:\n" + spec);
  EXPECT_TRUE(documents) << (documents ? "" : documents.error().message());
  core::Pod pod;
  if (!documents) return pod;
  const Status status = decode(documents->front(), &pod);
  EXPECT_TRUE(status) << (status ? "" : status.error().message());
  default_pod(&pod);
  return pod;
}

std::vector<std::string> sentences(const FieldProblems& problems) {
  std::vector<std::string> texts;
  for (const FieldProblem& problem : problems) texts.push_back(to_string(problem));
  return texts;
}

std::vector<std::string> problems_of(const std::string& spec) { return sentences(validate_pod(defaulted(spec))); }

// A pod of one good container, with these lines more in the container and in the spec.
std::vector<std::string> problems_in_container(const std::string& lines, const std::string& spec = "") {
  return problems_of(spec + "  containers:\n  - name: web\n    image: web:1\n" + lines);
}

TEST(PodDefaults, AreThoseOfTheApiServer) {
  const core::Pod pod = defaulted(R"(
  containers:
  - name: web
    image: web:1
    ports: [{containerPort: 80}]
    env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 100.5m}}
    livenessProbe: {httpGet: {port: 80}}
    readinessProbe: {grpc: {port: 80}, timeoutSeconds: 7}
    lifecycle: {preStop: {httpGet: {port: 80}}}
  volumes:
  - {name: a}
  - {name: b, secret: {secretName: s}}
  - {name: c, hostPath: {path: /x}}
  - {name: d, projected: {sources: [{serviceAccountToken: {path: t}}]}}
)");
  const core::PodSpec& spec = pod.spec();
  EXPECT_EQ(spec.restart_policy(), "Always");
  EXPECT_EQ(spec.dns_policy(), "ClusterFirst");
  EXPECT_EQ(spec.scheduler_name(), "default-scheduler");
  EXPECT_EQ(spec.termination_grace_period_seconds(), 30);
  EXPECT_TRUE(spec.enable_service_links());
  EXPECT_TRUE(spec.has_security_context());
  const core::Container& web = spec.containers(0);
  EXPECT_EQ(web.image_pull_policy(), "IfNotPresent");
  EXPECT_EQ(web.termination_message_path(), "/dev/termination-log");
  EXPECT_EQ(web.termination_message_policy(), "File");
  EXPECT_EQ(web.ports(0).protocol(), "TCP");
  EXPECT_EQ(web.ports(0).host_port(), 0);
  EXPECT_EQ(web.env(0).value_from().field_ref().api_version(), "v1");
  EXPECT_EQ(web.resources().requests().at("cpu").string(), "101m");
  EXPECT_EQ(web.resources().requests().at("memory").string(), "1Gi");
  const core::Probe& probe = web.liveness_probe();
  EXPECT_EQ(probe.period_seconds(), 10);
  EXPECT_EQ(probe.timeout_seconds(), 1);
  EXPECT_EQ(probe.success_threshold(), 1);
  EXPECT_EQ(probe.failure_threshold(), 3);
  EXPECT_EQ(probe.handler().http_get().path(), "/");
  EXPECT_EQ(probe.handler().http_get().scheme(), "HTTP");
  EXPECT_EQ(web.readiness_probe().timeout_seconds(), 7);
  EXPECT_TRUE(web.readiness_probe().handler().grpc().has_service());
  EXPECT_EQ(web.lifecycle().pre_stop().http_get().path(), "/");
  EXPECT_TRUE(spec.volumes(0).volume_source().has_empty_dir());
  EXPECT_EQ(spec.volumes(1).volume_source().secret().default_mode(), 0644);
  EXPECT_TRUE(spec.volumes(2).volume_source().host_path().has_type());
  EXPECT_EQ(spec.volumes(3).volume_source().projected().sources(0).service_account_token().expiration_seconds(), 3600);
  EXPECT_THAT(sentences(validate_pod(pod)), IsEmpty());
}

TEST(PodDefaults, AreSetOnce) {
  core::Pod pod = defaulted(
      "  restartPolicy: Never\n  hostNetwork: true\n  containers: [{name: a, image: b, ports: [{containerPort: "
      "5}]}]\n");
  EXPECT_EQ(pod.spec().restart_policy(), "Never");
  EXPECT_EQ(pod.spec().containers(0).ports(0).host_port(), 5);
  const core::Pod before = pod;
  default_pod(&pod);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(before, pod));
}

TEST(PodDefaults, PullPolicyGoesByTheTag) {
  const std::pair<const char*, const char*> table[] = {
      {"app", "Always"},
      {"app:latest", "Always"},
      {"app:1.0", "IfNotPresent"},
      {"host:5000/app", "Always"},
      {"host:5000/app:1", "IfNotPresent"},
      {"app@sha256:0123", "IfNotPresent"},
      {"app:latest@sha256:0123", "Always"},
  };
  for (const auto& [image, policy] : table) {
    const core::Pod pod = defaulted(std::string("  containers: [{name: a, image: '") + image + "'}]\n");
    EXPECT_EQ(pod.spec().containers(0).image_pull_policy(), policy) << image;
  }
}

TEST(PodRules, NeedAContainerAndAName) {
  EXPECT_THAT(
      sentences(validate_pod(defaulted("  containers: []\n", "{namespace: A_B}"))),
      ElementsAre("metadata.name: must be set",
                  "metadata.namespace: \"A_B\": must consist of lower case letters, digits and '-', and begin and end "
                  "with a letter or digit",
                  "spec.containers: must have at least one container"));
  EXPECT_THAT(problems_of("  containers: [{}]\n"),
              ElementsAre("spec.containers[0].name: must be set", "spec.containers[0].image: must be set"));
}

TEST(PodRules, ContainersHaveNamesOfTheirOwn) {
  EXPECT_THAT(
      problems_of(
          "  initContainers: [{name: a, image: i}]\n"
          "  containers: [{name: a, image: i}, {name: B, image: ' i'}, {name: c, image: i, imagePullPolicy: Maybe}]\n"),
      UnorderedElementsAre(
          "spec.initContainers[0].name: \"a\" is used more than once",
          "spec.containers[1].name: \"B\": must consist of lower case letters, digits and '-', and begin and end with "
          "a letter or digit",
          "spec.containers[1].image: \" i\": must not have leading or trailing white space",
          "spec.containers[2].imagePullPolicy: \"Maybe\": expected one of \"Always\", \"IfNotPresent\", \"Never\""));
}

TEST(PodRules, PortsAreInRangeAndUnique) {
  EXPECT_THAT(
      problems_in_container("    ports:\n    - {containerPort: 0}\n    - {containerPort: 70000, name: web}\n"
                            "    - {containerPort: 1, name: web, protocol: tcp, hostIP: x}\n"
                            "    - {containerPort: 2, hostPort: 8}\n    - {containerPort: 3, hostPort: 8}\n"),
      ElementsAre("spec.containers[0].ports[0].containerPort: must be set",
                  "spec.containers[0].ports[1].containerPort: 70000: must be between 1 and 65535",
                  "spec.containers[0].ports[2].name: \"web\" is used more than once",
                  "spec.containers[0].ports[2].protocol: \"tcp\": expected one of \"TCP\", \"UDP\", \"SCTP\"",
                  "spec.containers[0].ports[2].hostIP: \"x\": must be an IPv4 or IPv6 address, such as 10.9.8.7 or "
                  "2001:db8::ffff",
                  "spec.containers[0].ports[4].hostPort: \"TCP//8\" is used more than once"));
  EXPECT_THAT(
      problems_in_container("    ports: [{containerPort: 80, hostPort: 81}]\n", "  hostNetwork: true\n"),
      ElementsAre("spec.containers[0].ports[0].hostPort: 81: must equal containerPort when hostNetwork is true"));
}

TEST(PodRules, MountsNameVolumes) {
  EXPECT_THAT(
      problems_in_container(
          "    volumeMounts:\n    - {name: data, mountPath: /a}\n    - {name: dat, mountPath: /b}\n"
          "    - {name: data, mountPath: /a, subPath: ../x}\n    - {name: data, subPath: /x}\n"
          "    - {name: data, mountPath: /c, mountPropagation: Bidirectional}\n",
          "  volumes: [{name: data}, {name: data}, {name: h, hostPath: {path: ../x, type: What}, emptyDir: {}}]\n"),
      UnorderedElementsAre(
          "spec.volumes[1].name: \"data\" is used more than once",
          "spec.volumes[2].emptyDir: a volume has one source, and hostPath is set",
          "spec.volumes[2].hostPath.path: \"../x\": must not contain '..'",
          "spec.volumes[2].hostPath.type: \"What\": expected one of \"\", \"BlockDevice\", \"CharDevice\", "
          "\"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
          "spec.containers[0].volumeMounts[1].name: \"dat\" is not a volume of this pod",
          "spec.containers[0].volumeMounts[2].mountPath: \"/a\": must be unique",
          "spec.containers[0].volumeMounts[2].subPath: \"../x\": must not contain '..'",
          "spec.containers[0].volumeMounts[3].mountPath: must be set",
          "spec.containers[0].volumeMounts[3].subPath: \"/x\": must be a relative path",
          "spec.containers[0].volumeMounts[4].mountPropagation: Bidirectional is for privileged containers only"));
}

TEST(PodRules, EnvironmentHasNamesAndOneSource) {
  EXPECT_THAT(
      problems_in_container(
          "    env:\n    - {name: ''}\n    - {name: 'a=b'}\n    - {name: c, value: d, valueFrom: {}}\n"
          "    - {name: d, valueFrom: {fieldRef: {}, secretKeyRef: {name: s, key: k}}}\n"
          "    envFrom: [{}]\n"),
      ElementsAre("spec.containers[0].env[0].name: must be set",
                  "spec.containers[0].env[1].name: \"a=b\": must consist of printable ASCII characters other than '='",
                  "spec.containers[0].env[2].valueFrom: can not be set beside value",
                  "spec.containers[0].env[2].valueFrom: \"\": one of fieldRef, resourceFieldRef, configMapKeyRef, "
                  "secretKeyRef must be set",
                  "spec.containers[0].env[3].valueFrom.secretKeyRef: can not be set beside fieldRef",
                  "spec.containers[0].env[3].valueFrom.fieldRef.fieldPath: must be set",
                  "spec.containers[0].envFrom: \"\": exactly one of configMapRef and secretRef must be set"));
}

TEST(PodRules, ProbesHaveOneHandler) {
  EXPECT_THAT(
      problems_in_container("    livenessProbe: {periodSeconds: -1, successThreshold: 2}\n"
                            "    readinessProbe: {exec: {}, httpGet: {port: 0}, successThreshold: 2}\n"
                            "    startupProbe: {tcpSocket: {port: '80'}}\n"),
      UnorderedElementsAre(
          "spec.containers[0].livenessProbe: one of exec, httpGet, tcpSocket must be set",
          "spec.containers[0].livenessProbe.periodSeconds: -1: must be between 1 and 2147483647",
          "spec.containers[0].livenessProbe.successThreshold: 2: must be between 1 and 1",
          "spec.containers[0].readinessProbe.httpGet: can not be set beside exec",
          "spec.containers[0].readinessProbe.exec.command: must be set",
          "spec.containers[0].readinessProbe.httpGet.port: 0: must be between 1 and 65535",
          "spec.containers[0].startupProbe.tcpSocket.port: \"80\": must consist of lower case letters, digits and "
          "single '-' between them, with at least one letter"));
}

TEST(PodRules, RequestsStayWithinLimits) {
  EXPECT_THAT(problems_in_container("    resources: {limits: {cpu: 1, memory: -1}, requests: {cpu: 1001m}}\n"),
              UnorderedElementsAre("spec.containers[0].resources.limits[memory]: \"-1\": must not be negative",
                                   "spec.containers[0].resources.requests[memory]: \"-1\": must not be negative",
                                   "spec.containers[0].resources.requests: \"1001m\": must not exceed the limit of 1"));
}

TEST(PodRules, APodWithLimitsAsksForWhatItsContainersDo) {
  const std::string pages = "  resources: {limits: {hugepages-2Mi: 4Mi}}\n";
  EXPECT_THAT(problems_in_container("    resources: {requests: {cpu: 100m}}\n", pages), IsEmpty());
  EXPECT_THAT(problems_in_container("", pages), ElementsAre(HasSubstr("huge pages need cpu or memory")));
}

TEST(PodRules, InitContainersAreNotProbed) {
  EXPECT_THAT(
      problems_of("  containers: [{name: a, image: i}]\n  initContainers:\n"
                  "  - {name: b, image: i, readinessProbe: {exec: {command: [x]}}}\n"
                  "  - {name: c, image: i, restartPolicy: Always, readinessProbe: {exec: {command: [x]}}}\n"
                  "  - {name: d, image: i, restartPolicy: Sometimes}\n"),
      ElementsAre("spec.initContainers[0].readinessProbe: is for init containers with restartPolicy: Always only",
                  "spec.initContainers[2].restartPolicy: \"Sometimes\": expected one of \"Always\", \"OnFailure\", "
                  "\"Never\""));
}

TEST(PodRules, OfThePodAsAWhole) {
  EXPECT_THAT(
      problems_in_container("    securityContext: {privileged: true, allowPrivilegeEscalation: false, runAsUser: -1, "
                            "seccompProfile: {type: Localhost}}\n",
                            "  restartPolicy: always\n  dnsPolicy: None\n  terminationGracePeriodSeconds: -1\n  "
                            "activeDeadlineSeconds: 0\n"
                            "  hostname: a.b\n  hostPID: true\n  shareProcessNamespace: true\n  hostUsers: false\n"
                            "  tolerations: [{operator: Equal}]\n  hostAliases: [{ip: a}]\n  securityContext: "
                            "{sysctls: [{name: 'a b'}]}\n"),
      UnorderedElementsAre(
          "spec.containers[0].securityContext.runAsUser: -1: must be between 0 and 2147483647",
          "spec.containers[0].securityContext: \"\": allowPrivilegeEscalation can not be false when privileged is true",
          "spec.containers[0].securityContext.seccompProfile.localhostProfile: must be set when type is Localhost",
          "spec.restartPolicy: \"always\": expected one of \"Always\", \"OnFailure\", \"Never\"",
          "spec.activeDeadlineSeconds: 0: must be between 1 and 2147483647",
          "spec.dnsConfig: must be set when dnsPolicy is \"None\"",
          "spec.hostname: \"a.b\": must consist of lower case letters, digits and '-', and begin and end with a letter "
          "or digit",
          "spec.shareProcessNamespace: can not be true when hostPID is true",
          "spec.hostPID: can not be true when hostUsers is false",
          "spec.securityContext.sysctls[0].name: \"a b\": must be a kernel parameter, such as net.ipv4.ip_forward",
          "spec.tolerations[0].operator: \"Equal\": must be Exists when key is empty, which means all keys",
          "spec.hostAliases[0].ip: \"a\": must be an IPv4 or IPv6 address, such as 10.9.8.7 or 2001:db8::ffff"));
}

TEST(PodRules, BoundTheirReports) {
  std::string spec = "  containers:\n";
  for (int i = 0; i < 400; ++i) spec += "  - {}\n";
  EXPECT_EQ(problems_of(spec).size(), 100u);
}

TEST(StaticPodRules, ForbidObjectsOfTheApi) {
  const core::Pod pod = defaulted(R"(
  serviceAccountName: robot
  containers:
  - name: a
    image: i
    env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: B, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    envFrom: [{configMapRef: {name: c}}]
  volumes:
  - {name: a, secret: {secretName: s}}
  - {name: b, emptyDir: {}}
  - {name: c, projected: {sources: [{configMap: {name: c}}, {downwardAPI: {}}]}}
)");
  EXPECT_THAT(sentences(validate_pod(pod)), IsEmpty());
  EXPECT_THAT(
      sentences(validate_static_pod(pod)),
      ElementsAre("spec.serviceAccountName: a static pod has no service account",
                  "spec.volumes[0].secret: a static pod can not use objects of the API",
                  "spec.volumes[2].projected.sources[0].configMap: a static pod can not use objects of the API",
                  "spec.containers[0].env[0].valueFrom.secretKeyRef: a static pod can not use objects of the API",
                  "spec.containers[0].envFrom[0]: a static pod can not use objects of the API"));
}

}  // namespace
}  // namespace gantry::api
