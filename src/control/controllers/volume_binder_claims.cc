// SPDX-License-Identifier: Apache-2.0
// Claims: finding each a volume, and what is said while there is none.
#include "base/text.h"
#include "control/controllers/volume_binder.h"
#include "control/controllers/volume_binder_names.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::control {

namespace storage = k8s::io::api::storage::v1;

namespace {

constexpr char kBetaProvisioner[] = "volume.beta.kubernetes.io/storage-provisioner";
constexpr char kClassAnnotation[] = "volume.beta.kubernetes.io/storage-class";
constexpr char kDefaultClass[] = "storageclass.kubernetes.io/is-default-class";

}  // namespace

VolumeBinder::VolumeBinder(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, "persistentvolume-controller"),
      claims_(parts_.queues(), "persistentvolume-binder-claims", [this](std::string key) { return work_claim(key); }),
      volumes_(parts_.queues(), "persistentvolume-binder", [this](std::string name) { return work_volume(name); }) {
  auto& volumes = parts_.informers.of<Volume>();
  volumes.add_index(kByClaim, [](const api::Message& message) -> std::vector<std::string> {
    const auto& spec = static_cast<const Volume&>(message).spec();
    if (!spec.has_claim_ref()) return {};
    return {api::object_key(spec.claim_ref().namespace_(), spec.claim_ref().name())};
  });
  volumes.on_change([this](const api::Informer::Change& change) {
    const auto& volume = static_cast<const Volume&>(change.object());
    volumes_.add(volume.metadata().name());
    if (volume.spec().has_claim_ref()) {
      claims_.add(api::object_key(volume.spec().claim_ref().namespace_(), volume.spec().claim_ref().name()));
    }
    const std::string of_class = class_of(volume);
    add_unbound_claims(&of_class);
  });
  parts_.informers.of<Claim>().on_change([this](const api::Informer::Change& change) {
    const auto& claim = static_cast<const Claim&>(change.object());
    const std::string key = api::object_key(claim.metadata().namespace_(), claim.metadata().name());
    claims_.add(key);
    if (!claim.spec().volume_name().empty()) volumes_.add(claim.spec().volume_name());
    for (const VolumePtr& volume : parts_.informers.of<Volume>().by(kByClaim, key)) {
      volumes_.add(volume->metadata().name());
    }
  });
  parts_.informers.of<storage::StorageClass>().on_change(
      [this](const api::Informer::Change&) { add_unbound_claims(nullptr); });
}

void VolumeBinder::start() {
  is_started_ = true;
  claims_.start();
  volumes_.start();
}

void VolumeBinder::add_unbound_claims(const std::string* of_class) {
  if (!is_started_) return;  // each comes by itself
  for (const auto& claim : parts_.informers.of<Claim>().objects()) {
    if (has_annotation(*claim, kBindCompleted)) continue;
    if (of_class != nullptr && class_of(*claim) != *of_class) continue;
    claims_.add(api::object_key(claim->metadata().namespace_(), claim->metadata().name()));
  }
}

Task<Status> VolumeBinder::work_claim(std::string key) {
  const auto claim = parts_.informers.of<Claim>().find_key(key);
  if (claim == nullptr) co_return Status();
  if (has_annotation(*claim, kBindCompleted)) co_return co_await keep_bound(*claim);
  if (claim->metadata().has_deletion_timestamp()) co_return Status();
  if (claim->spec().volume_name().empty()) co_return co_await bind_any(*claim);
  co_return co_await bind_named(*claim);
}

bool VolumeBinder::waits_for_consumer(const Claim& claim) const {
  if (has_annotation(claim, kSelectedNode)) return false;
  const auto found = parts_.informers.of<storage::StorageClass>().find("", class_of(claim));
  return found != nullptr && found->volume_binding_mode() == "WaitForFirstConsumer";
}

