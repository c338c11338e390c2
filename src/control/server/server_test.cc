// SPDX-License-Identifier: Apache-2.0
// The API server as its clients see it, verb by verb.
#include <gmock/gmock.h>
#include <google/protobuf/message.h>

#include "api/documents/openapi.h"
#include "api/metadata.h"
#include "control/server/server_fixture.h"
#include "kubernetes/apps/v1/stateful_set.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {
namespace {

using ::testing::HasSubstr;

const std::string kPods = "/api/v1/namespaces/default/pods";
const std::string kMaps = "/api/v1/namespaces/default/configmaps";
const std::string kDeployments = "/apis/apps/v1/namespaces/default/deployments";

std::string pod(std::string_view name, std::string_view more = "") {
  return cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")", name, R"(","labels":{"app":"x"}},)",
             R"("spec":{"containers":[{"name":"c","image":"i"}])", more, "}}");
}

std::string map(std::string_view name, std::string_view data = R"({"a":"b"})") {
  return cat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")", name, R"("},"data":)", data, "}");
}

const std::string kDeployment = R"({
  "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
  "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "d"}},
           "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})";

class Server : public ServerTest {
 protected:
  std::int64_t store_revision() { return run(loop_, store_->current_revision(loop_)).value_or(-1); }
};

TEST_F(Server, ACreatedObjectHasWhatTheServerGives) {
  const Answer made = post(kPods, pod("web"));
  ASSERT_EQ(made.code, 201) << made.text("message");
  EXPECT_EQ(made.text("metadata/namespace"), "default");
  EXPECT_EQ(made.text("metadata/creationTimestamp"), "2027-01-15T08:00:00Z");
  EXPECT_EQ(made.text("metadata/generation"), "1");
  EXPECT_EQ(made.text("metadata/uid").size(), 36u);
  EXPECT_EQ(made.text("spec/restartPolicy"), "Always");
  EXPECT_EQ(made.text("metadata/managedFields/0/manager"), "test");
  EXPECT_EQ(get(kPods + "/web").body, made.body);
}

TEST_F(Server, ANameThatIsTakenIsAConflict) {
  ASSERT_EQ(post(kPods, pod("web")).code, 201);
  const Answer again = post(kPods, pod("web"));
  EXPECT_EQ(again.code, 409);
  EXPECT_EQ(again.text("reason"), "AlreadyExists");
  EXPECT_EQ(again.text("message"), R"(pods "web" already exists)");
}

TEST_F(Server, GeneratedNamesDiffer) {
  const std::string body = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"x-"}})";
  const std::string first = post(kMaps, body).text("metadata/name");
  const std::string second = post(kMaps, body).text("metadata/name");
  EXPECT_EQ(first.size(), 7u);
  EXPECT_NE(first, second);
}

TEST_F(Server, WhatIsWrongIsToldWithItsFields) {
  const Answer refused = post(kPods, R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"A_"},"spec":{}})");
  EXPECT_EQ(refused.code, 422);
  EXPECT_EQ(refused.text("reason"), "Invalid");
  EXPECT_EQ(refused.text("details/kind"), "Pod");
  EXPECT_THAT(refused.text("details/causes"), HasSubstr("spec.containers"));
  EXPECT_THAT(refused.text("details/causes"), HasSubstr("metadata.name"));
  EXPECT_EQ(get(kPods + "/A_").code, 404);
}

TEST_F(Server, UnknownFieldsAreRefusedWarnedOfOrDropped) {
  const std::string body = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},"dota":{}})";
  const Answer strict = post(kMaps + "?fieldValidation=Strict&dryRun=All", body);
  EXPECT_EQ(strict.code, 400);
  EXPECT_THAT(strict.text("message"), HasSubstr(R"(unknown field "dota")"));
  const Answer warned = post(kMaps + "?dryRun=All", body);
  EXPECT_EQ(warned.code, 201);
  EXPECT_EQ(http::find_header(warned.headers, "Warning"), R"(299 - "unknown field \"dota\"")");
  EXPECT_EQ(http::find_header(post(kMaps + "?fieldValidation=Ignore", body).headers, "Warning"), "");
}

TEST_F(Server, APatchThatSaysAFieldTwiceIsRefusedOrWarnedOf) {
  post(kMaps, map("m"));
  const std::string twice = R"({"data":{"a":"1","a":"2"}})";
  const Answer strict = merge(kMaps + "/m?fieldValidation=Strict", twice);
  EXPECT_EQ(strict.code, 422);
  EXPECT_THAT(strict.text("message"), HasSubstr(R"(strict decoding error: duplicate field "data.a")"));
  const Answer warned = merge(kMaps + "/m", twice);
  EXPECT_EQ(warned.code, 200);
  EXPECT_EQ(http::find_header(warned.headers, "Warning"), R"(299 - "duplicate field \"data.a\"")");
}

