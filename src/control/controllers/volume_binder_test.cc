// SPDX-License-Identifier: Apache-2.0
// Claims and volumes that find each other, against a whole server in this process.
#include "control/controllers/volume_binder.h"

#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;
namespace storage = k8s::io::api::storage::v1;

Volume volume(const std::string& name, const std::string& size, const std::string& of_class,
              const std::vector<std::string>& modes = {"ReadWriteOnce"}) {
  Volume made;
  made.mutable_metadata()->set_name(name);
  for (const std::string& mode : modes) made.mutable_spec()->add_access_modes(mode);
  (*made.mutable_spec()->mutable_capacity())["storage"].set_string(size);
  made.mutable_spec()->set_storage_class_name(of_class);
  made.mutable_spec()->mutable_persistent_volume_source()->mutable_host_path()->set_path("/srv/" + name);
  return made;
}

Claim claim(const std::string& name, const std::string& size, const std::string& of_class) {
  Claim made;
  made.mutable_metadata()->set_namespace_("default");
  made.mutable_metadata()->set_name(name);
  made.mutable_spec()->add_access_modes("ReadWriteOnce");
  made.mutable_spec()->set_storage_class_name(of_class);
  (*made.mutable_spec()->mutable_resources()->mutable_requests())["storage"].set_string(size);
  return made;
}

class VolumeBinderTest : public ClientTest {
 protected:
  VolumeBinderTest() {
    informers_.of<core::Event>();
    loop_.post([this] { informers_.start_all(); });
    binder_.start();
  }
  template <typename M>
  M make(const M& wanted) {
    api::Answer<M> made = wait(client_.create(wanted));
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : wanted;
  }
  std::shared_ptr<const Claim> claim_now(const std::string& name) {
    return informers_.of<Claim>().find("default", name);
  }
  std::shared_ptr<const Volume> volume_now(const std::string& name) { return informers_.of<Volume>().find("", name); }
  bool is_bound(const std::string& name, const std::string& to) {
    const auto now = claim_now(name);
    return now != nullptr && now->status().phase() == "Bound" && now->spec().volume_name() == to;
  }
  bool has_phase(const std::string& name, const std::string& phase) {
    const auto now = volume_now(name);
    return now != nullptr && now->status().phase() == phase;
  }
  bool was_said(const std::string& reason) {
    const auto events = informers_.of<core::Event>().objects();
    return std::ranges::any_of(events, [&](const auto& event) { return event->reason() == reason; });
  }

  VolumeBinder binder_{{loop_, client_, informers_, [this] { return now_; }}};
};

TEST_F(VolumeBinderTest, AClaimGetsTheSmallestVolumeThatFits) {
  make(volume("large", "10Gi", "slow"));
  make(volume("small", "1Gi", "slow"));
  make(volume("tiny", "100Mi", "slow"));
  make(volume("other", "500Mi", "fast"));
  run_until([&] { return has_phase("large", "Available") && has_phase("small", "Available"); });
  make(claim("c", "500Mi", "slow"));
  run_until([&] { return is_bound("c", "small") && has_phase("small", "Bound"); });
  const auto bound = claim_now("c");
  EXPECT_EQ(bound->metadata().annotations().at("pv.kubernetes.io/bind-completed"), "yes");
  EXPECT_EQ(bound->metadata().annotations().at("pv.kubernetes.io/bound-by-controller"), "yes");
  EXPECT_EQ(bound->status().capacity().at("storage").string(), "1Gi");
  EXPECT_EQ(volume_now("small")->spec().claim_ref().uid(), bound->metadata().uid());
}

TEST_F(VolumeBinderTest, AVolumeThatComesLaterIsTaken) {
  make(claim("c", "1Gi", ""));
  run_until([&] { return was_said("FailedBinding"); });
  EXPECT_EQ(claim_now("c")->status().phase(), "Pending");
  make(volume("v", "1Gi", ""));
  run_until([&] { return is_bound("c", "v"); });
}

TEST_F(VolumeBinderTest, EachVolumeHasOneClaim) {
  for (const char* name : {"a", "b", "c"}) make(claim(name, "1Gi", "slow"));
  for (const char* name : {"x", "y"}) make(volume(name, "1Gi", "slow"));
  run_until([&] { return has_phase("x", "Bound") && has_phase("y", "Bound"); });
  const auto bound = [&] {
    int count = 0;
    for (const char* name : {"a", "b", "c"}) count += is_bound(name, "x") || is_bound(name, "y") ? 1 : 0;
    return count;
  };
  run_until([&] { return bound() == 2; });
}

