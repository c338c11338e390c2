// SPDX-License-Identifier: Apache-2.0
// For tests: certificates as PEM texts, made on the spot. A failure ends the test's process.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "http/openssl.h"

namespace gantry::http {

class TestAuthority {
 public:
  explicit TestAuthority(std::string_view name) : key_(new_key()), certificate_(make(name, "", nullptr, "", 3600)) {}

  struct Pair {
    std::string certificate, key;
  };
  // `alternatives` as OpenSSL writes them: "DNS:localhost,IP:127.0.0.1". `usage`: "serverAuth", "clientAuth".
  Pair issue(std::string_view name, std::string_view organization, const char* alternatives, std::string_view usage,
             long seconds = 3600) const {
    OwnKey key = new_key();
    OwnCertificate certificate = make(name, organization, alternatives, usage, seconds, key.get());
    OwnBio out(BIO_new(BIO_s_mem()));
    check(PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr));
    return {pem(certificate.get()), text_of(out)};
  }
  Pair server() const { return issue("server", "", "DNS:localhost,IP:127.0.0.1", "serverAuth"); }
  std::string pem() const { return pem(certificate_.get()); }

 private:
  static void check(int ok) {
    if (ok != 1) std::abort();
  }
  static OwnKey new_key() { return OwnKey(EVP_EC_gen("P-256")); }
  static std::string pem(X509* certificate) {
    OwnBio out(BIO_new(BIO_s_mem()));
    check(PEM_write_bio_X509(out.get(), certificate));
    return text_of(out);
  }
  static void add_extension(X509* certificate, int kind, const char* value) {
    std::unique_ptr<X509_EXTENSION, OpensslDelete<X509_EXTENSION_free>> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, kind, value));
    check(X509_add_ext(certificate, extension.get(), -1));
  }
  // Without `key` an authority's own.
  OwnCertificate make(std::string_view name, std::string_view organization, const char* alternatives,
                      std::string_view usage, long seconds, EVP_PKEY* key = nullptr) const {
    OwnCertificate certificate(X509_new());
    check(X509_set_version(certificate.get(), 2));
    check(ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), 1234567890123));
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), seconds);
    X509_NAME* subject = X509_get_subject_name(certificate.get());
    if (!organization.empty()) check(add_name(subject, "O", organization) ? 1 : 0);
    check(add_name(subject, "CN", name) ? 1 : 0);
    check(X509_set_pubkey(certificate.get(), key != nullptr ? key : key_.get()));
    if (key == nullptr) add_extension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
    if (alternatives != nullptr && *alternatives != 0) {
      add_extension(certificate.get(), NID_subject_alt_name, alternatives);
    }
    if (!usage.empty()) add_extension(certificate.get(), NID_ext_key_usage, std::string(usage).c_str());
    X509_NAME* issuer = key == nullptr ? subject : X509_get_subject_name(certificate_.get());
    check(X509_set_issuer_name(certificate.get(), issuer));
    check(X509_sign(certificate.get(), key_.get(), EVP_sha256()) > 0 ? 1 : 0);
    return certificate;
  }

  OwnKey key_;
  OwnCertificate certificate_;
};

}  // namespace gantry::http