// Of several the newest, as upstream's.
std::string VolumeBinder::default_class() const {
  std::shared_ptr<const storage::StorageClass> best;
  for (const auto& one : parts_.informers.of<storage::StorageClass>().objects()) {
    const auto& annotations = one->metadata().annotations();
    const auto found = annotations.find(kDefaultClass);
    if (found == annotations.end() || found->second != "true") continue;
    const int64_t made = one->metadata().creation_timestamp().seconds();
    if (best == nullptr || made > best->metadata().creation_timestamp().seconds()) best = one;
  }
  return best == nullptr ? std::string() : best->metadata().name();
}

Task<Status> VolumeBinder::bind_any(Claim claim) {
  const bool waits = waits_for_consumer(claim);
  const VolumePtr volume = find_volume(parts_.informers.of<Volume>().objects(), claim, waits);
  if (volume != nullptr) co_return co_await bind(*volume, std::move(claim));
  if (!claim.spec().has_storage_class_name() && !has_annotation(claim, kClassAnnotation)) {
    if (const std::string name = default_class(); !name.empty()) {
      claim.mutable_spec()->set_storage_class_name(name);
      co_return done_or_gone(co_await parts_.client.update(claim));
    }
  }
  const std::string of_class = class_of(claim);
  if (waits) {
    events_.normal(events_.about(claim), "WaitForFirstConsumer",
                   "waiting for first consumer to be created before binding");
  } else if (!of_class.empty()) {
    if (Status done = co_await provision(claim); !done) co_return done;
  } else {
    events_.normal(events_.about(claim), "FailedBinding",
                   "no persistent volumes available for this claim and no storage class is set");
  }
  co_return co_await set_claim_phase(std::move(claim), "Pending", nullptr);
}

// A volume is made by somebody else, who is told by an annotation that it is wanted.
Task<Status> VolumeBinder::provision(Claim claim) {
  const std::string of_class = class_of(claim);
  const auto found = parts_.informers.of<storage::StorageClass>().find("", of_class);
  if (found == nullptr) {
    events_.warning(events_.about(claim), "ProvisioningFailed",
                    cat("storageclass.storage.k8s.io \"", of_class, "\" not found"));
    co_return Status();
  }
  const std::string provisioner = found->provisioner();
  if (provisioner.starts_with("kubernetes.io/")) {
    events_.warning(events_.about(claim), "ProvisioningFailed", cat("no volume plugin matched name: ", provisioner));
    co_return Status();
  }
  events_.normal(events_.about(claim), "ExternalProvisioning",
                 cat("Waiting for a volume to be created either by the external provisioner '", provisioner,
                     "' or manually by the system administrator. If volume creation is delayed, please verify that the "
                     "provisioner is running and correctly registered."));
  auto& annotations = *claim.mutable_metadata()->mutable_annotations();
  if (annotations[kProvisioner] == provisioner && annotations[kBetaProvisioner] == provisioner) co_return Status();
  annotations[kProvisioner] = provisioner;
  annotations[kBetaProvisioner] = provisioner;
  co_return done_or_gone(co_await parts_.client.update(claim));
}

Task<Status> VolumeBinder::bind_named(Claim claim) {
  const VolumePtr volume = parts_.informers.of<Volume>().find("", claim.spec().volume_name());
  if (volume == nullptr) co_return co_await set_claim_phase(std::move(claim), "Pending", nullptr);
  if (is_bound_to(*volume, claim)) co_return co_await bind(*volume, std::move(claim));
  const std::string name = cat("\"", volume->metadata().name(), "\"");
  if (volume->spec().has_claim_ref()) {
    events_.warning(events_.about(claim), "FailedBinding",
                    cat("volume ", name, " already bound to a different claim."));
    co_return co_await set_claim_phase(std::move(claim), "Pending", nullptr);
  }
  if (const std::string why = mismatch(*volume, claim); !why.empty()) {
    events_.warning(events_.about(claim), "VolumeMismatch", cat("Cannot bind to requested volume ", name, ": ", why));
    co_return co_await set_claim_phase(std::move(claim), "Pending", nullptr);
  }
  co_return co_await bind(*volume, std::move(claim));
}