TEST_F(Server, ADryRunLeavesNothing) {
  EXPECT_EQ(post(kMaps + "?dryRun=All", map("m")).code, 201);
  EXPECT_EQ(get(kMaps + "/m").code, 404);
  ASSERT_EQ(post(kMaps, map("m")).code, 201);
  EXPECT_EQ(remove(kMaps + "/m?dryRun=All").code, 200);
  EXPECT_EQ(get(kMaps + "/m").code, 200);
}

TEST_F(Server, ADryRunMayBeSaidInTheBody) {
  const std::string body = R"({"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]})";
  ASSERT_EQ(post(kMaps, map("m")).code, 201);
  EXPECT_EQ(remove(kMaps + "/m", body).code, 200);
  EXPECT_EQ(remove(kMaps, body).code, 200);
  EXPECT_EQ(get(kMaps + "/m").code, 200);
  ASSERT_EQ(post(kPods, pod("p")).code, 201);
  const std::string eviction = R"({"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"p"},)";
  EXPECT_EQ(post(kPods + "/p/eviction", cat(eviction, R"("deleteOptions":{"dryRun":["All"]}})")).code, 201);
  EXPECT_EQ(get(kPods + "/p").text("metadata/deletionTimestamp"), "null");
  EXPECT_EQ(get(kPods + "/p").code, 200);
}

TEST_F(Server, ADryRunOfADeletionShowsWhatItWouldLeave) {
  const std::string held = R"({"metadata":{"name":"m","finalizers":["a.b/c"]}})";
  ASSERT_EQ(post(kMaps, held).code, 201);
  EXPECT_NE(remove(kMaps + "/m?dryRun=All").text("metadata/deletionTimestamp"), "null");
  EXPECT_EQ(get(kMaps + "/m").text("metadata/deletionTimestamp"), "null");
}

TEST_F(Server, OptionsThatCannotBeAreRefusedByTheirNames) {
  const Answer made = post(kMaps + "?dryRun=Some&fieldValidation=Odd", map("m"));
  EXPECT_EQ(made.code, 422);
  EXPECT_EQ(made.text("details/kind"), "CreateOptions");
  EXPECT_EQ(made.text("details/causes/0/field"), "dryRun");
  EXPECT_EQ(made.text("details/causes/1/field"), "fieldValidation");
  EXPECT_EQ(merge(kMaps + "/m?force=true", "{}").code, 422);
  EXPECT_EQ(remove(kMaps + "/m?propagationPolicy=Odd").text("details/kind"), "DeleteOptions");
  EXPECT_EQ(get(kMaps + "?resourceVersion=1&resourceVersionMatch=Odd").text("details/kind"), "ListOptions");
  EXPECT_EQ(get(kMaps + "?dryRun=Some").code, 200);  // means nothing there
}

TEST_F(Server, ACollectionIsNotWrittenOver) {
  EXPECT_EQ(put(kMaps, map("m")).code, 405);
  EXPECT_EQ(merge(kMaps, "{}").code, 405);
}

TEST_F(Server, AnUpdateOfAnOldVersionIsAConflict) {
  const Answer made = post(kMaps, map("m"));
  const std::string first = api::write_json(made.body);
  ASSERT_EQ(merge(kMaps + "/m", R"({"data":{"a":"c"}})").code, 200);
  const Answer stale = put(kMaps + "/m", first);
  EXPECT_EQ(stale.code, 409);
  EXPECT_THAT(stale.text("message"), HasSubstr("the object has been modified"));
  EXPECT_EQ(put(kMaps + "/m", map("m", R"({"a":"d"})")).code, 200);
  EXPECT_EQ(get(kMaps + "/m").text("data/a"), "d");
}

TEST_F(Server, SomeKindsAreUpdatedByVersionAlone) {
  const std::string leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
  const auto lease = [](const std::string& holder, const std::string& version) {
    return cat(R"({"metadata":{"name":"l","resourceVersion":")", version, R"("},"spec":{"holderIdentity":")", holder,
               R"("}})");
  };
  const Answer made = post(leases, lease("a", ""));
  ASSERT_EQ(made.code, 201) << made.text("message");
  const Answer refused = put(leases + "/l", lease("b", ""));
  EXPECT_EQ(refused.code, 422);
  EXPECT_EQ(refused.text("details/kind"), "leases");
  EXPECT_THAT(refused.text("message"), HasSubstr("leases.coordination.k8s.io \"l\" is invalid"));
  EXPECT_EQ(refused.text("details/causes/0/field"), "metadata.resourceVersion");
  EXPECT_EQ(put(leases + "/l", lease("b", made.text("metadata/resourceVersion"))).code, 200);
  EXPECT_EQ(merge(leases + "/l", R"({"spec":{"holderIdentity":"c"}})").text("spec/holderIdentity"), "c");
}

