// SPDX-License-Identifier: Apache-2.0
// Claims of ephemeral volumes, against a whole server in this process.
#include "control/controllers/ephemeral_volumes.h"

#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;

class EphemeralVolumesTest : public ClientTest {
 protected:
  using Claim = core::PersistentVolumeClaim;

  void start() {
    loop_.post([this] { informers_.start_all(); });
    run_until([&] { return informers_.of<core::Pod>().is_synced() && claims().is_synced(); });
    controller_.start();
  }
  api::InformerOf<Claim>& claims() { return informers_.of<Claim>(); }
  std::shared_ptr<const Claim> find(const std::string& name) { return claims().find("default", name); }

  static void ask(core::PersistentVolumeClaimSpec* spec) {
    spec->add_access_modes("ReadWriteOnce");
    (*spec->mutable_resources()->mutable_requests())["storage"].set_string("1Gi");
  }
  void make_pod(const std::string& name) {
    core::Pod pod;
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_name(name);
    core::Container* container = pod.mutable_spec()->add_containers();
    container->set_name("c");
    container->set_image("i");
    for (const char* volume_name : {"data", "more"}) {
      core::Volume* volume = pod.mutable_spec()->add_volumes();
      volume->set_name(volume_name);
      auto& wanted = *volume->mutable_volume_source()->mutable_ephemeral()->mutable_volume_claim_template();
      (*wanted.mutable_metadata()->mutable_labels())["of"] = volume_name;
      ask(wanted.mutable_spec());
    }
    const api::Answer<core::Pod> made = wait(client_.create(pod));
    ASSERT_TRUE(made) << made.error().message;
  }

  EphemeralVolumes controller_{{loop_, client_, informers_, [this] { return now_; }}};
};

TEST_F(EphemeralVolumesTest, EachVolumeGetsAClaimThatIsThePods) {
  start();
  make_pod("web");
  run_until([&] { return find("web-data") != nullptr && find("web-more") != nullptr; });
  const auto claim = find("web-data");
  EXPECT_EQ(claim->metadata().labels().at("of"), "data");
  EXPECT_EQ(claim->spec().resources().requests().at("storage").string(), "1Gi");
  ASSERT_EQ(claim->metadata().owner_references_size(), 1);
  const auto& owner = claim->metadata().owner_references(0);
  EXPECT_EQ(owner.uid(), informers_.of<core::Pod>().find("default", "web")->metadata().uid());
  EXPECT_TRUE(owner.controller() && owner.block_owner_deletion());
}

TEST_F(EphemeralVolumesTest, AClaimOfSomebodyElseIsLeftAloneUntilItHasGone) {
  Claim others;
  others.mutable_metadata()->set_namespace_("default");
  others.mutable_metadata()->set_name("web-data");
  ask(others.mutable_spec());
  ASSERT_TRUE(wait(client_.create(others)));
  start();
  make_pod("web");
  make_pod("other");
  run_until([&] { return find("other-more") != nullptr; });
  EXPECT_EQ(find("web-data")->metadata().owner_references_size(), 0);
  ASSERT_TRUE(wait(client_.patch<Claim>("default", "web-data", api::PatchForm::kMerge,
                                        *api::parse_json(R"({"metadata": {"finalizers": null}})"))));
  ASSERT_TRUE(wait(client_.remove<Claim>("default", "web-data")));
  run_until([&] {
    const auto now = find("web-data");
    return now != nullptr && now->metadata().owner_references_size() == 1 && find("web-more") != nullptr;
  });
}

}  // namespace
}  // namespace gantry::control
