// SPDX-License-Identifier: Apache-2.0
// Volumes that are folders of nodes, made and deleted, with the binder beside the provisioner, against a whole server in
// this process. The node is played by the test.
#include "control/controllers/local_volumes.h"

#include <algorithm>

#include "api/local_volumes.h"
#include "base/text.h"
#include "control/controllers/volume_binder.h"
#include "control/controllers/volume_protection.h"
#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;
namespace storage = k8s::io::api::storage::v1;

constexpr char kSelected[] = "volume.kubernetes.io/selected-node";

Claim claim(const std::string& name, const std::string& node = {}) {
  Claim made;
  made.mutable_metadata()->set_namespace_("default");
  made.mutable_metadata()->set_name(name);
  if (!node.empty()) (*made.mutable_metadata()->mutable_annotations())[kSelected] = node;
  made.mutable_spec()->add_access_modes("ReadWriteOnce");
  made.mutable_spec()->set_storage_class_name("gantry-local");
  (*made.mutable_spec()->mutable_resources()->mutable_requests())["storage"].set_string("1Gi");
  return made;
}

core::Node node(const std::string& name, const std::string& folder) {
  core::Node made;
  made.mutable_metadata()->set_name(name);
  (*made.mutable_metadata()->mutable_labels())["kubernetes.io/hostname"] = cat("host-", name);
  if (!folder.empty()) (*made.mutable_metadata()->mutable_annotations())[api::kLocalVolumesFolder] = folder;
  return made;
}

TEST(WhyNotLocalTest, WhatCannotBeMadeIsSaid) {
  EXPECT_EQ(why_not_local(claim("c")), "");
  Claim other = claim("c");
  other.mutable_spec()->set_volume_mode("Block");
  EXPECT_NE(why_not_local(other), "");
  other = claim("c");
  other.mutable_spec()->add_access_modes("ReadWriteMany");
  EXPECT_NE(why_not_local(other), "");
  other = claim("c");
  other.mutable_spec()->mutable_selector();
  EXPECT_NE(why_not_local(other), "");
  other = claim("c");
  other.mutable_spec()->mutable_data_source()->set_name("x");
  EXPECT_NE(why_not_local(other), "");
}

class LocalVolumesTest : public ClientTest {
 protected:
  LocalVolumesTest() {
    informers_.of<core::Event>();
    make_class("gantry-local", "Delete", "WaitForFirstConsumer");
    loop_.post([this] { informers_.start_all(); });
    run_until([this] { return informers_.of<Claim>().is_synced() && informers_.of<Volume>().is_synced(); });
    protection_.start();
    binder_.start();
    provisioner_.start();
  }
  template <typename M>
  M make(const M& wanted) {
    api::Answer<M> made = wait(client_.create(wanted));
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : wanted;
  }
  void make_class(const std::string& name, const std::string& policy, const std::string& mode) {
    storage::StorageClass made;
    made.mutable_metadata()->set_name(name);
    made.set_provisioner(api::kLocalProvisioner);
    made.set_reclaim_policy(policy);
    made.set_volume_binding_mode(mode);
    make(made);
  }
  std::shared_ptr<const Claim> claim_now(const std::string& name) {
    return informers_.of<Claim>().find("default", name);
  }
  std::shared_ptr<const Volume> volume_of(const Claim& claim) {
    return informers_.of<Volume>().find("", cat("pvc-", claim.metadata().uid()));
  }
  bool is_bound(const std::string& name) {
    const auto now = claim_now(name);
    return now != nullptr && now->status().phase() == "Bound";
  }
  bool was_said(const std::string& reason, const std::string& part) {
    return std::ranges::any_of(informers_.of<core::Event>().objects(), [&](const auto& event) {
      return event->reason() == reason && event->message().contains(part);
    });
  }
  // As the node does when the folder is gone.
  void take_finalizer_off(const std::string& name) {
    ASSERT_TRUE(wait(client_.patch<Volume>("", name, api::PatchForm::kMerge,
                                           *api::parse_json(R"({"metadata": {"finalizers": null}})"))));
  }

  // Two recorders tell of one object: their events have the time in their names.
  ControllerParts parts_{loop_, client_, informers_, [this] {
                           return api::Timestamp{.seconds = now_.seconds, .nanos = ++nanos_};
                         }};
  int32_t nanos_ = 0;
  VolumeProtectionController protection_{parts_};
  VolumeBinder binder_{parts_};
  LocalVolumeProvisioner provisioner_{parts_};
};