TEST_F(Server, APutMakesAnObjectOfSomeKinds) {
  const std::string roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
  const auto role = [](const std::string& metadata) { return cat(R"({"metadata":{)", metadata, "}}"); };
  EXPECT_EQ(put(roles + "/r", role(R"("name":"other")")).code, 400);
  EXPECT_EQ(put(roles + "/r", role(R"("name":"r","uid":"u")")).code, 409);
  const Answer made = put(roles + "/r", role(R"("name":"r","resourceVersion":"7")"));
  EXPECT_EQ(made.code, 201) << made.text("message");
  EXPECT_NE(made.text("metadata/uid"), "null");
  EXPECT_EQ(put(roles + "/r", role(R"("name":"r","labels":{"a":"b"})")).code, 200);
  EXPECT_EQ(put(kMaps + "/m", map("m")).code, 404);
}

TEST_F(Server, AWriteThatChangesNothingIsNone) {
  const Answer made = post(kMaps, map("m"));
  now_.seconds += 60;
  const Answer same = merge(kMaps + "/m", R"({"data":{"a":"b"}})");
  EXPECT_EQ(same.code, 200);
  EXPECT_EQ(same.text("metadata/resourceVersion"), made.text("metadata/resourceVersion"));
  EXPECT_EQ(put(kMaps + "/m", api::write_json(made.body)).text("metadata/resourceVersion"),
            made.text("metadata/resourceVersion"));
}

TEST_F(Server, GenerationCountsChangesOfSpecAlone) {
  ASSERT_EQ(post(kDeployments, kDeployment).code, 201);
  EXPECT_EQ(merge(kDeployments + "/d", R"({"metadata":{"labels":{"a":"b"}}})").text("metadata/generation"), "1");
  EXPECT_EQ(merge(kDeployments + "/d", R"({"spec":{"replicas":4}})").text("metadata/generation"), "2");
  EXPECT_EQ(merge(kDeployments + "/d/status", R"({"status":{"replicas":4}})").text("metadata/generation"), "2");
}

TEST_F(Server, StatusIsWrittenThroughItsSubresourceAlone) {
  ASSERT_EQ(post(kDeployments, kDeployment).code, 201);
  EXPECT_EQ(merge(kDeployments + "/d", R"({"status":{"replicas":7}})").text("status/replicas"), "null");
  const Answer done = merge(kDeployments + "/d/status", R"({"spec":{"replicas":9},"status":{"replicas":7}})");
  EXPECT_EQ(done.text("status/replicas"), "7");
  EXPECT_EQ(done.text("spec/replicas"), "3");
}

TEST_F(Server, StatusIsWrittenOfWhatWasTakenBeforeARule) {
  const api::Kind& kind = *kinds_.find_resource("storage.k8s.io", "v1", "volumeattachments");
  std::unique_ptr<api::Message> old = kind.make();
  api::ObjectMeta* metadata = api::mutable_metadata_of(old.get());
  metadata->set_name("v");
  metadata->set_uid("u");
  Objects objects(kinds_, *store_);
  ASSERT_TRUE(run(loop_, objects.create(loop_, kind, std::move(old))));
  const std::string path = "/apis/storage.k8s.io/v1/volumeattachments/v";
  EXPECT_EQ(merge(path, R"({"metadata":{"labels":{"a":"b"}}})").code, 422);
  const Answer written = merge(path + "/status", R"({"status":{"attached":true}})");
  EXPECT_EQ(written.code, 200) << written.text("message");
  EXPECT_EQ(written.text("status/attached"), "true");
}

TEST_F(Server, AStatefulSetThatIsOlderThanARuleOfItsPodsIsChanged) {
  const api::Kind& kind = *kinds_.find_resource("apps", "v1", "statefulsets");
  auto old = std::make_unique<k8s::io::api::apps::v1::StatefulSet>();
  old->mutable_metadata()->set_namespace_("default");
  old->mutable_metadata()->set_name("s");
  old->mutable_metadata()->set_uid("u");
  auto* spec = old->mutable_spec();
  (*spec->mutable_selector()->mutable_match_labels())["app"] = "s";
  (*spec->mutable_template_()->mutable_metadata()->mutable_labels())["app"] = "s";
  kind.set_defaults(old.get());
  Objects objects(kinds_, *store_);
  ASSERT_TRUE(run(loop_, objects.create(loop_, kind, std::move(old))));
  const std::string path = "/apis/apps/v1/namespaces/default/statefulsets/s";
  const Answer scaled = merge(path, R"({"spec":{"replicas":3}})");
  EXPECT_EQ(scaled.code, 200) << scaled.text("message");
  EXPECT_EQ(merge(path, R"({"spec":{"replicas":-1}})").code, 422);
}

