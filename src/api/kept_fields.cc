// SPDX-License-Identifier: Apache-2.0
#include "api/kept_fields.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "api/metadata.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::api {

namespace {

using Paths = std::vector<std::vector<std::string>>;

struct Particular {
  std::string_view kind;
  std::string_view subresource;
  Paths kept;
};

// As upstream's; all others keep their spec, or their status.
const std::vector<Particular>& particulars() {
  static const std::vector<Particular> list = {
      {"CertificateSigningRequest", "", {{"spec"}, {"status"}}},
      {"CertificateSigningRequest", "status", {{"spec"}, {"status", "conditions"}}},
      {"CertificateSigningRequest", "approval", {{"spec"}, {"status", "certificate"}}},
      {"Deployment", "status", {{"spec"}, {"metadata", "labels"}}},
      {"Namespace", "finalize", {{"status"}}},
      {"Pod", "status", {{"spec"}, {"metadata", "deletionTimestamp"}, {"metadata", "ownerReferences"}}},
      {"Pod", "ephemeralcontainers", {{"metadata"}, {"status"}}},
      {"Pod", "resize", {{"metadata"}, {"status"}}},
      {"ServiceCIDR", "status", {{"spec"}, {"metadata"}}},
      {"VolumeAttachment", "status", {{"spec"}, {"metadata"}}},
  };
  return list;
}

}  // namespace

Paths kept_fields(const Kind& kind, std::string_view subresource) {
  for (const Particular& particular : particulars()) {
    if (particular.kind == kind.gvk.kind && particular.subresource == subresource) return particular.kept;
  }
  if (subresource == "status") return {{"spec"}};
  if (kind.has_status) return {{"status"}};
  return {};
}

void put_back(const Message& old, const std::vector<std::string>& path, Message* updated) {
  if (path.front() != "metadata") return copy_field(old, path.front(), updated);
  const std::vector<std::string> whole = {"labels", "annotations", "finalizers", "ownerReferences"};
  const std::vector<std::string> part = {path.back()};
  for (const std::string& name : path.size() == 1 ? whole : part) {
    copy_field(metadata_of(old), name, mutable_metadata_of(updated));
  }
}

}  // namespace gantry::api
