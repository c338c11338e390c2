// SPDX-License-Identifier: Apache-2.0
// How much a namespace may have, and ways around it: LimitRanger, ResourceQuota, RuntimeClass, growing claims.
#include <gmock/gmock.h>

#include "control/bootstrap/security_fixture.h"

namespace gantry::control {
namespace {

using ::testing::HasSubstr;

constexpr char kQuotas[] = "/api/v1/namespaces/default/resourcequotas";
constexpr char kRanges[] = "/api/v1/namespaces/default/limitranges";
constexpr char kClaims[] = "/api/v1/namespaces/default/persistentvolumeclaims";
constexpr char kServices[] = "/api/v1/namespaces/default/services";

class ResourcesTest : public SecurityTest {
 protected:
  ResourcesTest() { make_account("default"); }
  static std::string pod(const std::string& name, const std::string& resources = "{}", const std::string& more = "") {
    return cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")", name,
               R"("},"spec":{"containers":[{"name":"c","image":"i","resources":)", resources, "}]", more, "}}");
  }
  // With the status that the quota controller would give it.
  void make_quota(const std::string& name, const std::string& hard, const std::string& used,
                  const std::string& scopes = "") {
    const std::string head = cat(R"({"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":")", name,
                                 R"("},"spec":{"hard":{)", hard, "}", scopes, "}");
    ASSERT_EQ(post(kQuotas, cat(head, "}")).code, 201);
    ASSERT_EQ(
        put(cat(kQuotas, "/", name, "/status"), cat(head, R"(,"status":{"hard":{)", hard, R"(},"used":{)", used, "}}}"))
            .code,
        200);
  }
  // One of twenty.
  Task<> make(std::string body, int& made, int& refused, Event& all) {
    http::Request request{
        .method = "POST", .target = kPods, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
    request.peer.certificate = certificate_;
    const http::Reply reply = co_await server_->handle(loop_, std::move(request));
    (reply.response.status == 201 ? made : refused) += 1;
    if (made + refused == 20) all.set();
  }
  std::string used(const std::string& name) {
    const Answer quota = get(cat(kQuotas, "/", name));
    EXPECT_EQ(quota.code, 200);
    return quota.in_status("used");
  }
  void make_range(const std::string& limits) {
    ASSERT_EQ(post(kRanges, cat(R"({"apiVersion":"v1","kind":"LimitRange","metadata":{"name":"r"},"spec":{"limits":[)",
                                limits, "]}}"))
                  .code,
              201);
  }
};

// --- LimitRanger ---

TEST_F(ResourcesTest, ARatioOfWhatHasNoRoomForThousandthsIsTaken) {
  make_range(R"({"type":"PersistentVolumeClaim","min":{"storage":"1Pi"},"max":{"storage":"100Pi"},)"
             R"("maxLimitRequestRatio":{"storage":"10"}})");
}

TEST_F(ResourcesTest, ContainersGetTheDefaultsOfTheirNamespace) {
  make_range(R"({"type":"Container","default":{"cpu":"500m"},"defaultRequest":{"cpu":"100m","memory":"64Mi"}})");
  const Answer made =
      post(kPods, pod("web", R"({"requests":{"memory":"1Gi"}})", R"(,"initContainers":[{"name":"i","image":"i"}])"));
  ASSERT_EQ(made.code, 201) << made.body;
  EXPECT_THAT(made.body,
              HasSubstr(R"("resources":{"limits":{"cpu":"500m"},"requests":{"cpu":"100m","memory":"1Gi"}})"));
  EXPECT_THAT(made.body,
              HasSubstr("LimitRanger plugin set: cpu request for container c; cpu limit for container c; cpu, "
                        "memory request for init container i; cpu limit for init container i"));
  EXPECT_THAT(made.body, HasSubstr(R"("qosClass":"Burstable")"));
  EXPECT_THAT(post(kPods, pod("plain")).body, HasSubstr(R"("qosClass":"Burstable")")) << "by what it got";
}