TEST_F(Server, ANodeRegistersWithItsStatusAndAPodWithout) {
  const std::string node =
      R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n"},"status":{"capacity":{"cpu":"2"}}})";
  EXPECT_EQ(post("/api/v1/nodes", node).text("status/capacity/cpu"), "2");
  std::string running = pod("web");
  running.insert(running.size() - 1, R"(,"status":{"phase":"Running"})");
  EXPECT_EQ(post(kPods, running).text("status/phase"), "Pending");
}

TEST_F(Server, AScaleIsAViewOfReplicas) {
  ASSERT_EQ(post(kDeployments, kDeployment).code, 201);
  const Answer scale = get(kDeployments + "/d/scale");
  EXPECT_EQ(scale.text("kind"), "Scale");
  EXPECT_EQ(scale.text("spec/replicas"), "3");
  EXPECT_EQ(scale.text("status/selector"), "app=d");
  EXPECT_EQ(merge(kDeployments + "/d/scale", R"({"spec":{"replicas":5}})").text("spec/replicas"), "5");
  EXPECT_EQ(get(kDeployments + "/d").text("spec/replicas"), "5");
  EXPECT_EQ(merge(kDeployments + "/d/scale", R"({"spec":{"replicas":-1}})").code, 422);
}

TEST_F(Server, UnknownFieldsOfAScaleAreRefusedOrWarnedOf) {
  ASSERT_EQ(post(kDeployments, kDeployment).code, 201);
  const std::string path = kDeployments + "/d/scale?fieldValidation=";
  const std::string patch = R"({"spec":{"replicas":4,"replica":5}})";
  const Answer strict = merge(path + "Strict", patch);
  EXPECT_EQ(strict.code, 400);
  EXPECT_THAT(strict.text("message"), HasSubstr(R"(unknown field "spec.replica")"));
  EXPECT_EQ(get(kDeployments + "/d").text("spec/replicas"), "3");
  const Answer warned = merge(path + "Warn", patch);
  EXPECT_EQ(warned.text("spec/replicas"), "4");
  const std::string words = R"(299 - "unknown field \"spec.replica\"")";
  EXPECT_EQ(http::find_header(warned.headers, "Warning"), words);
  EXPECT_EQ(http::find_header(merge(path + "Ignore", patch).headers, "Warning"), "");

  const std::string whole =
      R"({"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d"},"spec":{"replicas":6,"replica":5}})";
  EXPECT_EQ(send("PUT", path + "Strict", whole).code, 400);
  const Answer put = send("PUT", path + "Warn", whole);
  EXPECT_EQ(put.text("spec/replicas"), "6");
  EXPECT_EQ(http::find_header(put.headers, "Warning"), words);
}

// The managers of an object in the order in which it lists them, each with what it owns.
std::vector<std::string> owners(const api::Value& managed) {
  std::vector<std::string> texts;
  for (const api::Value& entry : *managed.as_list()) {
    const api::Value* subresource = entry.find("subresource");
    texts.push_back(cat(*entry.find("manager")->as_string(), " ", *entry.find("apiVersion")->as_string(),
                        subresource == nullptr ? "" : cat(" ", *subresource->as_string()), " ",
                        api::write_json(*entry.find("fieldsV1"))));
  }
  return texts;
}

TEST_F(Server, AScaleIsApplied) {
  ASSERT_EQ(post(kDeployments, kDeployment).code, 201);
  const std::string scale = kDeployments + "/d/scale?fieldManager=";
  const auto wanting = [](int replicas) {
    return cat(R"({"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"d"},"spec":{"replicas":)", replicas,
               "}}");
  };
  const Answer met = apply(scale + "one", wanting(5));
  EXPECT_EQ(met.code, 409);
  EXPECT_EQ(met.text("details/causes/0/message"), R"(conflict with "test" using autoscaling/v1)");
  EXPECT_EQ(met.text("details/causes/0/field"), ".spec.replicas");
  EXPECT_EQ(apply(scale + "one&force=true", wanting(5)).text("spec/replicas"), "5");
  const Answer taken = get(kDeployments + "/d");
  EXPECT_EQ(taken.text("spec/replicas"), "5");
  EXPECT_EQ(owners(taken.at("metadata/managedFields"))[0], R"(one apps/v1 scale {"f:spec":{"f:replicas":{}}})");
  EXPECT_TRUE(taken.at("metadata/managedFields/0/time").is_null()) << "as upstream: not since when";
  EXPECT_THAT(taken.text("metadata/managedFields/1/fieldsV1"), ::testing::Not(HasSubstr("f:replicas")));

  ASSERT_EQ(apply(scale + "two", wanting(5)).code, 200) << "who wants the same owns it, too";
  ASSERT_EQ(merge(kDeployments + "/d/scale?fieldManager=three", R"({"spec":{"replicas":6}})").code, 200);
  const std::vector<std::string> after = owners(get(kDeployments + "/d").at("metadata/managedFields"));
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[0], R"(three apps/v1 scale {"f:spec":{"f:replicas":{}}})");
  ASSERT_EQ(merge(kDeployments + "/d/scale?fieldManager=three", R"({"spec":{"replicas":0}})").code, 200);
  EXPECT_EQ(owners(get(kDeployments + "/d").at("metadata/managedFields")).size(), 1u) << "none is not written";
  EXPECT_EQ(apply(scale + "one", R"({"apiVersion":"apps/v1","kind":"Scale","metadata":{"name":"d"}})").code, 400);
  EXPECT_EQ(send("PATCH", kDeployments + "/d/scale", wanting(1), "application/apply-patch+yaml").code, 422);
}