TEST_F(VolumeBinderTest, ByHandFromEitherSide) {
  Volume reserved = volume("reserved", "1Gi", "slow");
  reserved.mutable_spec()->mutable_claim_ref()->set_namespace_("default");
  reserved.mutable_spec()->mutable_claim_ref()->set_name("chosen");
  make(reserved);
  make(volume("named", "5Gi", "slow"));
  run_until([&] { return has_phase("reserved", "Available") && has_phase("named", "Available"); });
  Claim naming = claim("naming", "1Gi", "slow");
  naming.mutable_spec()->set_volume_name("named");
  make(naming);
  make(claim("chosen", "1Gi", "slow"));
  run_until([&] { return is_bound("naming", "named") && is_bound("chosen", "reserved"); });
  EXPECT_FALSE(claim_now("naming")->metadata().annotations().contains("pv.kubernetes.io/bound-by-controller"));
  EXPECT_FALSE(volume_now("reserved")->metadata().annotations().contains("pv.kubernetes.io/bound-by-controller"));
}

TEST_F(VolumeBinderTest, WhatDoesNotFitIsSaid) {
  make(volume("v", "1Gi", "slow"));
  Claim naming = claim("naming", "2Gi", "slow");
  naming.mutable_spec()->set_volume_name("v");
  make(naming);
  run_until([&] { return was_said("VolumeMismatch"); });
  make(claim("nowhere", "1Gi", "missing"));
  run_until([&] { return was_said("ProvisioningFailed"); });
}

TEST_F(VolumeBinderTest, SomeWaitForTheirFirstConsumer) {
  storage::StorageClass late;
  late.mutable_metadata()->set_name("late");
  late.set_provisioner("example.com/disks");
  late.set_volume_binding_mode("WaitForFirstConsumer");
  make(late);
  run_until([&] { return informers_.of<storage::StorageClass>().find("", "late") != nullptr; });
  make(volume("v", "1Gi", "late"));
  make(claim("c", "1Gi", "late"));
  run_until([&] { return was_said("WaitForFirstConsumer") && has_phase("v", "Available"); });
  const api::Value chosen = api::Value::object(
      {{"metadata",
        api::Value::object({{"annotations", api::Value::object({{"volume.kubernetes.io/selected-node", "n1"}})}})}});
  ASSERT_TRUE(wait(client_.patch<Claim>("default", "c", api::PatchForm::kMerge, chosen)));
  run_until([&] { return is_bound("c", "v"); });
}

TEST_F(VolumeBinderTest, ProvisionersAreTold) {
  storage::StorageClass disks;
  disks.mutable_metadata()->set_name("disks");
  disks.set_provisioner("example.com/disks");
  make(disks);
  run_until([&] { return informers_.of<storage::StorageClass>().find("", "disks") != nullptr; });
  make(claim("c", "1Gi", "disks"));
  run_until([&] {
    return claim_now("c") &&
           claim_now("c")->metadata().annotations().contains("volume.kubernetes.io/storage-provisioner");
  });
  run_until([&] { return was_said("ExternalProvisioning"); });
}

TEST_F(VolumeBinderTest, AVolumeOutlivesItsClaim) {
  for (const auto& [name, policy] : {std::pair{"kept", "Retain"}, {"deleted", "Delete"}, {"recycled", "Recycle"}}) {
    Volume one = volume(name, "1Gi", name);
    one.mutable_spec()->set_persistent_volume_reclaim_policy(policy);
    make(one);
    make(claim(name, "1Gi", name));
    run_until([&] { return is_bound(name, name); });
    ASSERT_TRUE(wait(client_.remove<Claim>("default", name)));
  }
  run_until([&] { return has_phase("kept", "Released"); });
  run_until([&] { return has_phase("deleted", "Failed") && was_said("VolumeFailedDelete"); });
  run_until([&] { return has_phase("recycled", "Failed") && was_said("VolumeFailedRecycle"); });
  EXPECT_FALSE(volume_now("deleted")->status().message().empty());
}

TEST_F(VolumeBinderTest, AClaimWithoutItsVolumeIsLost) {
  make(volume("v", "1Gi", "slow"));
  make(claim("c", "1Gi", "slow"));
  run_until([&] { return is_bound("c", "v"); });
  ASSERT_TRUE(wait(client_.remove<Volume>("", "v")));
  run_until([&] { return claim_now("c")->status().phase() == "Lost" && was_said("ClaimLost"); });
}

}  // namespace
}  // namespace gantry::control
