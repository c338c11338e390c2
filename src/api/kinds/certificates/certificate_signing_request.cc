// SPDX-License-Identifier: Apache-2.0
#include "api/duration_text.h"
#include "api/kind_parts.h"
#include "api/kinds/certificates/kinds.h"
#include "kubernetes/certificates/v1/certificates.pb.h"

namespace gantry::api {

namespace {

namespace certificates = k8s::io::api::certificates::v1;

std::string condition_text(const certificates::CertificateSigningRequestStatus& status) {
  const auto has = [&](std::string_view type) {
    for (const certificates::CertificateSigningRequestCondition& condition : status.conditions()) {
      if (condition.type() == type) return true;
    }
    return false;
  };
  std::string text = has("Denied") ? "Denied" : has("Approved") ? "Approved" : "Pending";
  if (has("Failed")) text += ",Failed";
  if (!status.certificate().empty()) text += ",Issued";
  return text;
}

std::vector<Value> row(const certificates::CertificateSigningRequest& object, int64_t now) {
  const certificates::CertificateSigningRequestSpec& spec = object.spec();
  return {object.metadata().name(),
          age(object.metadata(), now),
          or_none(spec.signer_name()),
          spec.username(),
          spec.has_expiration_seconds() ? Value(duration_text(spec.expiration_seconds())) : Value(kNone),
          condition_text(object.status())};
}

std::vector<std::string> selectable(const certificates::CertificateSigningRequest& object) {
  return {object.spec().signer_name()};
}

TableRules table() {
  return {{name_column(), age_column(), column("SignerName", "string", "Who is to sign it."),
           column("Requestor", "string", "Who asks for it."),
           column("RequestedDuration", "string", "How long it is to be valid."),
           column("Condition", "string", "What has been decided.")},
          over(&row)};
}

}  // namespace

Kind certificate_signing_request_kind() {
  Kind kind = make_kind<certificates::CertificateSigningRequest>("certificatesigningrequests",
                                                                 "certificatesigningrequest", {"csr"});
  kind.namespaced = false;
  kind.storage = "certificatesigningrequests";
  kind.selectable = {"spec.signerName"};
  kind.selectable_values = over(&selectable);
  kind.table = table();
  add_view(&kind, "approval");
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
