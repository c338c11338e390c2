// SPDX-License-Identifier: Apache-2.0
#include "api/codec.h"

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <set>
#include <sstream>

#include "api/defaults.h"
#include "api/json.h"
#include "api/yaml.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/runtime/runtime.pb.h"

namespace gantry::api {
namespace {

namespace core = k8s::io::api::core::v1;
using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::HasSubstr;

std::string file(const std::string& name) {
  std::ifstream in(std::string(GANTRY_TESTDATA "/") + name, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return text.str();
}

Value document(std::string_view text) {
  Result<std::vector<Value>> documents = parse_documents(text);
  EXPECT_TRUE(documents) << (documents ? "" : documents.error().message());
  EXPECT_EQ(documents ? documents->size() : 0, 1u);
  return documents && !documents->empty() ? std::move(documents->front()) : Value();
}

core::Pod pod_of(std::string_view text, const DecodeOptions& options = {}) {
  core::Pod pod;
  const Status status = decode(document(text), &pod, options);
  EXPECT_TRUE(status) << (status ? "" : status.error().message());
  return pod;
}

// The problems of a document, one sentence each.
std::vector<std::string> problems_of(std::string_view text, const DecodeOptions& options = {}) {
  core::Pod pod;
  FieldProblems problems;
  const Status status = decode(document(text), &pod, options, &problems);
  EXPECT_EQ(!status, options.strict && !problems.empty());
  std::vector<std::string> sentences;
  for (const FieldProblem& problem : problems) sentences.push_back(to_string(problem));
  return sentences;
}

std::string text_of(const google::protobuf::Message& message) {
  std::string text;
  encode_json(message, &text);
  return text;
}

TEST(Codec, RoundTripsTheFixtureInAllThreeForms) {
  const Value json = document(file("core.v1.Pod.json"));
  const Value yaml = document(file("core.v1.Pod.yaml"));
  const std::string protobuf = file("core.v1.Pod.pb");

  core::Pod from_json;
  Status status = decode(json, &from_json);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(write_json(encode(from_json), {.indent = 2}), write_json(json, {.indent = 2})) << "order counts as well";

  core::Pod from_yaml;
  status = decode(yaml, &from_yaml);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_TRUE(MessageDifferencer::Equals(from_json, from_yaml));

  core::Pod from_protobuf;
  status = decode_protobuf(protobuf, &from_protobuf);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_TRUE(MessageDifferencer::Equals(from_json, from_protobuf));
  EXPECT_EQ(encode(from_protobuf), json);
  EXPECT_EQ(text_of(from_protobuf), write_json(json));

  core::Pod from_store;
  ASSERT_TRUE(decode_stored(protobuf, &from_store));
  EXPECT_TRUE(MessageDifferencer::Equals(from_json, from_store)) << "what upstream stores is in the one form";

  for (core::Pod* pod : {&from_json, &from_yaml, &from_protobuf}) {
    const Result<std::string> bytes = encode_protobuf(pod);
    ASSERT_TRUE(bytes);
    EXPECT_TRUE(*bytes == protobuf) << "to the byte";
  }
}

// What clients that write every zero send is the same object as what people write.
TEST(Codec, BringsEqualObjectsToOneForm) {
  core::Pod sparse = pod_of(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},
    "spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}]}]}})");
  core::Pod zeros = pod_of(R"({"kind":"Pod","apiVersion":"v1",
    "metadata":{"name":"a","generateName":"","creationTimestamp":null,"labels":null,"generation":0,"ownerReferences":[]},
    "spec":{"volumes":[],"containers":[{"name":"c","image":"i","command":null,"ports":[{"name":"","hostPort":0,
      "containerPort":80,"protocol":"","hostIP":""}],"resources":{},"stdin":false,"securityContext":null,
      "imagePullPolicy":"","livenessProbe":null}],"restartPolicy":"","nodeSelector":{},"hostNetwork":false,
      "terminationGracePeriodSeconds":null},
    "status":{"phase":""}})");
  EXPECT_TRUE(MessageDifferencer::Equals(sparse, zeros));
  EXPECT_EQ(*encode_protobuf(&sparse), *encode_protobuf(&zeros));
  EXPECT_EQ(write_json(encode(sparse)),
            R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i",)"
            R"("ports":[{"containerPort":80}],"resources":{}}]},"status":{}})");
  EXPECT_TRUE(sparse.spec().has_restart_policy());
  EXPECT_FALSE(sparse.spec().has_termination_grace_period_seconds());
}

TEST(Codec, KeepsPointersToZero) {
  const core::Pod pod = pod_of(R"({"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"c",
    "securityContext":{"runAsUser":0,"privileged":false,"readOnlyRootFilesystem":null}}],
    "terminationGracePeriodSeconds":0,"volumes":[{"name":"v","emptyDir":{}}]}})");
  EXPECT_TRUE(pod.spec().has_termination_grace_period_seconds());
  const core::SecurityContext& context = pod.spec().containers(0).security_context();
  EXPECT_TRUE(context.has_run_as_user());
  EXPECT_TRUE(context.has_privileged());
  EXPECT_FALSE(context.has_read_only_root_filesystem());
  EXPECT_EQ(write_json(*encode(pod).find("spec")),
            R"({"volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"c","resources":{},)"
            R"("securityContext":{"privileged":false,"runAsUser":0}}],"terminationGracePeriodSeconds":0})");
}