Task<Status> VolumeBinder::keep_bound(Claim claim) {
  if (claim.spec().volume_name().empty()) {
    co_return co_await lose(std::move(claim), "ClaimLost",
                            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
  }
  const VolumePtr volume = parts_.informers.of<Volume>().find("", claim.spec().volume_name());
  if (volume == nullptr) {
    // Volumes and claims come by two watches.
    const api::Answer<Volume> live = co_await parts_.client.get<Volume>("", claim.spec().volume_name());
    if (live) co_return fail(Code::kUnavailable, "the volume was not told of yet");
    if (!live.error().is_not_found()) co_return std::unexpected(live.error().as_error());
    co_return co_await lose(std::move(claim), "ClaimLost",
                            "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  }
  if (!volume->spec().has_claim_ref() || is_bound_to(*volume, claim)) {
    co_return co_await bind(*volume, std::move(claim));
  }
  co_return co_await lose(std::move(claim), "ClaimMisbound",
                          "Two claims are bound to the same volume, this one is bound incorrectly");
}

Task<Status> VolumeBinder::lose(Claim claim, const char* reason, const char* message) {
  if (claim.status().phase() != "Lost") events_.warning(events_.about(claim), reason, message);
  co_return co_await set_claim_phase(std::move(claim), "Lost", nullptr);
}

Task<Status> VolumeBinder::bind(Volume volume, Claim claim) {
  const bool was_bound = is_bound_to(volume, claim);
  if (!was_bound || volume.spec().claim_ref().uid().empty()) {
    auto* reference = volume.mutable_spec()->mutable_claim_ref();
    reference->Clear();
    reference->set_kind("PersistentVolumeClaim");
    reference->set_api_version("v1");
    reference->set_namespace_(claim.metadata().namespace_());
    reference->set_name(claim.metadata().name());
    reference->set_uid(claim.metadata().uid());
    reference->set_resource_version(claim.metadata().resource_version());
    if (!was_bound) (*volume.mutable_metadata()->mutable_annotations())[kBoundByController] = "yes";
    api::Answer<Volume> written = co_await parts_.client.update(volume);
    if (!written) co_return std::unexpected(written.error().as_error());
    volume = std::move(*written);
  }
  Result<Volume> marked = co_await set_volume_phase(std::move(volume), "Bound");
  if (!marked) co_return std::unexpected(std::move(marked.error()));
  const std::string name = marked->metadata().name();
  if (claim.spec().volume_name() != name || !has_annotation(claim, kBindCompleted)) {
    auto& annotations = *claim.mutable_metadata()->mutable_annotations();
    if (claim.spec().volume_name() != name) annotations[kBoundByController] = "yes";
    annotations[kBindCompleted] = "yes";
    claim.mutable_spec()->set_volume_name(name);
    api::Answer<Claim> written = co_await parts_.client.update(claim);
    if (!written) co_return std::unexpected(written.error().as_error());
    claim = std::move(*written);
  }
  co_return co_await set_claim_phase(std::move(claim), "Bound", &*marked);
}

Task<Status> VolumeBinder::set_claim_phase(Claim claim, std::string phase, const Volume* volume) {
  const std::string before = claim.status().SerializeAsString();
  auto* status = claim.mutable_status();
  if (volume == nullptr) {
    status->clear_access_modes();
    status->clear_capacity();
  } else {
    *status->mutable_access_modes() = volume->spec().access_modes();
    // Later differences are somebody's who resizes it.
    if (status->phase() != phase) {
      *status->mutable_capacity() = volume->spec().capacity();
      if (claim.spec().has_volume_attributes_class_name()) {
        status->set_current_volume_attributes_class_name(claim.spec().volume_attributes_class_name());
      }
    }
  }
  status->set_phase(phase);
  if (status->SerializeAsString() == before) co_return Status();
  co_return done_or_gone(co_await parts_.client.update_status(claim));
}

}  // namespace gantry::control
