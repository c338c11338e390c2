// SPDX-License-Identifier: Apache-2.0
#include "control/admission/claim_resize.h"

#include "api/kinds/core/volume_text.h"
#include "api/quantity.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/resource/quantity.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::control {

namespace {

using k8s::io::api::core::v1::PersistentVolumeClaim;
using k8s::io::api::storage::v1::StorageClass;

api::Quantity size_of(const PersistentVolumeClaim& claim) {
  const auto& requests = claim.spec().resources().requests();
  const auto found = requests.find("storage");
  if (found == requests.end()) return {};
  return api::Quantity::parse(found->second.string()).value_or(api::Quantity());
}

std::string class_of(const PersistentVolumeClaim& claim) {
  return api::class_of(claim.metadata(), claim.spec().storage_class_name());
}

}  // namespace

Task<Outcome<void>> ClaimResize::validate(const AdmissionRequest& request) {
  const bool is_claim = request.operation == Operation::kUpdate && request.call.subresource == nullptr &&
                        request.object->GetDescriptor() == PersistentVolumeClaim::descriptor();
  if (!is_claim) co_return Outcome<void>();
  const auto& old = static_cast<const PersistentVolumeClaim&>(*request.old);
  const auto& claim = static_cast<const PersistentVolumeClaim&>(*request.object);
  if (size_of(claim).compare(size_of(old)) <= 0) co_return Outcome<void>();
  const auto refuse = [&request](std::string_view why) {
    return fail(forbidden(request.call.kind, request.name, why));
  };
  if (old.status().phase() != "Bound") co_return refuse("Only bound persistent volume claims can be expanded");
  const std::string name = class_of(claim);
  bool can_grow = !name.empty() && name == class_of(old);
  if (can_grow) {
    Outcome<std::shared_ptr<const StorageClass>> found = co_await view_.find<StorageClass>(request.call.here, "", name);
    if (!found) co_return fail(std::move(found.error()));
    can_grow = *found != nullptr && (*found)->allow_volume_expansion();
  }
  if (can_grow) co_return Outcome<void>();
  co_return refuse(
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support "
      "resize");
}

}  // namespace gantry::control
