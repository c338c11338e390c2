// SPDX-License-Identifier: Apache-2.0
#include "control/resource_metrics/usage_sources.h"

#include "control/server/server_fixture.h"

namespace gantry::control {
namespace {

using std::chrono::seconds;

constexpr char kNodes[] = "/apis/metrics.k8s.io/v1beta1/nodes";
constexpr char kPods[] = "/apis/metrics.k8s.io/v1/pods";
constexpr char kPodsOfDefault[] = "/apis/metrics.k8s.io/v1/namespaces/default/pods";

class UsageSourcesTest : public ServerTest {
 protected:
  UsageSourcesTest() {
    server_.emplace(ApiServer::Parts{
        .kinds = kinds_,
        .store = *store_,
        .caches = *caches_,
        .admission = admission_,
        .authenticators = {&administrator_},
        .authorizers = {},
        .actions = {},
        .now = [this] { return now_; },
        .version = {.git_version = "v1.37.0-gantry.test"},
        .sources = {{"nodes.metrics.k8s.io", &nodes_}, {"pods.metrics.k8s.io", &pods_}}});
    EXPECT_EQ(post("/api/v1/nodes", R"({"metadata":{"name":"n1","labels":{"zone":"a"}}})").code, 201);
    EXPECT_EQ(post("/api/v1/nodes", R"({"metadata":{"name":"n2"}})").code, 201);
    make_pod("default", "web", "n1");
    make_pod("default", "other", "n2");
    make_pod("elsewhere", "web", "n1");
    const api::Kind& pods = *kinds_.find_resource("", "v1", "pods");
    EXPECT_TRUE(run(loop_, fresh(pods)));
    EXPECT_TRUE(run(loop_, fresh(*kinds_.find_resource("", "v1", "nodes"))));
    book_.put("n1", reading(1000, 10));
    book_.put("n1", reading(1010, 15));
  }
  Task<bool> fresh(const api::Kind& kind) {
    co_return (co_await caches_->of(kind).fresh(loop_, std::chrono::minutes(1))).has_value();
  }
  void make_pod(const std::string& ns, const std::string& name, const std::string& node) {
    const Answer made =
        post(cat("/api/v1/namespaces/", ns, "/pods"),
             cat(R"({"metadata":{"name":")", name, R"(","labels":{"app":")", name, R"("}},"spec":{"nodeName":")", node,
                 R"(","containers":[{"name":"c","image":"i"}]}})"));
    EXPECT_EQ(made.code, 201) << api::write_json(made.body);
  }
  static TakenReading reading(int at, double cpu) {
    const UsageReading use{.cpu = Measurement{cpu, {}}, .memory = Measurement{2048, {}}, .started = std::nullopt};
    TakenReading taken{.reading = {.node = use, .pods = {}}, .at = seconds(at)};
    for (const char* pod : {"default/web", "default/gone", "default/other", "elsewhere/web"}) {
      taken.reading.pods[pod]["c"] = use;
    }
    return taken;
  }

  UsageBook book_{seconds(15)};
  NodeMetricsSource nodes_{{kinds_, *caches_, book_, [this] { return now_; }}};
  PodMetricsSource pods_{{kinds_, *caches_, book_, [this] { return now_; }}};
};

TEST_F(UsageSourcesTest, OfANode) {
  const Answer node = get(cat(kNodes, "/n1"));
  ASSERT_EQ(node.code, 200);
  EXPECT_EQ(node.text(""), R"({"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1beta1","metadata":{"name":"n1",)"
                           R"("creationTimestamp":"2027-01-15T08:00:00Z","labels":{"zone":"a"}},)"
                           R"("timestamp":"1970-01-01T00:16:50Z","window":"10s",)"
                           R"("usage":{"cpu":"500m","memory":"2Ki"}})");
  const Answer none = get(cat(kNodes, "/n2"));
  EXPECT_EQ(none.code, 404);
  EXPECT_EQ(none.text("message"), "nodemetrics.metrics.k8s.io \"n2\" not found");
  EXPECT_EQ(none.text("details/kind"), "nodemetrics");
}

