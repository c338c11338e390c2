// SPDX-License-Identifier: Apache-2.0
#include "api/documents/openapi.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <set>

#include "api/documents/openapi_paths.h"
#include "api/json.h"
#include "api/kinds/all.h"
#include "kubernetes/apps/v1/deployment.pb.h"
#include "kubernetes/authentication/v1/authentication.pb.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "openapi/v2.pb.h"
#include "proto/kubernetes/comments.h"

namespace gantry::api {
namespace {

namespace core = k8s::io::api::core::v1;

Kind stored(Kind kind) {
  kind.storage = kind.plural;
  return kind;
}

Kinds some_kinds() {
  std::vector<Kind> kinds;
  kinds.push_back(stored(make_kind<core::Pod>("pods", "pod", {"po"})));
  kinds.back().subresources = {{"status", {}, Verb::kGet | Verb::kPatch | Verb::kUpdate, {}},
                               {"log", {"", "v1", "PodLogOptions"}, static_cast<Verbs>(Verb::kGet), {}}};
  kinds.push_back(stored(make_kind<core::Namespace>("namespaces", "namespace")));
  kinds.back().namespaced = false;
  kinds.push_back(stored(make_kind<core::ConfigMap>("configmaps", "configmap")));
  kinds.push_back(stored(make_kind<core::Service>("services", "service")));
  kinds.push_back(stored(make_kind<k8s::io::api::apps::v1::Deployment>("deployments", "deployment")));
  kinds.back().subresources = {{"scale", {"autoscaling", "v1", "Scale"}, Verb::kGet | Verb::kUpdate, {}}};
  // So that its messages are linked, as all are in a server that has the kind.
  EXPECT_NE(k8s::io::api::autoscaling::v1::Scale::descriptor(), nullptr);
  kinds.push_back(make_kind<k8s::io::api::authentication::v1::TokenReview>("tokenreviews", "tokenreview"));
  kinds.back().verbs = static_cast<Verbs>(Verb::kCreate);
  kinds.back().namespaced = false;
  return Kinds(std::move(kinds));
}

const Value& at(const Value& value, std::initializer_list<std::string_view> path) {
  static const Value kNone;
  const Value* here = &value;
  for (const std::string_view step : path) {
    here = here->find(step);
    if (here == nullptr) {
      ADD_FAILURE() << "no " << step;
      return kNone;
    }
  }
  return *here;
}

// Every reference in a document, and every definition.
void collect_references(const Value& value, std::set<std::string>* references) {
  if (const Value::Object* object = value.as_object()) {
    for (const Value::Member& member : *object) {
      if (member.key == "$ref" && member.value.is_string()) references->insert(*member.value.as_string());
      collect_references(member.value, references);
    }
  }
  if (const Value::List* list = value.as_list()) {
    for (const Value& element : *list) collect_references(element, references);
  }
}

void expect_closed(const Value& document, const Value& definitions, const std::string& prefix) {
  std::set<std::string> references;
  collect_references(document, &references);
  EXPECT_GT(references.size(), 5u);
  for (const std::string& reference : references) {
    ASSERT_TRUE(reference.starts_with(prefix)) << reference;
    EXPECT_NE(definitions.find(reference.substr(prefix.size())), nullptr) << reference;
  }
}

TEST(OpenApi, TellsHowListsMerge) {
  const Kinds kinds = some_kinds();
  const Value document = *openapi_v3(kinds, "api/v1", kubernetes::comment);
  const Value& schemas = at(document, {"components", "schemas"});
  const Value& volumes = at(schemas, {"io.k8s.api.core.v1.PodSpec", "properties", "volumes"});
  EXPECT_EQ(write_json(at(volumes, {"items"})),
            R"({"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.Volume"}],"default":{}})");
  EXPECT_EQ(write_json(at(volumes, {"x-kubernetes-list-map-keys"})), R"(["name"])");
  EXPECT_EQ(*at(volumes, {"x-kubernetes-list-type"}).as_string(), "map");
  EXPECT_EQ(*at(volumes, {"x-kubernetes-patch-merge-key"}).as_string(), "name");
  EXPECT_EQ(*at(volumes, {"x-kubernetes-patch-strategy"}).as_string(), "merge,retainKeys");
  const Value& container = at(schemas, {"io.k8s.api.core.v1.Container"});
  EXPECT_EQ(write_json(at(container, {"required"})), R"(["name"])");
  EXPECT_EQ(write_json(at(schemas, {"io.k8s.api.core.v1.SecretKeySelector", "x-kubernetes-map-type"})), R"("atomic")");
  EXPECT_EQ(
      write_json(at(schemas, {"io.k8s.api.core.v1.PodSpec", "properties", "nodeSelector", "x-kubernetes-map-type"})),
      R"("atomic")");
  EXPECT_EQ(write_json(at(schemas, {"io.k8s.api.core.v1.Pod", "x-kubernetes-group-version-kind"})),
            R"([{"group":"","kind":"Pod","version":"v1"}])");
  EXPECT_EQ(write_json(at(schemas, {"io.k8s.apimachinery.pkg.api.resource.Quantity", "oneOf"})),
            R"([{"type":"string"},{"type":"number"}])");
  EXPECT_FALSE(at(schemas, {"io.k8s.api.core.v1.Pod", "description"}).as_string()->empty());
  expect_closed(document, schemas, "#/components/schemas/");
}

TEST(OpenApi, TellsWhatCanBeDoneWhere) {
  const Kinds kinds = some_kinds();
  const Value document = *openapi_v3(kinds, "apis/apps/v1", kubernetes::comment);
  const Value& paths = at(document, {"paths"});
  const Value& patch = at(paths, {"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch"});
  EXPECT_EQ(*at(patch, {"operationId"}).as_string(), "patchAppsV1NamespacedDeployment");
  EXPECT_EQ(write_json(at(patch, {"x-kubernetes-group-version-kind"})),
            R"({"group":"apps","kind":"Deployment","version":"v1"})");
  std::set<std::string> names;
  for (const Value& parameter : *at(patch, {"parameters"}).as_list())
    names.insert(*at(parameter, {"name"}).as_string());
  EXPECT_THAT(names, testing::IsSupersetOf({"dryRun", "fieldManager", "fieldValidation", "force"}));
  EXPECT_EQ(*at(paths, {"/apis/apps/v1/deployments", "get", "operationId"}).as_string(),
            "listAppsV1DeploymentForAllNamespaces");
  EXPECT_EQ(*at(paths, {"/apis/apps/v1/namespaces/{namespace}/deployments", "delete", "operationId"}).as_string(),
            "deleteAppsV1CollectionNamespacedDeployment");
  EXPECT_EQ(write_json(at(paths, {"/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale", "put",
                                  "x-kubernetes-group-version-kind"})),
            R"({"group":"autoscaling","kind":"Scale","version":"v1"})");
  expect_closed(document, at(document, {"components", "schemas"}), "#/components/schemas/");

  const Value core = *openapi_v3(kinds, "api/v1", kubernetes::comment);
  EXPECT_EQ(*at(core, {"paths", "/api/v1/namespaces/{namespace}/pods/{name}/log", "get", "operationId"}).as_string(),
            "connectCoreV1GetNamespacedPodLog");

  const Value reviews = *openapi_v3(kinds, "apis/authentication.k8s.io/v1", kubernetes::comment);
  EXPECT_EQ(at(reviews, {"paths"}).as_object()->size(), 1u);
  EXPECT_EQ(*at(reviews, {"paths", "/apis/authentication.k8s.io/v1/tokenreviews", "post", "operationId"}).as_string(),
            "createAuthenticationV1TokenReview");
  EXPECT_EQ(write_json(at(reviews, {"components", "schemas", "io.k8s.api.authentication.v1.UserInfo", "properties",
                                    "extra", "additionalProperties"})),
            R"({"type":"array","items":{"type":"string","default":""}})");
  EXPECT_FALSE(openapi_v3(kinds, "apis/batch/v1", kubernetes::comment));
}

// What all kinds of the server come to: every type that is named is there, and every kind has a sentence.
TEST(OpenApi, IsWholeForEveryKind) {
  const Kinds kinds(all_kinds());
  for (const std::string& path : group_version_paths(kinds)) {
    SCOPED_TRACE(path);
    const Value document = *openapi_v3(kinds, path, kubernetes::comment);
    const Value& schemas = at(document, {"components", "schemas"});
    expect_closed(document, schemas, "#/components/schemas/");
    EXPECT_EQ(write_json(at(document, {"paths"})).find(R"("schema":{"type":"object"})"), std::string::npos)
        << "a subresource takes a kind whose message was not found";
  }
  for (const Kind& kind : kinds.all()) {
    EXPECT_FALSE(kubernetes::comment(kind.descriptor->full_name()).empty()) << kind.gvk.kind;
  }
  expect_closed(openapi_v2(kinds, "v1.37.0", kubernetes::comment),
                at(openapi_v2(kinds, "v1.37.0", kubernetes::comment), {"definitions"}), "#/definitions/");
}

TEST(OpenApi, NamesOperationsByGroup) {
  EXPECT_EQ(operation_group({"", "v1", ""}), "CoreV1");
  EXPECT_EQ(operation_group({"rbac.authorization.k8s.io", "v1", ""}), "RbacAuthorizationV1");
  EXPECT_EQ(operation_group({"autoscaling", "v2", ""}), "AutoscalingV2");
}

TEST(OpenApi, HasAnIndex) {
  const Kinds kinds = some_kinds();
  EXPECT_EQ(group_version_paths(kinds),
            (std::vector<std::string>{"api/v1", "apis/apps/v1", "apis/authentication.k8s.io/v1"}));
  EXPECT_EQ(write_json(openapi_v3_index({{"api/v1", openapi_hash("")}})),
            R"({"paths":{"api/v1":{"serverRelativeURL":"/openapi/v3/api/v1?hash=)"
            R"(E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"}}})");
}

