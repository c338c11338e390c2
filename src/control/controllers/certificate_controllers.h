// SPDX-License-Identifier: Apache-2.0
// CertificateSigningRequests: what nodes ask for is approved when they may (kubectl certificate approve does the rest),
// what is approved is signed, and what is old is removed.
#pragma once

#include <set>
#include <string>

#include "control/controllers/certificate_rules.h"
#include "control/controllers/controller.h"

namespace gantry::control {

// Approves a node's certificates when a SubjectAccessReview says that who asks may create one of these subresources of
// certificatesigningrequests:
//   selfnodeclient   a node's new client certificate
//   nodeclient       any node's client certificate (who joins by a bootstrap token)
//   selfnodeserver   a node's serving certificate, for its own name and for addresses of its Node object; never for
//                    what the API server or another node is known by, which is left to people. Upstream has no such
//                    rule.
class CertificateApprover final : public Controller {
 public:
  // `taken`: the API server's own names and addresses.
  CertificateApprover(ControllerParts parts, AlternativeNames taken);
  void start() override { queue_.start(); }

 private:
  Task<Status> work(std::string name);
  Task<Status> approve(Csr csr, std::string message);
  Task<Result<bool>> may(const Csr& csr, std::string subresource);
  bool are_own_names(const std::string& node, const AlternativeNames& names) const;
  Task<> ask_again(std::string name);

  ControllerParts parts_;
  AlternativeNames taken_;
  std::set<std::string> asked_again_;  // requests that wait for that
  api::WorkQueue queue_;
};

// Signs for Kubernetes' own signers. A request that the signer has no use for gets the condition Failed.
class CertificateSigner final : public Controller {
 public:
  // `chain`: PEM, what stands behind each certificate that is signed; may be empty.
  CertificateSigner(ControllerParts parts, Authority authority, std::string chain);
  void start() override { queue_.start(); }
  // From now on.
  void sign_with(Authority authority, std::string chain);

 private:
  Task<Status> work(std::string name);

  ControllerParts parts_;
  Authority authority_;
  std::string chain_;
  api::WorkQueue queue_;
};

// Removes requests that nobody needs any more. It looks once an hour.
class CertificateCleaner final : public Controller {
 public:
  explicit CertificateCleaner(ControllerParts parts);
  void start() override { queue_.start(); }

 private:
  Task<Status> work(std::string name);

  ControllerParts parts_;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