TEST(Codec, WritesEmptyListsAsUpstreamDoes) {
  EXPECT_EQ(write_json(encode(pod_of(R"({"apiVersion":"v1","kind":"Pod"})"))),
            R"({"kind":"Pod","apiVersion":"v1","metadata":{},"spec":{"containers":null},"status":{}})");
  core::PodList list;
  ASSERT_TRUE(decode(document(R"({"apiVersion":"v1","kind":"PodList","items":null})"), &list));
  EXPECT_EQ(write_json(encode(list)), R"({"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]})");
  ASSERT_TRUE(decode(
      document(R"({"apiVersion":"v1","kind":"PodList","items":[{"kind":"Pod","apiVersion":"v1"},null]})"), &list));
  EXPECT_EQ(list.items_size(), 2);
  EXPECT_EQ(encode(list).find("items")->as_list()->front().find("kind"), nullptr);
}

TEST(Codec, ReportsWhatIsWrongByPathAndLine) {
  EXPECT_THAT(
      problems_of(R"(apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {a: 1}
spec:
  restartPolicy: Always
  containers:
  - name: web
    imagePul: nginx
    command: run
    tty: "yes"
    ports:
    - containerPort: "80"
    - containerPort: 99999999999
    - containerPort: 1.5
    env:
    - name: PORT
      value: 8080
    resources: {limits: {cpu: 1x, memory: []}}
  - web
  restartPolicy: Never
  hostnetwork: true
  volumes: {}
)"),
      ElementsAre("metadata.labels[a]: line 5: expected a string, found integer 1; put it in quotes",
                  "spec.containers[0].imagePul: line 10: unknown field",
                  "spec.containers[0].command: line 11: expected a list, found string \"run\"",
                  "spec.containers[0].tty: line 12: expected true or false, found string \"yes\"",
                  "spec.containers[0].ports[0].containerPort: line 14: expected an integer, found string \"80\"",
                  "spec.containers[0].ports[1].containerPort: line 15: expected an integer of 32 bits, found "
                  "integer 99999999999",
                  "spec.containers[0].ports[2].containerPort: line 16: expected an integer, found number 1.5",
                  "spec.containers[0].env[0].value: line 19: expected a string, found integer 8080; put it in quotes",
                  "spec.containers[0].resources.limits[cpu]: line 20: \"1x\" is not a quantity: expected a number "
                  "with an optional suffix, such as 100m, 1.5, 2k, 512Mi or 1e3",
                  "spec.containers[0].resources.limits[memory]: line 20: expected a quantity such as 100m or 512Mi, "
                  "found a list",
                  "spec.containers[1]: line 21: expected an object, found string \"web\"",
                  "spec.restartPolicy: line 22: the field stands here a second time",
                  "spec.hostnetwork: line 23: unknown field",
                  "spec.volumes: line 24: expected a list, found an object"));
}