TEST_F(Server, AnEntryOfAnotherVersionIsKept) {
  const std::string scalers = "/namespaces/default/horizontalpodautoscalers";
  const std::string v1 = "/apis/autoscaling/v1" + scalers;
  const std::string v2 = "/apis/autoscaling/v2" + scalers;
  ASSERT_EQ(post(v2 + "?fieldManager=two", R"({
    "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
    "spec": {"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
             "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization",
                                                                                   "averageUtilization": 60}}}]}})")
                .code,
            201);
  const auto max = [](int replicas) {
    return cat(R"({"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"h"},)",
               R"("spec":{"maxReplicas":)", replicas, "}}");
  };
  EXPECT_EQ(apply(v1 + "/h?fieldManager=one", max(6)).code, 409) << "an entry of autoscaling/v2 owns it";
  ASSERT_EQ(apply(v1 + "/h?fieldManager=one&force=true", max(6)).code, 200);
  const std::vector<std::string> after = owners(get(v1 + "/h").at("metadata/managedFields"));
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[0], R"(one autoscaling/v1 {"f:spec":{"f:maxReplicas":{}}})");
  EXPECT_EQ(after[1], R"(two autoscaling/v2 {"f:spec":{"f:metrics":{},"f:minReplicas":{},"f:scaleTargetRef":)"
                      R"({"f:apiVersion":{},"f:kind":{},"f:name":{}}}})");
}

TEST_F(Server, WhatAStatusMayOwnIsTheKinds) {
  ASSERT_EQ(post(kDeployments, kDeployment).code, 201);
  const std::string more = R"({"metadata":{"labels":{"x":"y"},"annotations":{"x":"y"}},"spec":{"replicas":7}})";
  const Answer written = merge(kDeployments + "/d/status?fieldManager=status", more);
  ASSERT_EQ(written.code, 200);
  EXPECT_TRUE(written.at("metadata/labels").is_null());
  EXPECT_EQ(written.text("metadata/annotations/x"), "y");
  EXPECT_EQ(written.text("spec/replicas"), "3");
  const std::vector<std::string> after = owners(written.at("metadata/managedFields"));
  ASSERT_EQ(after.size(), 2u);
  EXPECT_THAT(after,
              ::testing::Contains(R"(status apps/v1 status {"f:metadata":{"f:annotations":{".":{},"f:x":{}}}})"));
}

TEST_F(Server, NobodyOwnsWhatTheServerMakesOfAnObject) {
  const Answer made = post("/apis/batch/v1/namespaces/default/jobs", R"({
    "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}})");
  ASSERT_EQ(made.code, 201) << made.text("message");
  EXPECT_FALSE(made.at("spec/selector").is_null());
  EXPECT_THAT(made.text("metadata/managedFields/0/fieldsV1"), ::testing::Not(HasSubstr("f:selector")));
}

