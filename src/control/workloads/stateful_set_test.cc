// SPDX-License-Identifier: Apache-2.0
// StatefulSets against a whole server in this process, the test being the nodes.
#include "control/workloads/stateful_set.h"

#include <gmock/gmock.h>

#include "control/workloads/workload_fixture.h"

namespace gantry::control::workloads {
namespace {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;
using testing::ElementsAre;

constexpr char kSet[] = R"({"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"web","namespace":"default"},
  "spec":{"replicas":2,"serviceName":"svc","selector":{"matchLabels":{"app":"web"}},
          "template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}},
          "volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],
                                   "resources":{"requests":{"storage":"1Gi"}}}}]}})";

class StatefulSetTest : public WorkloadTest {
 protected:
  void change(const std::function<void(apps::StatefulSetSpec*)>& how) {
    for (;;) {
      api::Answer<apps::StatefulSet> live = wait(client_.get<apps::StatefulSet>("default", "web"));
      ASSERT_TRUE(live);
      how(live->mutable_spec());
      const auto done = wait(client_.update(*live));
      if (done) return;
      // Its status was written meanwhile.
      ASSERT_TRUE(done.error().is_conflict()) << done.error().message;
    }
  }
  std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const PodPtr& pod : pods()) out.push_back(pod->metadata().name());
    return out;
  }
  PodPtr find(const std::string& name) { return informers_.of<core::Pod>().find("default", name); }
  std::vector<std::string> claims() {
    std::vector<std::string> out;
    for (const auto& [key, claim] : informers_.of<core::PersistentVolumeClaim>().all()) out.push_back(key);
    return out;
  }
  void ready(const std::string& name) {
    run_until([&] { return find(name) != nullptr; });
    set_ready(find(name));
  }
  apps::StatefulSetStatus status() {
    const auto set = informers_.of<apps::StatefulSet>().find("default", "web");
    return set == nullptr ? apps::StatefulSetStatus() : set->status();
  }
  std::vector<std::string> all_events(const std::string& reason, std::size_t count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (events(reason).size() < count && std::chrono::steady_clock::now() < end) {
    }
    return events(reason);
  }

  StatefulSetController controller_{parts()};
};

TEST_F(StatefulSetTest, PodsAndTheirClaimsComeInOrder) {
  const auto set = make<apps::StatefulSet>(kSet);
  start({&controller_});
  run_until([&] { return status().replicas() == 1; });
  EXPECT_THAT(names(), ElementsAre("web-0"));
  run_until([&] { return claims() == std::vector<std::string>{"default/data-web-0"}; });
  EXPECT_TRUE(is_controlled_by(find("web-0")->metadata(), set.metadata().uid()));
  ready("web-0");
  ready("web-1");
  run_until([&] { return status().available_replicas() == 2; });
  run_until([&] { return claims() == std::vector<std::string>{"default/data-web-0", "default/data-web-1"}; });
  EXPECT_EQ(status().observed_generation(), set.metadata().generation());
  EXPECT_EQ(status().current_revision(), status().update_revision());
  EXPECT_EQ(revision_of(*find("web-1")), status().current_revision());
  EXPECT_THAT(all_events("SuccessfulCreate", 4),
              ElementsAre("create Claim data-web-0 Pod web-0 in StatefulSet web success",
                          "create Claim data-web-1 Pod web-1 in StatefulSet web success",
                          "create Pod web-0 in StatefulSet web successful",
                          "create Pod web-1 in StatefulSet web successful"));
  change([](apps::StatefulSetSpec* spec) { spec->set_replicas(0); });
  run_until([&] { return names().empty() && status().replicas() == 0; });
  EXPECT_EQ(claims().size(), 2U) << "claims stay";
}

TEST_F(StatefulSetTest, ANewTemplateComesFromTheEnd) {
  make<apps::StatefulSet>(kSet);
  start({&controller_});
  ready("web-0");
  ready("web-1");
  run_until([&] { return status().available_replicas() == 2; });
  const std::string old = status().current_revision();
  change([](apps::StatefulSetSpec* spec) {
    spec->mutable_template_()->mutable_spec()->mutable_containers(0)->set_image("i:2");
  });
  run_until([&] {
    return find("web-1") != nullptr && find("web-1")->spec().containers(0).image() == "i:2" &&
           status().updated_replicas() == 1;
  });
  EXPECT_EQ(find("web-0")->spec().containers(0).image(), "i:1");
  EXPECT_EQ(status().current_revision(), old);
  EXPECT_NE(status().update_revision(), old);
  set_ready(find("web-1"));
  run_until([&] { return find("web-0") != nullptr && find("web-0")->spec().containers(0).image() == "i:2"; });
  set_ready(find("web-0"));
  run_until([&] { return status().current_revision() != old; });
  EXPECT_EQ(status().current_replicas(), 2);
  run_until([&] { return informers_.of<apps::ControllerRevision>().all().size() == 2; });
}

