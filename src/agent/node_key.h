// SPDX-License-Identifier: Apache-2.0
// Keys and certificates of a node, as PEM: what it asks for one with, and what it has to know of one that it has. Any
// thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::agent {

struct CertificateNames {
  std::string common_name;                 // "system:node:NAME"
  std::vector<std::string> organizations;  // "system:nodes"
  std::vector<std::string> dns, ips;
  bool operator==(const CertificateNames&) const = default;
};

struct KeyAndRequest {
  std::string key_pem;      // a new one, ECDSA on P-256: a secret
  std::string request_pem;  // PKCS #10
};
Result<KeyAndRequest> make_request(const CertificateNames& names);
struct KeyAndCertificate {
  std::string key_pem, certificate_pem;
};

struct CertificateFacts {
  std::chrono::system_clock::time_point not_before, not_after;
  std::vector<std::string> dns, ips;  // of its alternative names
};
// Of the first certificate in the text, to which the first key in `key_pem` has to belong.
Result<CertificateFacts> read_certificate(std::string_view certificate_pem, std::string_view key_pem);

// The certificate of a text whose public key has that pin, "sha256:HEX" of its DER, as kubeadm computes it; "" when
// none has.
std::string find_pinned(std::string_view certificates_pem, std::string_view pin);

}  // namespace gantry::agent