TEST(Codec, DropsWhatItDoesNotKnowWhenNotStrict) {
  constexpr std::string_view text = R"(apiVersion: v1
kind: Pod
metadata: {labels: {a: b, a: c}}
spec:
  restartPolicy: Always
  restartPolicy: Never
  unknown: {deep: [1]}
)";
  EXPECT_EQ(problems_of(text).size(), 3u);
  EXPECT_EQ(problems_of(text, {.strict = false}).size(), 3u);
  const core::Pod pod = pod_of(text, {.strict = false});
  EXPECT_EQ(pod.spec().restart_policy(), "Never");
  EXPECT_EQ(pod.metadata().labels().at("a"), "c");
  EXPECT_EQ(pod.metadata().labels().size(), 1u);
}

TEST(Codec, ChecksTheKind) {
  EXPECT_THAT(problems_of("metadata: {}"), ElementsAre("apiVersion: line 1: must be set; expected \"v1\"",
                                                       "kind: line 1: must be set; expected \"Pod\""));
  EXPECT_THAT(problems_of("apiVersion: v1\nkind: Deployment"),
              ElementsAre("kind: line 2: expected \"Pod\", found string \"Deployment\""));
  EXPECT_THAT(problems_of("- a"), ElementsAre("line 1: expected an object, found a list"));
  EXPECT_THAT(problems_of("apiVersion: 1\nkind: Pod"),
              ElementsAre("apiVersion: line 1: expected a string, found integer 1"));
  EXPECT_THAT(problems_of("metadata: {}", {.require_type = false}), ElementsAre());
}

TEST(Codec, BoundsItsReports) {
  std::string text = "apiVersion: v1\nkind: Pod\nspec:\n";
  for (int i = 0; i < 500; ++i) text += "  bad" + std::to_string(i) + ": 1\n";
  core::Pod pod;
  FieldProblems problems;
  const Status status = decode(document(text), &pod, {}, &problems);
  ASSERT_FALSE(status);
  EXPECT_EQ(problems.size(), 100u);
  EXPECT_THAT(status.error().message(), HasSubstr("(500 problems in all)"));
  EXPECT_TRUE(status.error().is_invalid());
}

TEST(Codec, ReadsTheTypesWithFormsOfTheirOwn) {
  const core::Pod pod = pod_of(R"(apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: "2026-01-02T03:04:05.9+02:00"
  deletionTimestamp: "0001-01-01T00:00:00Z"
  managedFields:
  - fieldsV1: {"f:spec": {"f:a": {}}}
spec:
  containers:
  - name: c
    resources: {limits: {cpu: 0.5, memory: 1024Mi}, requests: {cpu: 2, memory: "1000"}}
    livenessProbe: {httpGet: {port: 80}}
    readinessProbe: {tcpSocket: {port: http}}
)");
  const core::Container& container = pod.spec().containers(0);
  EXPECT_EQ(pod.metadata().creation_timestamp().seconds(), 1767315845);
  EXPECT_EQ(pod.metadata().creation_timestamp().nanos(), 0);
  EXPECT_TRUE(pod.metadata().has_deletion_timestamp());
  EXPECT_FALSE(pod.metadata().deletion_timestamp().has_seconds());
  EXPECT_EQ(pod.metadata().managed_fields(0).fields_v1().raw(), R"({"f:spec":{"f:a":{}}})");
  EXPECT_EQ(container.resources().limits().at("cpu").string(), "500m");
  EXPECT_EQ(container.resources().limits().at("memory").string(), "1Gi");
  EXPECT_EQ(container.resources().requests().at("memory").string(), "1k");
  EXPECT_EQ(container.liveness_probe().handler().http_get().port().int_val(), 80);
  EXPECT_EQ(container.readiness_probe().handler().tcp_socket().port().str_val(), "http");
  const Value json = encode(pod);
  EXPECT_EQ(*json.find("metadata")->find("creationTimestamp")->as_string(), "2026-01-02T01:04:05Z");
  EXPECT_TRUE(json.find("metadata")->find("deletionTimestamp")->is_null());
  EXPECT_EQ(write_json(*json.find("spec")->find("containers")->as_list()->front().find("readinessProbe")),
            R"({"tcpSocket":{"port":"http"}})");
}

