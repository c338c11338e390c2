// SPDX-License-Identifier: Apache-2.0
#include "api/documents/discovery.h"

#include <gtest/gtest.h>

#include "api/json.h"
#include "kubernetes/apps/v1/deployment.pb.h"
#include "kubernetes/autoscaling/v1/autoscaling.pb.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {
namespace {

namespace core = k8s::io::api::core::v1;

Kind hpa(Kind kind) {
  kind.storage = "horizontalpodautoscalers";
  return kind;
}

Kinds some_kinds() {
  std::vector<Kind> kinds;
  Kind pods = make_kind<core::Pod>("pods", "pod", {"po"});
  pods.categories = {"all"};
  pods.storage = "pods";
  pods.subresources = {{"status", {}, Verb::kGet | Verb::kPatch | Verb::kUpdate, {}},
                       {"eviction", {"policy", "v1", "Eviction"}, static_cast<Verbs>(Verb::kCreate), {}}};
  kinds.push_back(std::move(pods));
  Kind namespaces = make_kind<core::Namespace>("namespaces", "namespace", {"ns"});
  namespaces.namespaced = false;
  namespaces.storage = "namespaces";
  namespaces.verbs = Verb::kGet | Verb::kList;
  kinds.push_back(std::move(namespaces));
  Kind deployments = make_kind<k8s::io::api::apps::v1::Deployment>("deployments", "deployment", {"deploy"});
  deployments.storage = "deployments";
  kinds.push_back(std::move(deployments));
  Kind first = make_kind<k8s::io::api::autoscaling::v1::HorizontalPodAutoscaler>("horizontalpodautoscalers",
                                                                                 "horizontalpodautoscaler", {"hpa"});
  first.conversion = Conversion{{"autoscaling", "v2", "HorizontalPodAutoscaler"}, {}, {}};
  kinds.push_back(std::move(first));
  kinds.push_back(hpa(make_kind<k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler>(
      "horizontalpodautoscalers", "horizontalpodautoscaler", {"hpa"})));
  return Kinds(std::move(kinds));
}

TEST(Discovery, PrefersStableAndHigherVersions) {
  const Kinds kinds = some_kinds();
  const std::vector<ServedGroup> groups = served_groups(kinds);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].name, "");
  EXPECT_EQ(groups[2].name, "autoscaling");
  EXPECT_EQ(groups[2].versions, (std::vector<std::string>{"v2", "v1"}));
}

TEST(Discovery, TellsAllInOneDocument) {
  const Kinds kinds = some_kinds();
  EXPECT_EQ(
      write_json(aggregated_core(kinds)),
      R"({"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[{"metadata":{},)"
      R"("versions":[{"version":"v1","resources":[)"
      R"({"resource":"namespaces","responseKind":{"group":"","version":"v1","kind":"Namespace"},"scope":"Cluster",)"
      R"("singularResource":"namespace","verbs":["get","list"],"shortNames":["ns"]},)"
      R"({"resource":"pods","responseKind":{"group":"","version":"v1","kind":"Pod"},"scope":"Namespaced",)"
      R"("singularResource":"pod","verbs":["create","delete","deletecollection","get","list","patch","update","watch"],)"
      R"("shortNames":["po"],"categories":["all"],"subresources":[)"
      R"({"subresource":"eviction","responseKind":{"group":"policy","version":"v1","kind":"Eviction"},"verbs":["create"]},)"
      R"({"subresource":"status","responseKind":{"group":"","version":"v1","kind":"Pod"},"verbs":["get","patch","update"]})"
      R"(]}],"freshness":"Current"}]}]})");
  const Value groups = aggregated_groups(kinds);
  const Value::List& items = *groups.find("items")->as_list();
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(*items[0].find("metadata")->find("name")->as_string(), "apps");
  EXPECT_EQ(items[1].find("versions")->as_list()->size(), 2u);
}

TEST(Discovery, TellsInTheOldWay) {
  const Kinds kinds = some_kinds();
  EXPECT_EQ(write_json(api_versions(kinds, "10.0.0.1:6443")),
            R"({"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0",)"
            R"("serverAddress":"10.0.0.1:6443"}]})");
  EXPECT_EQ(
      write_json(api_group_list(kinds)),
      R"({"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1",)"
      R"("version":"v1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}},{"name":"autoscaling",)"
      R"("versions":[{"groupVersion":"autoscaling/v2","version":"v2"},{"groupVersion":"autoscaling/v1",)"
      R"("version":"v1"}],"preferredVersion":{"groupVersion":"autoscaling/v2","version":"v2"}}]})");
  EXPECT_EQ(
      write_json(*api_group(kinds, "apps")),
      R"({"kind":"APIGroup","apiVersion":"v1","name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],)"
      R"("preferredVersion":{"groupVersion":"apps/v1","version":"v1"}})");
  EXPECT_FALSE(api_group(kinds, "batch"));
  EXPECT_FALSE(api_group(kinds, ""));
  EXPECT_EQ(
      write_json(*api_resource_list(kinds, "", "v1")),
      R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[)"
      R"({"name":"namespaces","singularName":"namespace","namespaced":false,"kind":"Namespace",)"
      R"("verbs":["get","list"],"shortNames":["ns"],"storageVersionHash":"Q3oi5N2YM8M="},)"
      R"({"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod",)"
      R"("verbs":["create","delete","deletecollection","get","list","patch","update","watch"],)"
      R"("shortNames":["po"],"categories":["all"],"storageVersionHash":"xPOwRZ+Yhw8="},)"
      R"({"name":"pods/eviction","singularName":"","namespaced":true,"group":"policy","version":"v1",)"
      R"("kind":"Eviction","verbs":["create"]},)"
      R"({"name":"pods/status","singularName":"","namespaced":true,"kind":"Pod","verbs":["get","patch","update"]}]})");
  EXPECT_FALSE(api_resource_list(kinds, "apps", "v2"));
}

}  // namespace
}  // namespace gantry::api
