// SPDX-License-Identifier: Apache-2.0
// A certificate authority: a certificate that may sign others, and its key. Any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/pki/certificate.h"
#include "control/pki/key.h"

namespace gantry::control {

// A certificate to be signed.
struct CertificateOrder {
  Subject subject;
  AlternativeNames names;
  std::vector<std::string> usages;  // as in Certificate; an unknown one is an error
  CertificateTime not_before, not_after;
};

// From an hour ago, for clocks that are behind, until `life` from now.
CertificateOrder order_for(std::chrono::seconds life);
// "digital signature", "key encipherment" and "server auth" or "client auth".
std::vector<std::string> serving_usages();
std::vector<std::string> client_usages();

class Authority {
 public:
  // A new one, which signs itself.
  static Result<Authority> make(std::string_view common_name, std::chrono::seconds life);
  static Result<Authority> make(PrivateKey key, std::string_view common_name, std::chrono::seconds life);
  // One that there is: of the certificates, the one that has this key. It must be a CA's.
  static Result<Authority> read(std::string_view certificates_pem, std::string_view key_pem);

  // An error that says so when it has ended, or has not begun.
  Status check_time(CertificateTime now) const;

  // PEM. It ends no later than the authority itself.
  Result<std::string> issue(const PublicKey& key, const CertificateOrder& order) const;
  // The other's certificate, signed by this one: by it, who trusts this one alone trusts what the other issues. PEM.
  // kFailedPrecondition when this one may sign no CA.
  Result<std::string> vouch_for(const Authority& other) const;

  const std::string& certificate_pem() const { return certificate_pem_; }
  const Certificate& certificate() const { return certificate_; }
  const PrivateKey& key() const { return key_; }

 private:
  Authority(std::string certificate_pem, Certificate certificate, PrivateKey key)
      : certificate_pem_(std::move(certificate_pem)), certificate_(std::move(certificate)), key_(std::move(key)) {}

  std::string certificate_pem_;
  Certificate certificate_;
  PrivateKey key_;
};

}  // namespace gantry::control
