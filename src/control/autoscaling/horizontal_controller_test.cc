// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/horizontal_controller.h"

#include "control/autoscaling/hpa_status.h"
#include "control/server/client_fixture.h"
#include "kubernetes/autoscaling/v2/autoscaling.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/metrics/v1beta1/metrics.pb.h"

namespace gantry::control::autoscaling {
namespace {

namespace v2 = k8s::io::api::autoscaling::v2;
using PodMetricsMessage = k8s::io::metrics::pkg::apis::metrics::v1beta1::PodMetrics;

constexpr char kSets[] = "/apis/apps/v1/namespaces/default/replicasets";
constexpr char kSet[] = "/apis/apps/v1/namespaces/default/replicasets/web";
constexpr char kPods[] = "/api/v1/namespaces/default/pods";
constexpr char kHpas[] = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
constexpr char kHpa[] = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/web";

// Each pod uses what the test says.
class Measurements final : public ObjectSource {
 public:
  Task<Outcome<std::unique_ptr<api::Message>>> get(Call&) override { co_return fail(no_such_resource()); }
  Task<Outcome<std::vector<std::unique_ptr<api::Message>>>> list(Call& call, const Selection&) override {
    std::vector<std::unique_ptr<api::Message>> all;
    for (const auto& [name, cpu] : of) {
      auto metrics = std::make_unique<PodMetricsMessage>();
      metrics->mutable_metadata()->set_name(name);
      metrics->mutable_metadata()->set_namespace_(call.info.ns);
      metrics->mutable_timestamp()->set_seconds(1'800'000'000);
      metrics->mutable_window()->set_duration(15'000'000'000);
      auto& container = *metrics->add_containers();
      container.set_name("c");
      (*container.mutable_usage())["cpu"].set_string(cpu);
      all.push_back(std::move(metrics));
    }
    co_return all;
  }
  std::map<std::string, std::string> of;
};

class HorizontalControllerTest : public ClientTest {
 protected:
  HorizontalControllerTest() {
    server_.emplace(ApiServer::Parts{.kinds = kinds_,
                                     .store = *store_,
                                     .caches = *caches_,
                                     .admission = admission_,
                                     .authenticators = {&administrator_},
                                     .authorizers = {},
                                     .actions = {},
                                     .now = [this] { return now_; },
                                     .version = {.git_version = "v1.37.0-gantry.test"},
                                     .sources = {{"pods.metrics.k8s.io", &measured_}}});
    EXPECT_EQ(post(kSets, R"({"metadata":{"name":"web"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},
      "template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})")
                  .code,
              201);
    EXPECT_EQ(merge(cat(kSet, "/status"), R"({"status":{"replicas":2}})").code, 200);
    for (const char* name : {"a", "b"}) make_pod(name);
    controller_.emplace(ControllerParts{loop_, client_, informers_, [this] { return now_; }}, Settings{});
    informers_.start_all();
    wait([](api::Informers& informers) -> Task<bool> {
      co_await informers.wait_synced();
      co_return true;
    }(informers_));
    controller_->start();
  }
  void make_pod(const std::string& name) {
    EXPECT_EQ(post(kPods, cat(R"({"metadata":{"name":")", name, R"(","labels":{"app":"web"}},"spec":{"containers":[
      {"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}})"))
                  .code,
              201);
    EXPECT_EQ(merge(cat(kPods, "/", name, "/status"),
                    R"({"status":{"phase":"Running","startTime":"2026-01-01T00:00:00Z","conditions":[
      {"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}})")
                  .code,
              200);
  }
  static std::string hpa(const std::string& name, const std::string& kind = "ReplicaSet",
                         const std::string& metric = R"({"type":"Resource","resource":{"name":"cpu",
      "target":{"type":"Utilization","averageUtilization":50}}})") {
    return cat(R"({"metadata":{"name":")", name, R"("},"spec":{"minReplicas":1,"maxReplicas":10,"scaleTargetRef":
      {"apiVersion":"apps/v1","kind":")", kind, R"(","name":"web"},"metrics":[)", metric, "]}}");
  }
  std::string condition(const std::string& type, const std::string& field, const char* of = kHpa) {
    const Answer found = get(of);
    for (const api::Value& one : found.at("status").list_at("conditions")) {
      if (one.text_at("type") == type) return one.text_at(field);
    }
    return "";
  }
  // The loop runs while the server is asked.
  void until_holds(const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!holds() && std::chrono::steady_clock::now() < end) continue;
    EXPECT_TRUE(holds()) << "what was waited for did not happen: " << get(kHpa).text("status");
  }
  void until(const std::string& type, const std::string& reason, const char* of = kHpa) {
    until_holds([&] { return condition(type, "reason", of) == reason; });
  }
  // It is thought over anew.
  void change(int maximum) {
    EXPECT_EQ(merge(kHpa, cat(R"({"spec":{"maxReplicas":)", maximum, "}}")).code, 200);
    until_holds([this] {
      const Answer found = get(kHpa);
      return found.at("status").find("observedGeneration") != nullptr &&
             found.text("status/observedGeneration") == found.text("metadata/generation");
    });
  }