TEST_F(ResourcesTest, LimitsAreKeptByEveryContainer) {
  make_range(R"({"type":"Container","max":{"cpu":"1"},"min":{"cpu":"100m"},"maxLimitRequestRatio":{"cpu":"2"}})");
  const Answer small = post(kPods, pod("a", R"({"requests":{"cpu":"50m"},"limits":{"cpu":"50m"}})"));
  EXPECT_EQ(small.code, 403);
  EXPECT_EQ(small.text("message"),
            R"(pods "a" is forbidden: minimum cpu usage per Container is 100m, but request is 50m)");
  EXPECT_THAT(post(kPods, pod("a", R"({"requests":{"cpu":"2"},"limits":{"cpu":"2"}})")).text("message"),
              HasSubstr("maximum cpu usage per Container is 1, but limit is 2"));
  EXPECT_THAT(post(kPods, pod("a", R"({"requests":{"cpu":"300m"},"limits":{"cpu":"1"}})")).text("message"),
              HasSubstr("cpu max limit to request ratio per Container is 2, but provided ratio is 3.333333"));
  EXPECT_EQ(
      post(kPods, pod("a", "{}", R"(,"initContainers":[{"name":"i","image":"i","resources":{"limits":{"cpu":"3"}}}])"))
          .code,
      403);
  ASSERT_EQ(post(kPods, pod("a", R"({"requests":{"cpu":"500m"},"limits":{"cpu":"1"}})")).code, 201);
  EXPECT_EQ(
      strategic(cat(kPods, "/a/resize"),
                R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"2"},"limits":{"cpu":"2"}}}]}})")
          .code,
      403);
}

TEST_F(ResourcesTest, LimitsOfPodsAndClaims) {
  make_range(R"({"type":"Pod","max":{"memory":"1Gi"}},{"type":"PersistentVolumeClaim","max":{"storage":"1Gi"}})");
  const std::string half = R"({"limits":{"memory":"600Mi"}})";
  EXPECT_EQ(post(kPods, pod("one", half)).code, 201);
  EXPECT_THAT(post(kPods, cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"two"},"spec":{"containers":[)",
                              R"({"name":"a","image":"i","resources":)", half,
                              R"(},{"name":"b","image":"i","resources":)", half, "}]}}"))
                  .text("message"),
              HasSubstr("maximum memory usage per Pod is 1Gi, but limit is 1200Mi"));
  EXPECT_THAT(post(kPods, pod("none")).text("message"),
              HasSubstr("maximum memory usage per Pod is 1Gi.  No limit is specified"));
  const auto claim = [](const std::string& size) {
    return cat(R"({"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"c"},"spec":{"accessModes":)",
               R"(["ReadWriteOnce"],"resources":{"requests":{"storage":")", size, R"("}}}})");
  };
  EXPECT_THAT(post(kClaims, claim("2Gi")).text("message"),
              HasSubstr("maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"));
  EXPECT_EQ(post(kClaims, claim("1Gi")).code, 201);
}

// --- VolumePhases ---

TEST_F(ResourcesTest, AVolumeSaysSinceWhenItIsInItsPhase) {
  const auto since = [](const Answer& answer) {
    const size_t at = answer.body.find("\"lastPhaseTransitionTime\":\"");
    return at == std::string::npos ? std::string() : answer.body.substr(at + 27, 20);
  };
  const std::string volumes = "/api/v1/persistentvolumes";
  const Answer made = post(volumes, R"({"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"v"},"spec":{)"
                                    R"("capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],)"
                                    R"("hostPath":{"path":"/x"}}})");
  ASSERT_EQ(made.code, 201) << made.body;
  EXPECT_EQ(since(made), "2027-01-15T08:00:00Z");
  const auto write = [&](const std::string& status) {
    now_.seconds += 60;
    return merge(volumes + "/v/status", cat(R"({"status":)", status, "}"));
  };
  EXPECT_EQ(since(write(R"({"phase":"Available"})")), "2027-01-15T08:01:00Z") << "the writer left it as it was";
  EXPECT_EQ(since(write(R"({"message":"m"})")), "2027-01-15T08:01:00Z") << "the phase is the same";
  EXPECT_EQ(since(write(R"({"lastPhaseTransitionTime":null})")), "2027-01-15T08:01:00Z");
  EXPECT_EQ(since(write(R"({"phase":"Bound","lastPhaseTransitionTime":"2020-01-02T03:04:05Z"})")),
            "2020-01-02T03:04:05Z");
  EXPECT_EQ(since(write(R"({"phase":"Released","lastPhaseTransitionTime":null})")), "2027-01-15T08:05:00Z");
}

// --- ResourceQuota ---

