// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/self_signed.h"

#include <openssl/pem.h>
#include <openssl/rand.h>

#include <array>
#include <memory>

#include "base/text.h"
#include "http/openssl.h"

namespace gantry::agent {
namespace {

using http::openssl_failed;
using http::OwnBio;
using http::OwnCertificate;
using http::OwnKey;

constexpr long kYear = 365L * 24 * 3600;
// For clocks that are behind.
constexpr long kEarlier = -3600;
constexpr std::size_t kSerialBytes = 16;

// Only what can be a name or an address gets into OpenSSL's own little language.
bool is_plain(std::string_view text) {
  return !text.empty() && text.size() <= 253 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-") == text.npos;
}

Status add_extension(X509* certificate, int kind, const std::string& value) {
  std::unique_ptr<X509_EXTENSION, http::OpensslDelete<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1)
    return openssl_failed(Code::kInternal, cat("certificate: ", value));
  return {};
}

Status set_names(X509* certificate, std::string_view host, const std::vector<std::string>& addresses) {
  std::string names = cat("DNS:", host);
  for (const std::string& address : addresses) {
    if (!is_plain(address)) return invalid_argument(cat("certificate: address ", quoted(address)));
    names += cat(",IP:", address);
  }
  for (const auto& [kind, value] : {std::pair<int, std::string>{NID_subject_alt_name, names},
                                    {NID_ext_key_usage, "serverAuth"},
                                    {NID_key_usage, "critical,digitalSignature"},
                                    {NID_basic_constraints, "critical,CA:FALSE"}}) {
    if (auto added = add_extension(certificate, kind, value); !added) return added;
  }
  return {};
}

}  // namespace

Result<http::TlsServerOptions> make_self_signed(std::string_view host, const std::vector<std::string>& addresses) {
  if (!is_plain(host)) return invalid_argument(cat("certificate: host ", quoted(host)));
  OwnKey key(EVP_EC_gen("P-256"));
  OwnCertificate certificate(X509_new());
  std::array<unsigned char, kSerialBytes> serial{};
  if (!key || !certificate || RAND_bytes(serial.data(), serial.size()) != 1)
    return openssl_failed(Code::kInternal, "make a key");
  serial[0] &= 0x7f;  // positive
  const http::OwnNumber number(BN_bin2bn(serial.data(), serial.size(), nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get()));
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), kEarlier);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kYear);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  if (!http::add_name(subject, "CN", host)) return openssl_failed(Code::kInternal, "certificate: host");
  X509_set_issuer_name(certificate.get(), subject);
  X509_set_pubkey(certificate.get(), key.get());
  if (auto set = set_names(certificate.get(), host, addresses); !set) return std::unexpected(std::move(set.error()));
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) <= 0) return openssl_failed(Code::kInternal, "sign");
  OwnBio text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(text.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl_failed(Code::kInternal, "write a certificate");
  }
  return http::TlsServerOptions{
      .certificate_pem = http::text_of(text), .key_pem = http::text_of(key_text), .client_ca_pem = {}};
}

}  // namespace gantry::agent