  Measurements measured_;
  std::optional<HorizontalController> controller_;
};

TEST_F(HorizontalControllerTest, GivesAsManyReplicasAsAreNeeded) {
  measured_.of = {{"a", "900m"}, {"b", "700m"}};
  ASSERT_EQ(post(kHpas, hpa("web")).code, 201);
  until("AbleToScale", "SucceededRescale");
  EXPECT_EQ(get(kSet).text("spec/replicas"), "4");
  const Answer found = get(kHpa);
  EXPECT_EQ(found.text("status/currentReplicas"), "2");
  EXPECT_EQ(found.text("status/desiredReplicas"), "4");
  EXPECT_EQ(found.text("status/observedGeneration"), "1");
  EXPECT_EQ(found.text("status/currentMetrics"),
            R"([{"type":"Resource","resource":{"name":"cpu",)"
            R"("current":{"averageValue":"800m","averageUtilization":80}}}])");
  EXPECT_EQ(found.text("status/lastScaleTime"), "2027-01-15T08:00:00Z");
  EXPECT_EQ(condition("ScalingActive", "message"),
            "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of "
            "request)");
  EXPECT_EQ(condition("ScalingLimited", "reason"), "DesiredWithinRange");
  until_holds([this] {
    for (const api::Value& event : get("/api/v1/namespaces/default/events").body.list_at("items")) {
      if (event.text_at("message") ==
          "New size: 4; reason: cpu resource utilization (percentage of request) above target") {
        return event.text_at("reason") == "SuccessfulRescale";
      }
    }
    return false;
  });
}

TEST_F(HorizontalControllerTest, ChangesNothingWhenItIsNear) {
  measured_.of = {{"a", "500m"}, {"b", "540m"}};
  ASSERT_EQ(post(kHpas, hpa("web")).code, 201);
  until("AbleToScale", "ReadyForNewScale");
  EXPECT_EQ(get(kSet).text("spec/replicas"), "2");
  EXPECT_EQ(get(kHpa).text("status/desiredReplicas"), "2");
}

TEST_F(HorizontalControllerTest, GoesDownWhenItsTimeHasCome) {
  measured_.of = {{"a", "100m"}, {"b", "100m"}};
  ASSERT_EQ(post(kHpas, hpa("web")).code, 201);
  until("AbleToScale", "ScaleDownStabilized");
  EXPECT_EQ(get(kSet).text("spec/replicas"), "2");
  now_.seconds += 301;
  change(9);
  EXPECT_EQ(get(kSet).text("spec/replicas"), "1");
}

TEST_F(HorizontalControllerTest, BoundsGoBeforeMetrics) {
  ASSERT_EQ(merge(kSet, R"({"spec":{"replicas":20}})").code, 200);
  ASSERT_EQ(post(kHpas, hpa("web")).code, 201);
  until("AbleToScale", "SucceededRescale");
  EXPECT_EQ(get(kSet).text("spec/replicas"), "10");
  EXPECT_EQ(condition("ScalingActive", "reason"), "") << "nothing was measured";
}

