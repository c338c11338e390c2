// SPDX-License-Identifier: Apache-2.0
#include "control/admission/certificate_requests.h"

#include <algorithm>

#include "base/text.h"
#include "control/authorization/decide.h"
#include "control/pki/certificate.h"
#include "kubernetes/certificates/v1/certificates.pb.h"

namespace gantry::control {

namespace certificates = k8s::io::api::certificates::v1;

namespace {

using Csr = certificates::CertificateSigningRequest;

constexpr std::string_view kClientSigner = "kubernetes.io/kube-apiserver-client";

bool is_request(const AdmissionRequest& request) { return request.call.kind.descriptor == Csr::descriptor(); }

}  // namespace

Task<Outcome<void>> CertificateRequests::mutate(AdmissionRequest& request) {
  if (!is_request(request) || request.operation != Operation::kCreate) co_return Outcome<void>();
  const User& user = request.call.user;
  certificates::CertificateSigningRequestSpec* spec = static_cast<Csr*>(request.object)->mutable_spec();
  spec->set_username(user.name);
  spec->set_uid(user.uid);
  spec->mutable_groups()->Assign(user.groups.begin(), user.groups.end());
  spec->clear_extra();
  for (const auto& [key, values] : user.extra) {
    (*spec->mutable_extra())[key].mutable_items()->Assign(values.begin(), values.end());
  }
  co_return Outcome<void>();
}

// The right may be for one signer or for a whole domain: "example.com/*".
Task<bool> CertificateRequests::may(const AdmissionRequest& request, std::string verb, std::string signer) {
  const std::string domain = cat(signer.substr(0, signer.find('/')), "/*");
  for (const std::string& name : {signer, domain}) {
    const AccessRequest access{.user = request.call.user,
                               .is_resource = true,
                               .verb = verb,
                               .group = "certificates.k8s.io",
                               .version = "v1",
                               .ns = {},
                               .resource = "signers",
                               .subresource = {},
                               .name = name,
                               .path = {}};
    const Authorizer::Answer answer = co_await decide(request.call.here, authorizers_, access);
    if (answer.decision == Authorizer::Decision::kAllow) co_return true;
  }
  co_return false;
}

Task<Outcome<void>> CertificateRequests::validate(const AdmissionRequest& request) {
  if (!is_request(request)) co_return Outcome<void>();
  const auto refuse = [&request](std::string_view why) {
    return fail(forbidden(request.call.kind, request.name, why));
  };
  if (request.operation == Operation::kCreate) {
    const auto& spec = static_cast<const Csr&>(*request.object).spec();
    if (spec.signer_name() != kClientSigner) co_return Outcome<void>();
    const Result<SigningRequest> facts = read_signing_request(spec.request());
    const bool master =
        facts && std::ranges::find(facts->subject.organizations, kMastersGroup) != facts->subject.organizations.end();
    if (master)
      co_return refuse(cat("use of ", kClientSigner, " signer with ", kMastersGroup, " group is not allowed"));
    co_return Outcome<void>();
  }
  if (request.operation != Operation::kUpdate || request.call.subresource == nullptr) co_return Outcome<void>();
  const auto& old = static_cast<const Csr&>(*request.old);
  const auto& updated = static_cast<const Csr&>(*request.object);
  const std::string& signer = old.spec().signer_name();
  const std::string& view = request.call.subresource->name;
  const bool signs = view == "status" && old.status().certificate() != updated.status().certificate();
  if (view == "approval" && !co_await may(request, "approve", signer)) {
    co_return refuse(cat("user not permitted to approve requests with signerName ", quoted(signer)));
  }
  if (signs && !co_await may(request, "sign", signer)) {
    co_return refuse(cat("user not permitted to sign requests with signerName ", quoted(signer)));
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
