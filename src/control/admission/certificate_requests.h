// SPDX-License-Identifier: Apache-2.0
// Who asks for a certificate is who sent the request, whatever it says; who approves one must have the right to approve
// for its signer, and who signs to sign (CertificateApproval, CertificateSigning); and the signer of clients of the API
// server makes nobody a master (CertificateSubjectRestriction).
#pragma once

#include <vector>

#include "control/server/access.h"
#include "control/server/admission.h"

namespace gantry::control {

class CertificateRequests : public AdmissionPlugin {
 public:
  // They are not owned.
  explicit CertificateRequests(const std::vector<Authorizer*>& authorizers) : authorizers_(authorizers) {}
  Task<Outcome<void>> mutate(AdmissionRequest& request) override;
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  Task<bool> may(const AdmissionRequest& request, std::string verb, std::string signer);

  const std::vector<Authorizer*>& authorizers_;
};

}  // namespace gantry::control
