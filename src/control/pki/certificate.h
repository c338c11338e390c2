// SPDX-License-Identifier: Apache-2.0
// What stands in a certificate or in a request for one, and what is to stand in one: plain values.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/pki/key.h"

namespace gantry::control {

using CertificateTime = std::chrono::system_clock::time_point;  // whole seconds

struct Subject {
  std::string common_name;                 // the user, or the host's name
  std::vector<std::string> organizations;  // the groups
  // Everything else, "C", "OU" and so on: read, never written.
  std::vector<std::string> other_kinds;
};

struct AlternativeNames {
  std::vector<std::string> dns;
  std::vector<std::string> ips;  // numeric: "10.96.0.1", "fd00::1"
  std::vector<std::string> emails;
  std::vector<std::string> uris;
};

struct Certificate {
  Subject subject;
  std::string issuer;  // its common name
  AlternativeNames names;
  // In the words of CertificateSigningRequest.spec.usages: "digital signature", "client auth" ... Those that have none
  // are left out.
  std::vector<std::string> usages;
  CertificateTime not_before, not_after;
  bool is_ca = false;
  std::string serial;  // decimal
  PublicKey key;
};

// The first certificate of a PEM text, which may have others, or keys, beside it.
Result<Certificate> read_certificate(std::string_view pem);

// Each certificate of a PEM text as a PEM text of its own, without what stands between them. At least one, at most 100.
Result<std::vector<std::string>> split_certificates(std::string_view pem);

// The certificate with which the key of `key_pem` goes, and which one of `ca_pem`'s has signed, now or at some time.
Status check_certificate(std::string_view certificate_pem, std::string_view key_pem, std::string_view ca_pem);

// Whether the one may have signed the other, by what both say: names, key identifiers, usages.
bool is_issuer(std::string_view issuer_pem, std::string_view certificate_pem);

// A request (PKCS #10) whose signature was checked: whoever made it has the key.
struct SigningRequest {
  Subject subject;
  AlternativeNames names;
  PublicKey key;
};

// The only request of a PEM text, as CertificateSigningRequest.spec.request has it. What it asks for is the caller's to
// judge.
Result<SigningRequest> read_signing_request(std::string_view pem);

// A request for `key`, as PEM.
Result<std::string> make_signing_request(const PrivateKey& key, const Subject& subject, const AlternativeNames& names);

}  // namespace gantry::control
