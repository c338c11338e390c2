// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "control/scheduler/scheduler_fixture.h"

namespace gantry::control::scheduling {
namespace {

constexpr char kWeb[] = R"({"app": "web"})";
constexpr char kNoAffinity[] = "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.";

// An affinity of `kind` (podAffinity, podAntiAffinity) to pods of app=web by zone.
std::string required(std::string_view kind, std::string_view more = "") {
  return cat(R"({"affinity": {")", kind, R"(": {"requiredDuringSchedulingIgnoredDuringExecution": [
      {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone")", more, "}]}}}");
}
std::string preferred(std::string_view kind) {
  return cat(R"({"affinity": {")", kind, R"(": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100,
      "podAffinityTerm": {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"}}]}}})");
}

// Two nodes in zone a, one in b.
class PodAffinityTest : public testing::Test {
 protected:
  PodAffinityTest() {
    cluster_.add_node("a1", R"({"zone": "a"})");
    cluster_.add_node("a2", R"({"zone": "a"})");
    cluster_.add_node("b1", R"({"zone": "b"})");
  }
  Cluster cluster_;
};

TEST_F(PodAffinityTest, IsNearWhatItHasToBeNearTo) {
  EXPECT_EQ(cluster_.place(make_pod("p", required("podAffinity"))), kNoAffinity);
  cluster_.state.put_pod(make_pod("web", "{}", kWeb), "b1");
  EXPECT_EQ(cluster_.place(make_pod("p", required("podAffinity"))), "b1");
  cluster_.state.remove_pod("default/web");
  cluster_.state.put_pod(make_pod("web", "{}", kWeb, "other"), "b1");
  EXPECT_EQ(cluster_.place(make_pod("p", required("podAffinity"))), kNoAffinity);
  EXPECT_EQ(cluster_.place(make_pod("p", required("podAffinity", R"(, "namespaces": ["other"])"))), "b1");
  EXPECT_EQ(cluster_.place(make_pod("p", required("podAffinity", R"(, "namespaceSelector": {})"))), "b1");
  const std::string by_label = required("podAffinity", R"(, "namespaceSelector": {"matchLabels": {"team": "x"}})");
  EXPECT_EQ(cluster_.place(make_pod("p", by_label)), kNoAffinity);
  cluster_.add_namespace("other", R"({"team": "x"})");
  EXPECT_EQ(cluster_.place(make_pod("p", by_label)), "b1");
}

TEST_F(PodAffinityTest, TheFirstOfItsKindIsNearToNobody) {
  EXPECT_NE(cluster_.place(make_pod("p", required("podAffinity"), kWeb)), kNoAffinity);
  cluster_.state.put_pod(make_pod("web", "{}", kWeb), "b1");
  EXPECT_EQ(cluster_.place(make_pod("p", required("podAffinity"), kWeb)), "b1");
}

TEST_F(PodAffinityTest, IsFarFromWhatItHasToBeFarFrom) {
  cluster_.state.put_pod(make_pod("web", "{}", kWeb), "a1");
  EXPECT_EQ(cluster_.place(make_pod("p", required("podAntiAffinity"))), "b1");
  cluster_.state.put_pod(make_pod("web2", "{}", kWeb), "b1");
  EXPECT_EQ(cluster_.place(make_pod("p", required("podAntiAffinity"))),
            "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.");
}

TEST_F(PodAffinityTest, OthersKeepItAway) {
  cluster_.state.put_pod(make_pod("lonely", required("podAntiAffinity")), "a1");
  EXPECT_EQ(cluster_.place(make_pod("p", "{}", kWeb)), "b1");
  cluster_.state.put_pod(make_pod("lonely2", required("podAntiAffinity")), "b1");
  EXPECT_EQ(cluster_.place(make_pod("p", "{}", kWeb)),
            "0/3 nodes are available: 3 node(s) didn't satisfy existing pods anti-affinity rules.");
  EXPECT_EQ(cluster_.place(make_pod("p", "{}", kWeb, "other")), "a2") << "where most is left";
}

TEST_F(PodAffinityTest, LabelsOfItsOwnAreAsked) {
  cluster_.state.put_pod(make_pod("v1", "{}", R"({"app": "web", "version": "1"})"), "a1");
  const std::string same = required("podAffinity", R"(, "matchLabelKeys": ["version"])");
  EXPECT_EQ(cluster_.place(make_pod("p", same, R"({"version": "2"})")), kNoAffinity);
  EXPECT_EQ(cluster_.place(make_pod("p", same, R"({"version": "1"})")).substr(0, 1), "a");
  const std::string other = required("podAntiAffinity", R"(, "mismatchLabelKeys": ["version"])");
  EXPECT_EQ(cluster_.place(make_pod("p", other, R"({"version": "2"})")), "b1");
}

TEST_F(PodAffinityTest, WishesOfBothSidesCount) {
  cluster_.state.put_pod(make_pod("web", "{}", kWeb), "b1");
  EXPECT_EQ(cluster_.place(make_pod("p", preferred("podAffinity"))), "b1");
  EXPECT_EQ(cluster_.place(make_pod("p", preferred("podAntiAffinity"))).substr(0, 1), "a");
  Cluster others;
  others.add_node("a1", R"({"zone": "a"})");
  others.add_node("b1", R"({"zone": "b"})");
  others.state.put_pod(make_pod("friend", preferred("podAffinity")), "b1");
  EXPECT_EQ(others.place(make_pod("p", "{}", kWeb)), "b1");
  EXPECT_EQ(others.place(make_pod("p")), "a1");
}

}  // namespace
}  // namespace gantry::control::scheduling
