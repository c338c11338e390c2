// SPDX-License-Identifier: Apache-2.0
// Pods that nobody else deletes, against a whole server in this process.
#include "control/controllers/pod_gc.h"

#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;

class PodGcTest : public ClientTest {
 protected:
  void start() {
    loop_.post([this] { informers_.start_all(); });
    run_until([&] { return informers_.of<core::Pod>().is_synced() && informers_.of<core::Node>().is_synced(); });
    gc_.start();
  }
  core::Pod make(const std::string& name, const std::string& node, const std::string& phase = "Running",
                 bool held = false) {
    core::Pod pod;
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_name(name);
    if (held) pod.mutable_metadata()->add_finalizers("example.com/holds");
    pod.mutable_spec()->set_node_name(node);
    core::Container* container = pod.mutable_spec()->add_containers();
    container->set_name("c");
    container->set_image("i");
    api::Answer<core::Pod> made = wait(client_.create(pod));
    EXPECT_TRUE(made) << made.error().message;
    made->mutable_status()->set_phase(phase);
    api::Answer<core::Pod> told = wait(client_.update_status(*made));
    EXPECT_TRUE(told) << told.error().message;
    return *told;
  }
  void make_node(const std::string& name, bool out_of_service = false) {
    core::Node node;
    node.mutable_metadata()->set_name(name);
    if (out_of_service) {
      core::Taint* taint = node.mutable_spec()->add_taints();
      taint->set_key("node.kubernetes.io/out-of-service");
      taint->set_effect("NoExecute");
    }
    ASSERT_TRUE(wait(client_.create(node)));
  }
  std::shared_ptr<const core::Pod> find(const std::string& name) {
    return informers_.of<core::Pod>().find("default", name);
  }

  PodGc gc_{
      {loop_, client_, informers_, [this] { return now_; }},
      {.period = std::chrono::milliseconds(2), .quarantine = std::chrono::milliseconds(5), .terminated_limit = 2}};
};

TEST_F(PodGcTest, PodsOfANodeThatIsNoMoreFailAndGo) {
  make_node("there");
  make("stays", "there");
  make("lost", "missing", "Running", true);
  make("gone", "missing");
  start();
  run_until([&] { return find("gone") == nullptr && find("lost")->metadata().has_deletion_timestamp(); });
  EXPECT_EQ(find("lost")->status().phase(), "Failed");
  ASSERT_EQ(find("lost")->status().conditions_size(), 1);
  EXPECT_EQ(find("lost")->status().conditions(0).reason(), "DeletionByPodGC");
  EXPECT_FALSE(find("stays")->metadata().has_deletion_timestamp());
}

TEST_F(PodGcTest, PodsOfANodeThatIsOutOfServiceAreNotWaitedFor) {
  make_node("off", true);
  make("ending", "off");
  make("stays", "off");
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", "ending")));
  start();
  run_until([&] { return find("ending") == nullptr; });
  EXPECT_NE(find("stays"), nullptr);
}

TEST_F(PodGcTest, OfThoseThatHaveEndedTheOldestGo) {
  make_node("there");
  for (const char* name : {"a", "b", "c", "d"}) {
    make(name, "there", "Succeeded");
    ++now_.seconds;
  }
  start();
  run_until([&] { return find("a") == nullptr && find("b") == nullptr; });
  EXPECT_NE(find("c"), nullptr);
  EXPECT_NE(find("d"), nullptr);
}

}  // namespace
}  // namespace gantry::control