TEST_F(StatefulSetTest, ClaimsGoWithPodsThatAreTooMany) {
  auto set = from_json<apps::StatefulSet>(kSet);
  set.mutable_spec()->mutable_persistent_volume_claim_retention_policy()->set_when_scaled("Delete");
  set.mutable_spec()->mutable_persistent_volume_claim_retention_policy()->set_when_deleted("Delete");
  const auto made = wait(client_.create(set));
  ASSERT_TRUE(made) << made.error().message;
  start({&controller_});
  ready("web-0");
  ready("web-1");
  run_until([&] { return status().available_replicas() == 2; });
  const auto owner_of_claim = [&](const std::string& name) {
    const auto claim = informers_.of<core::PersistentVolumeClaim>().find("default", name);
    const OwnerReference* owner = claim == nullptr ? nullptr : controller_of(claim->metadata());
    return owner == nullptr ? std::string() : owner->kind();
  };
  run_until([&] { return owner_of_claim("data-web-1") == "StatefulSet"; });
  change([](apps::StatefulSetSpec* spec) { spec->set_replicas(1); });
  run_until([&] { return find("web-1") == nullptr; });
  run_until([&] { return owner_of_claim("data-web-1") == "Pod"; });
  EXPECT_EQ(owner_of_claim("data-web-0"), "StatefulSet");
  // Nobody collects garbage here: a new pod waits for the claim's end.
  change([](apps::StatefulSetSpec* spec) { spec->set_replicas(2); });
  run_until([&] { return status().observed_generation() == 3; });
  EXPECT_EQ(find("web-1"), nullptr);
  core::PersistentVolumeClaim claim =
      *informers_.of<core::PersistentVolumeClaim>().find("default", "data-web-1");
  claim.mutable_metadata()->clear_finalizers();
  ASSERT_TRUE(wait(client_.update(claim)));
  ASSERT_TRUE(wait(client_.remove<core::PersistentVolumeClaim>("default", "data-web-1")));
  run_until([&] { return find("web-1") != nullptr; });
  run_until([&] { return owner_of_claim("data-web-1") == "StatefulSet"; });
}

TEST_F(StatefulSetTest, AnothersPodIsNotTaken) {
  make<core::Pod>(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-0","namespace":"default"},
                      "spec":{"containers":[{"name":"c","image":"i"}]}})");
  make<apps::StatefulSet>(kSet);
  start({&controller_});
  EXPECT_THAT(all_events("FailedCreate", 1),
              ElementsAre("create Pod web-0 in StatefulSet web failed error: pods \"web-0\" already exists"));
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", "web-0")));
  run_until([&] { return find("web-0") != nullptr; });
}

TEST_F(StatefulSetTest, AnOrphanIsTakenAndToldWhoItIs) {
  make<core::Pod>(R"({"apiVersion":"v1","kind":"Pod",
                      "metadata":{"name":"web-0","namespace":"default","labels":{"app":"web"}},
                      "spec":{"containers":[{"name":"c","image":"i"}]}})");
  make<core::Pod>(R"({"apiVersion":"v1","kind":"Pod",
                      "metadata":{"name":"other","namespace":"default","labels":{"app":"web"}},
                      "spec":{"containers":[{"name":"c","image":"i"}]}})");
  const auto set = make<apps::StatefulSet>(kSet);
  change([](apps::StatefulSetSpec* spec) {
    spec->mutable_update_strategy()->mutable_rolling_update()->set_partition(5);
  });
  start({&controller_});
  run_until([&] { return is_controlled_by(find("web-0")->metadata(), set.metadata().uid()); });
  ready("web-0");
  run_until([&] { return find("web-0")->metadata().labels().contains("apps.kubernetes.io/pod-index"); });
  EXPECT_EQ(controller_of(find("other")->metadata()), nullptr);
}

}  // namespace
}  // namespace gantry::control::workloads