TEST(Codec, ReadsAMicroTimeWithSixDigits) {
  using k8s::io::apimachinery::pkg::apis::meta::v1::MicroTime;
  const Schema& schema = schema_of(*MicroTime::descriptor());
  EXPECT_EQ(schema.type, Schema::Type::kMicroTime);
  MicroTime time;
  time.set_seconds(1767323045);
  time.set_nanos(1'999);
  ASSERT_TRUE(normalize(&time));
  EXPECT_EQ(*encode(time).as_string(), "2026-01-02T03:04:05.000001Z");
  EXPECT_EQ(encode(MicroTime()), Value());
}

TEST(Codec, RefusesBadEnvelopes) {
  core::Pod pod;
  const std::string good = file("core.v1.Pod.pb");
  EXPECT_THAT(decode_protobuf("", &pod).error().message(), HasSubstr("k8s"));
  EXPECT_THAT(decode_protobuf("{}", &pod).error().message(), HasSubstr("envelope"));
  EXPECT_FALSE(decode_protobuf(good.substr(0, good.size() / 2), &pod));
  EXPECT_FALSE(decode_protobuf(good + "\xff", &pod));
  core::PodList list;
  EXPECT_THAT(decode_protobuf(good, &list).error().message(), HasSubstr("expected v1 PodList, found \"v1\" \"Pod\""));
  // Every cut and every flipped byte is an error or another pod, never a crash.
  const google::protobuf::LogSilencer quiet;  // a debug build of protobuf tells stderr of each bad string
  for (size_t i = 0; i < good.size(); i += 61) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x55);
    if (decode_protobuf(bad, &pod)) (void)encode(pod);
    (void)decode_protobuf(good.substr(0, i), &pod);
  }
}

TEST(Codec, RefusesMessagesThatNoObjectMayBe) {
  core::Pod pod;
  pod.mutable_metadata()->set_name("a\xff");
  EXPECT_THAT(normalize(&pod).error().message(), HasSubstr("metadata.name: the string \"a\\xff\" is not UTF-8"));
  pod.Clear();
  (*pod.mutable_metadata()->mutable_labels())["k\xff"] = "v";
  EXPECT_FALSE(normalize(&pod));
  pod.Clear();
  (*pod.mutable_spec()->mutable_overhead())["cpu"].set_string("x");
  EXPECT_THAT(normalize(&pod).error().message(), HasSubstr("spec.overhead[0]: \"x\" is not a quantity"));
  pod.Clear();
  pod.mutable_metadata()->mutable_creation_timestamp()->set_seconds(INT64_MAX);
  EXPECT_FALSE(normalize(&pod));
  pod.Clear();
  pod.mutable_metadata()->add_managed_fields()->mutable_fields_v1()->set_raw("{");
  EXPECT_THAT(normalize(&pod).error().message(), HasSubstr("metadata.managedFields[0].fieldsV1"));
}

