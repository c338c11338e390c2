// SPDX-License-Identifier: Apache-2.0
#include "agent/node_key.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <ctime>

#include "http/openssl.h"

namespace gantry::agent {

namespace {

using http::openssl_failed;
using http::OwnBio;
using http::OwnCertificate;
using http::OwnKey;
using http::OwnNames;
using http::OwnRequest;
using http::reader_of;
using http::text_of;

constexpr std::size_t kMaxCertificates = 64;

std::string key_text(EVP_PKEY* key) {
  OwnBio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(out);
}

bool write_subject(X509_NAME* subject, const CertificateNames& names) {
  for (const auto& organization : names.organizations) {
    if (!http::add_name(subject, "O", organization)) return false;
  }
  return http::add_name(subject, "CN", names.common_name);
}

void push_name(GENERAL_NAMES* all, int kind, std::string_view bytes) {
  ASN1_STRING* text = kind == GEN_DNS ? ASN1_IA5STRING_new() : ASN1_OCTET_STRING_new();
  ASN1_STRING_set(text, bytes.data(), static_cast<int>(bytes.size()));
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, kind, text);
  sk_GENERAL_NAME_push(all, name);
}

// Null when there are none. Addresses are numeric; others are left out.
OwnNames alternative_names(const CertificateNames& names) {
  if (names.dns.empty() && names.ips.empty()) return nullptr;
  OwnNames all(GENERAL_NAMES_new());
  for (const auto& name : names.dns) push_name(all.get(), GEN_DNS, name);
  for (const auto& text : names.ips) {
    char bytes[16];
    const bool is_v6 = text.find(':') != text.npos;
    if (::inet_pton(is_v6 ? AF_INET6 : AF_INET, text.c_str(), bytes) != 1) continue;
    push_name(all.get(), GEN_IPADD, {bytes, is_v6 ? std::size_t{16} : std::size_t{4}});
  }
  return all;
}

std::vector<OwnCertificate> all_certificates(std::string_view pem) {
  std::vector<OwnCertificate> all;
  OwnBio bio = reader_of(pem);
  while (all.size() < kMaxCertificates) {
    OwnCertificate next(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!next) break;
    all.push_back(std::move(next));
  }
  ERR_clear_error();
  return all;
}

std::string pin_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(der, static_cast<std::size_t>(size), digest);
  OPENSSL_free(der);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string pin = "sha256:";
  for (const unsigned char byte : digest) {
    pin += kHex[byte >> 4];
    pin += kHex[byte & 15];
  }
  return pin;
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

void read_names(X509* certificate, CertificateFacts* facts) {
  const OwnNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int kind = 0;
    const auto* text =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &kind));
    if (kind != GEN_DNS && kind != GEN_IPADD) continue;
    const std::string bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                            static_cast<std::size_t>(ASN1_STRING_length(text)));
    if (kind == GEN_DNS) facts->dns.push_back(bytes);
    char shown[INET6_ADDRSTRLEN];
    if (kind == GEN_IPADD && (bytes.size() == 4 || bytes.size() == 16) &&
        ::inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), shown, sizeof(shown)) != nullptr) {
      facts->ips.emplace_back(shown);
    }
  }
}

}  // namespace

Result<KeyAndRequest> make_request(const CertificateNames& names) {
  ERR_clear_error();
  const OwnKey key(EVP_EC_gen("P-256"));
  const OwnRequest request(X509_REQ_new());
  if (!key || !request) return openssl_failed(Code::kInternal, "make a key");
  if (!write_subject(X509_REQ_get_subject_name(request.get()), names)) {
    return openssl_failed(Code::kInternal, "name who asks for a certificate");
  }
  X509_REQ_set_pubkey(request.get(), key.get());
  if (const OwnNames others = alternative_names(names)) {
    STACK_OF(X509_EXTENSION)* extensions = nullptr;
    X509V3_add1_i2d(&extensions, NID_subject_alt_name, others.get(), 0, X509V3_ADD_APPEND);
    const bool added = X509_REQ_add_extensions(request.get(), extensions) == 1;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    if (!added) return openssl_failed(Code::kInternal, "name what a certificate is asked for");
  }
  if (X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0) {
    return openssl_failed(Code::kInternal, "sign a request for a certificate");
  }
  const OwnBio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(out.get(), request.get());
  return KeyAndRequest{key_text(key.get()), text_of(out)};
}

Result<CertificateFacts> read_certificate(std::string_view certificate_pem, std::string_view key_pem) {
  const std::vector<OwnCertificate> all = all_certificates(certificate_pem);
  if (all.empty()) return invalid_argument("there is no certificate in it");
  const OwnBio bio = reader_of(key_pem);
  const OwnKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, http::no_password, nullptr));
  if (!key) return openssl_failed(Code::kInvalidArgument, "read its key");
  if (X509_check_private_key(all.front().get(), key.get()) != 1) {
    ERR_clear_error();
    return invalid_argument("the key is another one's");
  }
  CertificateFacts facts{.not_before = time_of(X509_get0_notBefore(all.front().get())),
                         .not_after = time_of(X509_get0_notAfter(all.front().get()))};
  read_names(all.front().get(), &facts);
  return facts;
}

std::string find_pinned(std::string_view certificates_pem, std::string_view pin) {
  for (const OwnCertificate& one : all_certificates(certificates_pem)) {
    if (pin_of(one.get()) != pin) continue;
    const OwnBio out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), one.get());
    return text_of(out);
  }
  return {};
}

}  // namespace gantry::agent