TEST_F(Server, ATemplateOfAClaimSaysWhatItIs) {
  const Answer made = post("/apis/apps/v1/namespaces/default/statefulsets", R"({
    "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"},
    "spec": {"serviceName": "s", "selector": {"matchLabels": {"app": "s"}},
             "template": {"metadata": {"labels": {"app": "s"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
             "volumeClaimTemplates": [{"metadata": {"name": "v"}, "apiVersion": "any", "spec": {
               "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}})");
  ASSERT_EQ(made.code, 201) << made.text("message");
  EXPECT_EQ(made.text("spec/volumeClaimTemplates/0/kind"), "PersistentVolumeClaim");
  EXPECT_EQ(made.text("spec/volumeClaimTemplates/0/apiVersion"), "v1");
  EXPECT_EQ(get("/apis/apps/v1/namespaces/default/statefulsets/s").body, made.body);
}

TEST_F(Server, AnApplyMakesChangesAndMeetsConflicts) {
  const std::string mine = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n";
  EXPECT_EQ(apply(kMaps + "/m", mine).code, 422);  // without a manager
  const Answer made = apply(kMaps + "/m?fieldManager=one", mine);
  EXPECT_EQ(made.code, 201) << made.text("message");
  EXPECT_EQ(apply(kMaps + "/m?fieldManager=one", mine).text("metadata/resourceVersion"),
            made.text("metadata/resourceVersion"));
  const std::string theirs = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: c}\n";
  const Answer conflict = apply(kMaps + "/m?fieldManager=two", theirs);
  EXPECT_EQ(conflict.code, 409);
  EXPECT_EQ(conflict.text("details/causes/0/reason"), "FieldManagerConflict");
  EXPECT_EQ(conflict.text("details/causes/0/field"), ".data.a");
  EXPECT_EQ(apply(kMaps + "/m?fieldManager=two&force=true", theirs).text("data/a"), "c");
  // Who gives a field up that nobody else has takes it out.
  const std::string nothing = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n";
  EXPECT_EQ(apply(kMaps + "/m?fieldManager=two", nothing).text("data"), "null");
}

TEST_F(Server, ListsComeInPagesOfOneVersion) {
  for (const char* name : {"a", "b", "c"}) ASSERT_EQ(post(kMaps, map(name)).code, 201);
  const Answer first = get(kMaps + "?limit=2");
  EXPECT_EQ(first.at("items").as_list()->size(), 2u);
  EXPECT_EQ(first.text("metadata/remainingItemCount"), "1");
  ASSERT_EQ(post(kMaps, map("d")).code, 201);
  const Answer second = get(kMaps + "?limit=2&continue=" + first.text("metadata/continue"));
  ASSERT_EQ(second.code, 200) << second.text("message");
  EXPECT_EQ(second.at("items").as_list()->size(), 1u);
  EXPECT_EQ(second.text("items/0/metadata/name"), "c");
  EXPECT_EQ(second.text("metadata/resourceVersion"), first.text("metadata/resourceVersion"));
  EXPECT_EQ(second.text("metadata/continue"), "null");
}

TEST_F(Server, SelectorsNarrowLists) {
  ASSERT_EQ(post(kPods, pod("a", R"(,"nodeName":"n")")).code, 201);
  ASSERT_EQ(post(kPods, pod("b")).code, 201);
  EXPECT_EQ(get(kPods + "?fieldSelector=spec.nodeName%3Dn").at("items").as_list()->size(), 1u);
  EXPECT_EQ(get(kPods + "?labelSelector=app%20in%20(x)").at("items").as_list()->size(), 2u);
  EXPECT_EQ(get(kPods + "?labelSelector=app!%3Dx").at("items").as_list()->size(), 0u);
  EXPECT_EQ(get("/api/v1/pods?fieldSelector=metadata.name%3Db").text("items/0/metadata/name"), "b");
  EXPECT_EQ(get(kPods + "?fieldSelector=spec.hostname%3Db").code, 400);
}

TEST_F(Server, TablesHaveTheRowsOfTheKind) {
  ASSERT_EQ(post(kMaps, map("m")).code, 201);
  now_.seconds += 180;
  const Answer table = get(kMaps, "application/json;as=Table;v=v1;g=meta.k8s.io");
  EXPECT_EQ(table.text("kind"), "Table");
  EXPECT_EQ(table.text("columnDefinitions/1/name"), "Data");
  EXPECT_EQ(table.text("rows/0/cells"), R"(["m",1,"3m"])");
  EXPECT_EQ(table.text("rows/0/object/kind"), "PartialObjectMetadata");
}

TEST_F(Server, APodThatRunsEndsWithGrace) {
  ASSERT_EQ(post(kPods, pod("web", R"(,"nodeName":"n")")).code, 201);
  const Answer marked = remove(kPods + "/web");
  EXPECT_EQ(marked.code, 200);
  EXPECT_EQ(marked.text("metadata/deletionTimestamp"), "2027-01-15T08:00:30Z");
  EXPECT_EQ(marked.text("metadata/deletionGracePeriodSeconds"), "30");
  EXPECT_EQ(get(kPods + "/web").code, 200);
  EXPECT_EQ(remove(kPods + "/web", R"({"gracePeriodSeconds":0,"preconditions":{"uid":"other"}})").code, 409);
  EXPECT_EQ(remove(kPods + "/web?gracePeriodSeconds=0").code, 200);
  EXPECT_EQ(get(kPods + "/web").code, 404);
}

TEST_F(Server, APodThatEndsCanOnlyEndSooner) {
  ASSERT_EQ(post(kPods, pod("web", R"(,"nodeName":"n")")).code, 201);
  ASSERT_EQ(remove(kPods + "/web").code, 200);
  now_.seconds += 20;
  const Answer longer = remove(kPods + "/web", R"({"gracePeriodSeconds":60,"propagationPolicy":"Foreground"})");
  EXPECT_EQ(longer.text("metadata/deletionTimestamp"), "2027-01-15T08:00:30Z");
  EXPECT_EQ(longer.text("metadata/finalizers"), "null");
  // Five seconds from when it was asked first are over.
  const Answer sooner = remove(kPods + "/web", R"({"gracePeriodSeconds":5})");
  EXPECT_EQ(sooner.text("metadata/deletionTimestamp"), "2027-01-15T08:00:20Z");
  EXPECT_EQ(sooner.text("metadata/deletionGracePeriodSeconds"), "1");
}

TEST_F(Server, ADeletionAnswersTheObjectOfSomeKinds) {
  const std::string accounts = "/api/v1/namespaces/default/serviceaccounts";
  const Answer made = post(accounts, R"({"metadata":{"name":"a"}})");
  ASSERT_EQ(made.code, 201) << made.text("message");
  const Answer account = remove(accounts + "/a");
  EXPECT_EQ(account.text("kind"), "ServiceAccount");
  EXPECT_EQ(account.text("metadata/uid"), made.text("metadata/uid"));
  EXPECT_EQ(account.text("metadata/resourceVersion"), std::to_string(store_revision()))
      << "the version in which it is there no more";
  EXPECT_NE(account.text("metadata/resourceVersion"), made.text("metadata/resourceVersion"));
  EXPECT_EQ(get(accounts + "/a").code, 404);
  ASSERT_EQ(post(kMaps, map("m")).code, 201);
  const Answer gone = remove(kMaps + "/m");
  EXPECT_EQ(gone.text("kind"), "Status");
  EXPECT_EQ(gone.text("details/name"), "m");
}

TEST_F(Server, FinalizersHoldWhatIsDeleted) {
  ASSERT_EQ(
      post(kMaps, R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","finalizers":["a.b/c"]}})").code,
      201);
  EXPECT_NE(remove(kMaps + "/m").text("metadata/deletionTimestamp"), "null");
  EXPECT_EQ(get(kMaps + "/m").code, 200);
  EXPECT_EQ(merge(kMaps + "/m", R"({"metadata":{"finalizers":null}})").code, 200);
  EXPECT_EQ(get(kMaps + "/m").code, 404);
}

TEST_F(Server, PropagationIsAFinalizer) {
  ASSERT_EQ(post(kDeployments, kDeployment).code, 201);
  const Answer marked = remove(kDeployments + "/d", R"({"propagationPolicy":"Foreground"})");
  EXPECT_EQ(marked.text("metadata/finalizers"), R"(["foregroundDeletion"])");
}

TEST_F(Server, AnEventWaitsForNoGarbageCollector) {
  const std::string events = "/api/v1/namespaces/default/events";
  ASSERT_EQ(post(events, R"({"apiVersion":"v1","kind":"Event","metadata":{"name":"e"},)"
                         R"("involvedObject":{"kind":"Pod","namespace":"default","name":"p"}})")
                .code,
            201);
  EXPECT_EQ(remove(events + "/e", R"({"propagationPolicy":"Orphan"})").code, 200);
  EXPECT_EQ(get(events + "/e").code, 404);
}

TEST_F(Server, ABindingGivesAPodItsNodeOnce) {
  ASSERT_EQ(post(kPods, pod("web")).code, 201);
  const auto binding_to = [](std::string_view node) {
    return cat(R"({"apiVersion":"v1","kind":"Binding","metadata":{"name":"web"},"target":{"kind":"Node","name":")",
               node, R"("}})");
  };
  EXPECT_EQ(post(kPods + "/web/binding", binding_to("Node_A/..")).code, 400);
  const std::string binding = binding_to("n");
  const Answer bound = post(kPods + "/web/binding", binding);
  EXPECT_EQ(bound.code, 201) << bound.text("message");
  EXPECT_EQ(bound.text("status"), "Success");
  const Answer pod = get(kPods + "/web");
  EXPECT_EQ(pod.text("spec/nodeName"), "n");
  EXPECT_EQ(pod.text("status/conditions/0/type"), "PodScheduled");
  EXPECT_EQ(post(kPods + "/web/binding", binding).code, 409);
}

TEST_F(Server, ABudgetForbidsAnEviction) {
  ASSERT_EQ(post(kPods, pod("web", R"(,"nodeName":"n")")).code, 201);
  ASSERT_EQ(
      merge(kPods + "/web/status", R"({"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}})")
          .code,
      200);
  const std::string budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
  ASSERT_EQ(post(budgets, R"({"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"b"},
    "spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"x"}}}})")
                .code,
            201);
  ASSERT_EQ(
      merge(
          budgets + "/b/status",
          R"({"status":{"observedGeneration":1,"disruptionsAllowed":0,"currentHealthy":1,"desiredHealthy":1,"expectedPods":1}})")
          .code,
      200);
  const std::string eviction = R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web"}})";
  const Answer refused = post(kPods + "/web/eviction", eviction);
  EXPECT_EQ(refused.code, 429) << refused.text("message");
  EXPECT_EQ(refused.text("details/causes/0/reason"), "DisruptionBudget");
  ASSERT_EQ(merge(budgets + "/b/status", R"({"status":{"disruptionsAllowed":1}})").code, 200);
  EXPECT_EQ(post(kPods + "/web/eviction", eviction).code, 201);
  EXPECT_NE(get(kPods + "/web").text("metadata/deletionTimestamp"), "null");
  EXPECT_EQ(get(budgets + "/b").text("status/disruptionsAllowed"), "0");
}