TEST_F(ResourcesTest, WhatIsMadeIsChargedAndTooMuchIsRefused) {
  make_quota("q", R"("pods":"2","requests.cpu":"1")", R"("pods":"0","requests.cpu":"0")");
  EXPECT_THAT(post(kPods, pod("a")).text("message"),
              HasSubstr(R"(pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c)"));
  EXPECT_EQ(post(kPods, pod("a", R"({"requests":{"cpu":"600m"}})")).code, 201);
  EXPECT_EQ(used("q"), R"({"pods":"1","requests.cpu":"600m"})");
  const Answer refused = post(kPods, pod("b", R"({"requests":{"cpu":"600m"}})"));
  EXPECT_EQ(refused.code, 403);
  EXPECT_EQ(refused.text("message"),
            R"(pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, )"
            R"(limited: requests.cpu=1)");
  EXPECT_EQ(post(cat(kPods, "?dryRun=All"), pod("b", R"({"requests":{"cpu":"400m"}})")).code, 201);
  EXPECT_EQ(post(cat(kPods, "?dryRun=All"), pod("b", R"({"requests":{"cpu":"500m"}})")).code, 403);
  EXPECT_EQ(used("q"), R"({"pods":"1","requests.cpu":"600m"})");
}

TEST_F(ResourcesTest, WhatDoesNotComeToBeIsGivenBack) {
  make_quota("a", R"("pods":"5")", R"("pods":"0")");
  make_quota("b", R"("count/pods":"5")", R"("count/pods":"0")");
  make_quota("full", R"("count/configmaps":"0")", R"("count/configmaps":"0")");
  ASSERT_EQ(post(kPods, pod("web")).code, 201);
  EXPECT_EQ(post(kPods, pod("web")).code, 409);
  EXPECT_EQ(used("a"), R"({"pods":"1"})");
  EXPECT_EQ(used("b"), R"({"count/pods":"1"})");
  const Answer refused = post("/api/v1/namespaces/default/configmaps",
                              R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"}})");
  EXPECT_THAT(refused.text("message"),
              HasSubstr("exceeded quota: full, requested: count/configmaps=1, used: count/configmaps=0, limited: "
                        "count/configmaps=0"));
}

// However many ask at once.
TEST_F(ResourcesTest, ARaceIsNotAWayAroundAQuota) {
  make_quota("q", R"("pods":"5")", R"("pods":"0")");
  int made = 0;
  int refused = 0;
  Event all(loop_);
  for (int i = 0; i < 20; ++i) {
    loop_.spawn(make(pod(cat("p", i)), made, refused, all));
  }
  run(loop_, [](Event& all) -> Task<bool> {
    co_await all.wait();
    co_return true;
  }(all));
  EXPECT_EQ(made, 5);
  EXPECT_EQ(refused, 15);
  EXPECT_EQ(used("q"), R"({"pods":"5"})");
}

TEST_F(ResourcesTest, GrowthIsChargedByUpdatesAndSubresources) {
  make_quota("q", R"("requests.cpu":"2","requests.storage":"10Gi","services.nodeports":"1")",
             R"("requests.cpu":"0","requests.storage":"0","services.nodeports":"0")");
  ASSERT_EQ(post(kPods, pod("a", R"({"requests":{"cpu":"1"}})")).code, 201);
  const auto resize = [this](const std::string& cpu) {
    return strategic(cat(kPods, "/a/resize"),
                     cat(R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":")", cpu, R"("}}}]}})"))
        .code;
  };
  EXPECT_EQ(resize("3"), 403);
  EXPECT_EQ(resize("2"), 200);
  const auto service = [](const std::string& type) {
    return cat(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"type":")", type,
               R"(","selector":{"a":"b"},"ports":[{"name":"a","port":1},{"name":"b","port":2}]}})");
  };
  ASSERT_EQ(post("/apis/networking.k8s.io/v1/servicecidrs",
                 R"({"apiVersion":"networking.k8s.io/v1","kind":"ServiceCIDR","metadata":{"name":"kubernetes"},)"
                 R"("spec":{"cidrs":["10.96.0.0/12"]}})")
                .code,
            201);
  const Answer made = post(kServices, service("ClusterIP"));
  EXPECT_EQ(made.code, 201) << made.body;
  EXPECT_THAT(put(cat(kServices, "/s"), service("NodePort")).text("message"),
              HasSubstr("exceeded quota: q, requested: services.nodeports=2"));
  EXPECT_THAT(used("q"), HasSubstr(R"("requests.cpu":"2")"));
}

TEST_F(ResourcesTest, ScopesSelectWhatIsCharged) {
  make_quota("effort", R"("pods":"0")", R"("pods":"0")", R"(,"scopes":["BestEffort"])");
  EXPECT_EQ(post(kPods, pod("best")).code, 403);
  EXPECT_EQ(post(kPods, pod("some", R"({"requests":{"cpu":"1"}})")).code, 201);
  EXPECT_EQ(used("effort"), R"({"pods":"0"})");
  make_quota("lasting", R"("pods":"0")", R"("pods":"0")", R"(,"scopes":["Terminating"])");
  // With a deadline it would be in the scope.
  EXPECT_EQ(merge(cat(kPods, "/some"), R"({"spec":{"activeDeadlineSeconds":60}})").code, 403);
}