TEST_F(LocalVolumesTest, AClaimGetsAFolderOfTheNodeThatWasChosen) {
  make(node("a", "/srv/volumes"));
  const Claim wanted = make(claim("c", "a"));
  run_until([&] { return is_bound("c"); });
  const auto volume = volume_of(wanted);
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(volume->spec().persistent_volume_source().local().path(), "/srv/volumes/" + volume->metadata().name());
  EXPECT_EQ(volume->spec().capacity().at("storage").string(), "1Gi");
  EXPECT_EQ(volume->spec().persistent_volume_reclaim_policy(), "Delete");
  EXPECT_EQ(volume->metadata().labels().at(api::kLocalVolumeNode), "a");
  EXPECT_EQ(volume->metadata().annotations().at("pv.kubernetes.io/provisioned-by"), api::kLocalProvisioner);
  const auto& term = volume->spec().node_affinity().required().node_selector_terms(0).match_expressions(0);
  EXPECT_EQ(term.key(), "kubernetes.io/hostname");
  EXPECT_EQ(term.values(0), "host-a");
  run_until([&] {
    const auto now = informers_.of<core::Node>().find("", "a");
    return now != nullptr && now->metadata().annotations().contains(api::kHasLocalVolumes);
  });
  // With the claim the volume goes, as soon as the node says that its folder has gone.
  ASSERT_TRUE(wait(client_.patch<Claim>("default", "c", api::PatchForm::kMerge,
                                        *api::parse_json(R"({"metadata": {"finalizers": null}})"))));
  ASSERT_TRUE(wait(client_.remove<Claim>("default", "c")));
  const std::string name = volume->metadata().name();
  run_until([&] {
    const auto now = informers_.of<Volume>().find("", name);
    return now != nullptr && now->metadata().has_deletion_timestamp() && now->metadata().finalizers_size() == 1;
  });
  take_finalizer_off(name);
  run_until([&] { return informers_.of<Volume>().find("", name) == nullptr; });
}

TEST_F(LocalVolumesTest, ANodeThatMakesNoneIsDeclined) {
  make(node("bare", ""));
  make(claim("c", "bare"));
  make(claim("d", "nowhere"));
  run_until([&] {
    return claim_now("c") != nullptr && !claim_now("c")->metadata().annotations().contains(kSelected) &&
           claim_now("d") != nullptr && !claim_now("d")->metadata().annotations().contains(kSelected);
  });
  run_until([&] {
    return was_said("ProvisioningFailed", "node \"bare\" makes no volumes") &&
           was_said("ProvisioningFailed", "node \"nowhere\" not found");
  });
  EXPECT_TRUE(informers_.of<Volume>().objects().empty());
}

TEST_F(LocalVolumesTest, WhatIsRetainedStays) {
  make_class("kept", "Retain", "WaitForFirstConsumer");
  make(node("a", "/srv/volumes"));
  Claim wanted = claim("c", "a");
  wanted.mutable_spec()->set_storage_class_name("kept");
  wanted = make(wanted);
  run_until([&] { return is_bound("c"); });
  ASSERT_TRUE(wait(client_.patch<Claim>("default", "c", api::PatchForm::kMerge,
                                        *api::parse_json(R"({"metadata": {"finalizers": null}})"))));
  ASSERT_TRUE(wait(client_.remove<Claim>("default", "c")));
  run_until([&] { return volume_of(wanted)->status().phase() == "Released"; });
  make(claim("later", "a"));
  run_until([&] { return is_bound("later"); });
  EXPECT_FALSE(volume_of(wanted)->metadata().has_deletion_timestamp());
}

TEST_F(LocalVolumesTest, VolumesOfANodeThatIsGoneCanGo) {
  make(node("a", "/srv/volumes"));
  const Claim wanted = make(claim("c", "a"));
  run_until([&] { return is_bound("c"); });
  ASSERT_TRUE(wait(client_.patch<Claim>("default", "c", api::PatchForm::kMerge,
                                        *api::parse_json(R"({"metadata": {"finalizers": null}})"))));
  ASSERT_TRUE(wait(client_.remove<Claim>("default", "c")));
  run_until([&] { return volume_of(wanted) != nullptr && volume_of(wanted)->metadata().has_deletion_timestamp(); });
  ASSERT_TRUE(wait(client_.remove<core::Node>("", "a")));
  run_until([&] { return volume_of(wanted) == nullptr; });
}

TEST_F(LocalVolumesTest, AClassHasToWaitForTheFirstPod) {
  make_class("at-once", "Delete", "Immediate");
  Claim wanted = claim("c");
  wanted.mutable_spec()->set_storage_class_name("at-once");
  make(wanted);
  run_until([&] { return was_said("ProvisioningFailed", "needs volumeBindingMode: WaitForFirstConsumer"); });
}

}  // namespace
}  // namespace gantry::control