TEST(Codec, WritesTheTextOfEveryForm) {
  const core::Pod pod =
      pod_of(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","annotations":{"z":"\"\\\n\u0001ü","a":""},
    "managedFields":[{"manager":"m","operation":"Update","fieldsType":"FieldsV1","fieldsV1":{"f:spec": {"f:x y":[1.0, true]}}}]},
    "spec":{"containers":[{"name":"c","image":"i","livenessProbe":{"httpGet":{"port":"http"}},
      "resources":{"limits":{"cpu":"0.5","memory":"1024Mi"}}}],"activeDeadlineSeconds":0}})");
  EXPECT_EQ(text_of(pod), write_json(encode(pod)));
  EXPECT_EQ(text_of(pod).find(": "), std::string::npos) << "what is kept as it is, too, has no spaces";
  EXPECT_EQ(text_of(core::Pod()), write_json(encode(core::Pod())));
  EXPECT_EQ(text_of(core::PodList()), write_json(encode(core::PodList())));
  core::Pod broken;
  broken.mutable_metadata()->add_managed_fields()->mutable_fields_v1()->set_raw("{");
  EXPECT_EQ(text_of(broken), write_json(encode(broken)));
}

TEST(Codec, DropsUnknownProtobufFields) {
  core::Pod pod;
  pod.mutable_spec()->add_containers()->set_name("c");
  core::Container* container = pod.mutable_spec()->mutable_containers(0);
  container->GetReflection()->MutableUnknownFields(container)->AddVarint(9999, 1);
  core::Pod known = pod;
  known.mutable_spec()->mutable_containers(0)->DiscardUnknownFields();
  EXPECT_EQ(*encode_protobuf(&pod), *encode_protobuf(&known));
}

TEST(Schema, IsThatOfTheOptions) {
  const Schema& schema = schema_of(*core::Pod::descriptor());
  EXPECT_EQ(schema.kind, "Pod");
  EXPECT_EQ(&schema, &schema_of(*core::Pod::descriptor()));
  const Schema& spec = *schema.find("spec")->type;
  const Schema::Field& containers = *spec.find("containers");
  EXPECT_EQ(containers.merge, Schema::Merge::kByKey);
  EXPECT_THAT(containers.list_keys, ElementsAre("name"));
  EXPECT_EQ(containers.patch_merge_key, "name");
  EXPECT_EQ(containers.emit, Schema::Emit::kAlways);
  EXPECT_EQ(spec.find("nodeSelector")->merge, Schema::Merge::kAtomic);
  EXPECT_EQ(spec.find("hostPID")->type->type, Schema::Type::kBool);
  EXPECT_EQ(spec.find("overhead")->type->element->type, Schema::Type::kQuantity);
  const Schema& volume = *spec.find("volumes")->type->element;
  EXPECT_EQ(volume.find("volumeSource"), nullptr);
  EXPECT_EQ(volume.find("hostPath")->path.size(), 2u);
  EXPECT_EQ(volume.find("hostPath")->presence, Schema::Presence::kPointer);
  EXPECT_EQ(spec.find("imagePullSecrets")->type->element->merge, Schema::Merge::kAtomic);
}

// apply_constant_defaults trusts them.
TEST(Schema, DefaultsAreJsonOfTheirType) {
  std::set<const Schema*> seen;
  int defaults = 0;
  const std::function<void(const Schema&)> visit = [&](const Schema& schema) {
    if (!seen.insert(&schema).second) return;
    if (schema.element != nullptr) visit(*schema.element);
    for (const Schema::Field& field : schema.fields) {
      visit(*field.type);
      if (field.default_json.empty()) continue;
      ++defaults;
      const Result<Value> value = parse_json(field.default_json);
      ASSERT_TRUE(value) << field.default_json;
      EXPECT_EQ(value->is_string(), field.type->type == Schema::Type::kString) << field.name;
      EXPECT_EQ(value->as_bool().has_value(), field.type->type == Schema::Type::kBool) << field.name;
    }
  };
  visit(schema_of(*core::PodList::descriptor()));
  EXPECT_GT(defaults, 10);
}

}  // namespace
}  // namespace gantry::api