TEST_F(UsageSourcesTest, OfThePodsThatAreWhereTheyWereMeasured) {
  const Answer all = get(kPods);
  ASSERT_EQ(all.code, 200);
  EXPECT_EQ(all.text("kind"), "PodMetricsList");
  EXPECT_EQ(all.text("metadata"), "{}");
  EXPECT_EQ(all.text("items/0/metadata/namespace"), "default");
  EXPECT_EQ(all.text("items/0/metadata/name"), "web");
  EXPECT_EQ(all.text("items/0/containers"), R"([{"name":"c","usage":{"cpu":"500m","memory":"2Ki"}}])");
  EXPECT_EQ(all.text("items/1/metadata/namespace"), "elsewhere");
  EXPECT_EQ(all.at("items").as_list()->size(), 2u) << "what has no object, or is another node's, is none";
  EXPECT_EQ(get(kPodsOfDefault).at("items").as_list()->size(), 1u);
  EXPECT_EQ(get(cat(kPodsOfDefault, "/other")).code, 404);
  EXPECT_EQ(get(cat(kPodsOfDefault, "/gone")).code, 404);
}

TEST_F(UsageSourcesTest, AreSelected) {
  EXPECT_EQ(get(cat(kPods, "?labelSelector=app%3Dweb")).at("items").as_list()->size(), 2u);
  EXPECT_EQ(get(cat(kPods, "?labelSelector=app%3Dnone")).at("items").as_list()->size(), 0u);
  EXPECT_EQ(get(cat(kPods, "?fieldSelector=metadata.namespace%3Delsewhere")).at("items").as_list()->size(), 1u);
  EXPECT_EQ(get(cat(kPods, "?fieldSelector=spec.nodeName%3Dn1")).code, 400) << "a field of another kind";
  EXPECT_EQ(get(cat(kNodes, "?labelSelector=zone")).at("items").as_list()->size(), 1u);
}

TEST_F(UsageSourcesTest, AreOnlyRead) {
  EXPECT_EQ(get(cat(kPods, "?watch=true")).code, 405);
  EXPECT_EQ(post(kPodsOfDefault, "{}").code, 405);
  EXPECT_EQ(remove(cat(kPodsOfDefault, "/web")).code, 405);
  EXPECT_EQ(remove(kPodsOfDefault).code, 405);
  EXPECT_EQ(get(cat(kPodsOfDefault, "/web/status")).code, 404);
  EXPECT_EQ(get(cat("/apis/metrics.k8s.io/v1/pods/web")).code, 404);
}

TEST_F(UsageSourcesTest, HaveAllForms) {
  const std::string table = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const Answer rows = get(kPods, table);
  EXPECT_EQ(rows.text("columnDefinitions/1/name"), "cpu");
  EXPECT_EQ(rows.text("rows/0/cells"), R"(["web","500m","2Ki","10s"])");
  EXPECT_EQ(get(cat(kNodes, "/n1"), table).text("rows/0/cells"), R"(["n1","500m","2Ki","10s"])");
  http::Request request{
      .method = "GET", .target = kNodes, .headers = {{"Accept", "application/vnd.kubernetes.protobuf"}}};
  const http::Reply list = run(loop_, server_->handle(loop_, std::move(request)));
  EXPECT_EQ(list.response.status, 200);
  const std::string_view bytes = list.response.body_bytes();
  ASSERT_TRUE(bytes.starts_with(std::string_view("k8s\0", 4)));
  EXPECT_NE(bytes.find("NodeMetricsList"), std::string_view::npos);
  EXPECT_NE(bytes.find("500m"), std::string_view::npos);
}

}  // namespace
}  // namespace gantry::control