TEST(OpenApi, TellsAllToOldClients) {
  const Kinds kinds = some_kinds();
  const Value document = openapi_v2(kinds, "v1.37.0", kubernetes::comment);
  expect_closed(document, at(document, {"definitions"}), "#/definitions/");
  EXPECT_EQ(write_json(at(document, {"definitions", "io.k8s.apimachinery.pkg.api.resource.Quantity", "type"})),
            R"("string")");
  const std::string text = write_json(document);
  EXPECT_EQ(text.find("allOf"), std::string::npos);
  EXPECT_EQ(text.find("oneOf"), std::string::npos);
}

TEST(OpenApi, IsAMessageForOldClients) {
  const Kinds kinds = some_kinds();
  const Value swagger = openapi_v2(kinds, "v1.37.0", kubernetes::comment);
  openapi::v2::Document document;
  ASSERT_TRUE(document.ParseFromString(openapi_v2_protobuf(swagger)));
  EXPECT_EQ(document.info().version(), "v1.37.0");
  EXPECT_EQ(static_cast<size_t>(document.paths().path_size()), at(swagger, {"paths"}).as_object()->size());
  EXPECT_EQ(static_cast<size_t>(document.definitions().additional_properties_size()),
            at(swagger, {"definitions"}).as_object()->size());
  for (const auto& definition : document.definitions().additional_properties()) {
    if (definition.name() != "io.k8s.api.core.v1.Pod") continue;
    EXPECT_EQ(definition.value().properties().additional_properties_size(), 5);
    ASSERT_EQ(definition.value().vendor_extension_size(), 1);
    EXPECT_EQ(definition.value().vendor_extension(0).value().yaml(),
              "[{\"group\":\"\",\"kind\":\"Pod\",\"version\":\"v1\"}]\n");
  }
}

}  // namespace
}  // namespace gantry::api