TEST_F(Server, ANamespaceIsInNoOther) {
  const std::string ns = R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"b"}})";
  ASSERT_EQ(post("/api/v1/namespaces", ns).code, 201);
  EXPECT_EQ(get("/api/v1/namespaces/b").code, 200);
  EXPECT_EQ(get("/api/v1/namespaces/a/namespaces/b").code, 404);
  EXPECT_EQ(get("/api/v1/namespaces/a/namespaces").code, 404);
  EXPECT_EQ(post("/api/v1/namespaces/a/namespaces", ns).code, 404);
  EXPECT_EQ(remove("/api/v1/namespaces/a/namespaces/b").code, 404);
}

TEST_F(Server, AnApplyOfWhatIsNoObjectIsRefused) {
  for (const char* metadata : {"x", "null", "[]", "{}"}) {
    const std::string body = cat("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":",
                                 metadata == std::string_view("x") ? "\"x\"" : metadata, "}");
    const Answer answer = apply(kMaps + "/none?fieldManager=x", body);
    EXPECT_TRUE(answer.code == 400 || answer.code <= 201) << body << answer.code;
  }
  EXPECT_EQ(apply(kMaps + "/none?fieldManager=x", "[]").code, 400);
}

TEST_F(Server, ADocumentIsThereHoweverItIsAskedFor) {
  for (int i = 0; i < 1100; ++i) {
    ASSERT_EQ(ask({.method = "GET", .target = "/api", .headers = {{"Host", cat("h", i)}}}).code, 200);
    ASSERT_EQ(get(cat("/api", std::string(static_cast<size_t>(i % 50) + 1, '/'), "v1")).code, 200);
  }
  EXPECT_EQ(get("/apis/apps/v1").code, 200);
}