TEST_F(ResourcesTest, AQuotaWhoseStatusIsNotKnownRefuses) {
  make_quota("q", R"("pods":"5")", "");
  EXPECT_THAT(post(kPods, pod("a")).text("message"), HasSubstr("status unknown for quota: q, resources: pods"));
}

// --- RuntimeClass ---

TEST_F(ResourcesTest, APodOfARuntimeClassHasItsOverheadAndGoesToItsNodes) {
  ASSERT_EQ(post("/apis/node.k8s.io/v1/runtimeclasses",
                 R"({"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{"name":"vm"},"handler":"vm",)"
                 R"("overhead":{"podFixed":{"cpu":"250m"}},"scheduling":{"nodeSelector":{"vm":"yes"},"tolerations":)"
                 R"([{"key":"vm","operator":"Exists"}]}})")
                .code,
            201);
  const Answer made = post(kPods, pod("a", "{}", R"(,"runtimeClassName":"vm")"));
  ASSERT_EQ(made.code, 201) << made.body;
  EXPECT_THAT(made.body, HasSubstr(R"("overhead":{"cpu":"250m"})"));
  EXPECT_THAT(made.body, HasSubstr(R"("nodeSelector":{"vm":"yes"})"));
  EXPECT_THAT(made.body, HasSubstr(R"({"key":"vm","operator":"Exists"})"));
  EXPECT_THAT(post(kPods, pod("b", "{}", R"(,"runtimeClassName":"vm","overhead":{"cpu":"1m"})")).text("message"),
              HasSubstr("Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
  EXPECT_THAT(post(kPods, pod("b", "{}", R"(,"runtimeClassName":"vm","nodeSelector":{"vm":"no"})")).text("message"),
              HasSubstr("conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no"));
  EXPECT_THAT(post(kPods, pod("b", "{}", R"(,"runtimeClassName":"none")")).text("message"),
              HasSubstr(R"(pod rejected: RuntimeClass "none" not found)"));
  EXPECT_THAT(post(kPods, pod("b", "{}", R"(,"overhead":{"cpu":"1m"})")).text("message"),
              HasSubstr("Pod Overhead set without corresponding RuntimeClass defined Overhead"));
}

// --- PodTopologyLabels ---

TEST_F(ResourcesTest, APodKnowsTheZoneOfItsNode) {
  ASSERT_EQ(post("/api/v1/nodes", R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n","labels":)"
                                  R"({"topology.kubernetes.io/zone":"z1","other":"x"}}})")
                .code,
            201);
  const Answer made = post(kPods, pod("a", "{}", R"(,"nodeName":"n")"));
  EXPECT_THAT(made.body, HasSubstr(R"("labels":{"topology.kubernetes.io/zone":"z1"})"));
  EXPECT_EQ(post(kPods, pod("b", "{}", R"(,"nodeName":"away")")).code, 201);
}

// --- PersistentVolumeClaimResize ---

TEST_F(ResourcesTest, AClaimGrowsOnlyWhereItsClassAllows) {
  for (const char* name : {"fixed", "growing"}) {
    ASSERT_EQ(post("/apis/storage.k8s.io/v1/storageclasses",
                   cat(R"({"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":")", name,
                       R"("},"provisioner":"example.com/p","allowVolumeExpansion":)",
                       name == std::string_view("growing") ? "true" : "false", "}"))
                  .code,
              201);
    ASSERT_EQ(post(kClaims, cat(R"({"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":")", name,
                                R"("},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":")", name,
                                R"(","resources":{"requests":{"storage":"1Gi"}}}})"))
                  .code,
              201);
    const std::string more = R"({"spec":{"resources":{"requests":{"storage":"2Gi"}}}})";
    EXPECT_EQ(merge(cat(kClaims, "/", name), more).code / 100, 4) << name;
    ASSERT_EQ(merge(cat(kClaims, "/", name), R"({"spec":{"volumeName":"v"}})").code, 200);
    ASSERT_EQ(merge(cat(kClaims, "/", name, "/status"), R"({"status":{"phase":"Bound"}})").code, 200);
    const Answer grown = merge(cat(kClaims, "/", name), more);
    EXPECT_EQ(grown.code, name == std::string_view("growing") ? 200 : 403) << grown.body;
  }
}

}  // namespace
}  // namespace gantry::control