TEST_F(HorizontalControllerTest, SaysThatNothingIsMeasured) {
  ASSERT_EQ(post(kHpas, hpa("web")).code, 201);
  until("ScalingActive", "FailedGetResourceMetric");
  EXPECT_EQ(condition("ScalingActive", "message"),
            "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for "
            "resource cpu: no metrics returned from resource metrics API");
  EXPECT_EQ(get(kSet).text("spec/replicas"), "2");
}

TEST_F(HorizontalControllerTest, SaysThatThereIsNoSuchMetric) {
  ASSERT_EQ(post(kHpas, hpa("web", "ReplicaSet", R"({"type":"Pods","pods":{"metric":{"name":"requests"},
      "target":{"type":"AverageValue","averageValue":"10"}}})"))
                .code,
            201);
  until("ScalingActive", "FailedGetPodsMetric");
  EXPECT_EQ(condition("ScalingActive", "message"),
            "the HPA was unable to compute the replica count: unable to get metric requests: unable to fetch metrics "
            "from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered");
}

TEST_F(HorizontalControllerTest, SaysThatThereIsNothingToScale) {
  ASSERT_EQ(post(kHpas, hpa("web", "Deployment")).code, 201);
  until("AbleToScale", "FailedGetScale");
  EXPECT_EQ(condition("AbleToScale", "status"), "False");
  EXPECT_EQ(condition("AbleToScale", "message"),
            "the HPA controller was unable to get the target's current scale: deployments.apps \"web\" not found");
  ASSERT_EQ(post(kHpas, hpa("other", "Nothing")).code, 201);
  const std::string other = cat(kHpas, "/other");
  until("AbleToScale", "FailedGetScale", other.c_str());
  EXPECT_EQ(condition("AbleToScale", "message", other.c_str()),
            "the HPA controller was unable to get the target's current scale: no matches for kind \"Nothing\" in group "
            "\"apps\"");
}

TEST_F(HorizontalControllerTest, LeavesAloneWhatWasScaledToNothing) {
  ASSERT_EQ(merge(kSet, R"({"spec":{"replicas":0}})").code, 200);
  ASSERT_EQ(post(kHpas, hpa("web")).code, 201);
  until("ScalingActive", "ScalingDisabled");
  EXPECT_EQ(get(kSet).text("spec/replicas"), "0");
}

TEST_F(HorizontalControllerTest, TwoOfOneTargetDoNothing) {
  measured_.of = {{"a", "500m"}, {"b", "500m"}};
  ASSERT_EQ(post(kHpas, hpa("web")).code, 201);
  until("AbleToScale", "ReadyForNewScale");
  ASSERT_EQ(post(kHpas, hpa("zweb")).code, 201);
  const std::string second = cat(kHpas, "/zweb");
  until("ScalingActive", "AmbiguousSelector", second.c_str());
  EXPECT_EQ(condition("ScalingActive", "message", second.c_str()),
            "pods by selector app=web are controlled by more than one HPA (e.g. [{web default} {zweb default}])");
  ASSERT_EQ(remove(second).code, 200);
  change(9);
  EXPECT_EQ(condition("ScalingActive", "reason"), "ValidMetricFound");
}

TEST(HpaStatus, SpeaksOfSelectorsAsGoDoes) {
  v2::MetricIdentifier metric;
  metric.set_name("requests");
  EXPECT_EQ(identifier_text(metric), "requests(nil)");
  (*metric.mutable_selector()->mutable_match_labels())["a"] = "b";
  EXPECT_EQ(identifier_text(metric),
            "requests(&LabelSelector{MatchLabels:map[string]string{a: b,},"
            "MatchExpressions:[]LabelSelectorRequirement{},})");
  EXPECT_EQ(quantity_text(1024 * 1000, true), "1Ki");
  EXPECT_EQ(quantity_text(1500), "1500m");
}

}  // namespace
}  // namespace gantry::control::autoscaling