TEST_F(Server, WhatIsNotServedIsNotFound) {
  EXPECT_EQ(get("/api/v1/namespaces/default/unicorns").code, 404);
  EXPECT_EQ(get("/apis/nobody/v1/pods").code, 404);
  EXPECT_EQ(get("/api/v1/namespaces/default/nodes").code, 404);
  EXPECT_EQ(post("/api/v1/pods", pod("a")).code, 405);
  EXPECT_EQ(send("POST", kMaps, "a", "text/plain").code, 415);
  EXPECT_EQ(get(kMaps, "text/html").code, 406);
}

TEST_F(Server, DiscoveryIsKeptAndHasATag) {
  const Answer all = get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  EXPECT_EQ(all.text("kind"), "APIGroupDiscoveryList");
  const std::string tag(http::find_header(all.headers, "ETag"));
  EXPECT_EQ(ask({.method = "GET",
                 .target = "/apis",
                 .headers = {{"Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"},
                             {"If-None-Match", tag}}})
                .code,
            304);
  EXPECT_EQ(get("/api/v1").text("kind"), "APIResourceList");
  EXPECT_EQ(get("/openapi/v3").code, 200);
  EXPECT_EQ(get("/openapi/v3/api/v1").text("openapi"), "3.0.0");
}

TEST_F(Server, WhichFormOfADocumentWasAskedForFirstDoesNotMatter) {
  const std::string message(api::kOpenApiV2Accept);
  for (const std::string& accept : {std::string("application/json"), message, std::string("application/json")}) {
    const Answer answer = get("/openapi/v2", accept);
    EXPECT_EQ(http::find_header(answer.headers, "Content-Type"),
              accept == message ? api::kOpenApiV2Type : "application/json");
  }
}

TEST_F(Server, OpenApiAsAMessageMayBeAskedForFirst) {
  EXPECT_EQ(http::find_header(get("/openapi/v2", std::string(api::kOpenApiV2Accept)).headers, "Content-Type"),
            api::kOpenApiV2Type);
  EXPECT_EQ(http::find_header(get("/openapi/v2").headers, "Content-Type"), "application/json");
}

}  // namespace
}  // namespace gantry::control
