// SPDX-License-Identifier: Apache-2.0
// Claims and volumes that are in use, against a whole server in this process.
#include "control/controllers/volume_protection.h"

#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;

class VolumeProtectionTest : public ClientTest {
 protected:
  ControllerParts parts() {
    return {loop_, client_, informers_, [this] { return now_; }};
  }
  template <typename M>
  void make(const M& object) {
    api::Answer<M> made = wait(client_.create(object));
    ASSERT_TRUE(made) << made.error().message;
  }
  void start(Controller& controller) {
    loop_.post([this] { informers_.start_all(); });
    controller.start();
  }
};

core::PersistentVolumeClaim claim(const std::string& name) {
  core::PersistentVolumeClaim object;
  object.mutable_metadata()->set_namespace_("default");
  object.mutable_metadata()->set_name(name);
  object.mutable_metadata()->add_finalizers("kubernetes.io/pvc-protection");
  object.mutable_spec()->add_access_modes("ReadWriteOnce");
  (*object.mutable_spec()->mutable_resources()->mutable_requests())["storage"].set_string("1Gi");
  return object;
}

core::Pod pod(const std::string& name, const std::string& claim_name, const std::string& node) {
  core::Pod pod;
  pod.mutable_metadata()->set_namespace_("default");
  pod.mutable_metadata()->set_name(name);
  pod.mutable_spec()->set_node_name(node);
  core::Container* container = pod.mutable_spec()->add_containers();
  container->set_name("c");
  container->set_image("i");
  core::Volume* volume = pod.mutable_spec()->add_volumes();
  volume->set_name("data");
  volume->mutable_volume_source()->mutable_persistent_volume_claim()->set_claim_name(claim_name);
  return pod;
}

TEST_F(VolumeProtectionTest, AClaimOutlivesThePodThatUsesIt) {
  ClaimProtectionController controller(parts());
  auto& claims = informers_.of<core::PersistentVolumeClaim>();
  for (const char* name : {"used", "waited-for", "free"}) make(claim(name));
  make(pod("web", "used", "n1"));
  make(pod("unplaced", "waited-for", ""));
  start(controller);
  run_until([&] { return claims.all().size() == 3 && informers_.of<core::Pod>().all().size() == 2; });
  for (const char* name : {"used", "waited-for", "free"}) {
    ASSERT_TRUE(wait(client_.remove<core::PersistentVolumeClaim>("default", name)));
  }
  const auto is_gone = [&](const char* name) { return claims.find("default", name) == nullptr; };
  run_until([&] { return is_gone("free") && is_gone("waited-for"); });
  ASSERT_NE(claims.find("default", "used"), nullptr);
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", "web", {.grace_period = 0})));
  run_until([&] { return claims.find("default", "used") == nullptr; });
}

TEST_F(VolumeProtectionTest, AVolumeThatIsNotBoundGoes) {
  VolumeProtectionController controller(parts());
  core::PersistentVolume volume;
  volume.mutable_metadata()->set_name("v");
  volume.mutable_metadata()->add_finalizers("kubernetes.io/pv-protection");
  volume.mutable_spec()->add_access_modes("ReadWriteOnce");
  (*volume.mutable_spec()->mutable_capacity())["storage"].set_string("1Gi");
  volume.mutable_spec()->mutable_persistent_volume_source()->mutable_host_path()->set_path("/tmp/v");
  make(volume);
  start(controller);
  run_until([&] { return informers_.of<core::PersistentVolume>().find("", "v") != nullptr; });
  ASSERT_TRUE(wait(client_.remove<core::PersistentVolume>("", "v")));
  run_until([&] { return informers_.of<core::PersistentVolume>().find("", "v") == nullptr; });
}

}  // namespace
}  // namespace gantry::control
