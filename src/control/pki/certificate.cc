// SPDX-License-Identifier: Apache-2.0
#include "control/pki/certificate.h"

#include "control/pki/names.h"
#include "control/pki/openssl_text.h"
#include "control/pki/usages.h"

namespace gantry::control {
namespace {

OwnCertificate next_certificate(const OwnBio& bio) {
  return OwnCertificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
}

std::string decimal(const ASN1_INTEGER* number) {
  OwnNumber big(ASN1_INTEGER_to_BN(number, nullptr));
  char* text = big ? BN_bn2dec(big.get()) : nullptr;
  std::string copy(text != nullptr ? text : "");
  OPENSSL_free(text);
  return copy;
}

Result<CertificateTime> time_of(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return openssl_failed(Code::kInvalidArgument, "certificate's time");
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

// Keys of other kinds are nobody's here.
Result<PublicKey> key_of(EVP_PKEY* raw) {
  if (raw == nullptr) return openssl_failed(Code::kInvalidArgument, "public key");
  PublicKey key(std::shared_ptr<EVP_PKEY>(raw, EVP_PKEY_free));
  auto checked = PublicKey::read_all(key.pem());
  if (!checked) return std::unexpected(std::move(checked.error()));
  return key;
}

}  // namespace

Result<Certificate> read_certificate(std::string_view pem) {
  ERR_clear_error();
  OwnBio bio = reader_of(pem);
  OwnCertificate raw = next_certificate(bio);
  if (!raw) return openssl_failed(Code::kInvalidArgument, "read certificate");
  auto key = key_of(X509_get_pubkey(raw.get()));
  if (!key) return fail_with(std::move(key.error()), "read certificate");
  auto from = time_of(X509_get0_notBefore(raw.get())), until = time_of(X509_get0_notAfter(raw.get()));
  if (!from || !until) return std::unexpected(std::move((!from ? from : until).error()));
  Certificate certificate{.key = std::move(*key)};
  certificate.subject = read_subject(X509_get_subject_name(raw.get()));
  certificate.issuer = read_subject(X509_get_issuer_name(raw.get())).common_name;
  OwnNames names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(raw.get(), NID_subject_alt_name, nullptr, nullptr)));
  if (names) {
    auto read = read_names(names.get());
    if (!read) return fail_with(std::move(read.error()), "read certificate");
    certificate.names = std::move(*read);
  }
  certificate.usages = read_usages(raw.get());
  certificate.not_before = *from;
  certificate.not_after = *until;
  certificate.is_ca = X509_check_ca(raw.get()) == 1;
  certificate.serial = decimal(X509_get0_serialNumber(raw.get()));
  ERR_clear_error();
  return certificate;
}

Result<std::vector<std::string>> split_certificates(std::string_view pem) {
  constexpr std::size_t kMost = 100;
  ERR_clear_error();
  if (pem.size() > kMaxPemBytes) return invalid_argument("certificates: too long");
  OwnBio bio = reader_of(pem);
  std::vector<std::string> all;
  while (OwnCertificate certificate = next_certificate(bio)) {
    if (all.size() == kMost) return invalid_argument(cat("certificates: more than ", kMost));
    OwnBio out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), certificate.get());
    all.push_back(text_of(out));
  }
  const unsigned long error = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!at_end) return openssl_failed(Code::kInvalidArgument, "read certificates");
  ERR_clear_error();
  if (all.empty()) return invalid_argument("certificates: no PEM block of one");
  return all;
}

bool is_issuer(std::string_view issuer_pem, std::string_view certificate_pem) {
  ERR_clear_error();
  OwnBio issuer_bio = reader_of(issuer_pem), bio = reader_of(certificate_pem);
  OwnCertificate issuer = next_certificate(issuer_bio), certificate = next_certificate(bio);
  // By its name and by its signature: another's may have the same name.
  const bool is = issuer && certificate && X509_check_issued(issuer.get(), certificate.get()) == X509_V_OK &&
                  X509_verify(certificate.get(), X509_get0_pubkey(issuer.get())) == 1;
  ERR_clear_error();
  return is;
}

Status check_certificate(std::string_view certificate_pem, std::string_view key_pem, std::string_view ca_pem) {
  auto key = PrivateKey::read(key_pem);
  if (!key) return std::unexpected(std::move(key.error()));
  ERR_clear_error();
  OwnBio bio = reader_of(certificate_pem);
  OwnCertificate certificate = next_certificate(bio);
  if (!certificate) return openssl_failed(Code::kInvalidArgument, "read certificate");
  if (X509_check_private_key(certificate.get(), key->raw()) != 1) {
    ERR_clear_error();
    return invalid_argument("certificate: it has another key than this");
  }
  OwnBio authorities = reader_of(ca_pem);
  while (OwnCertificate authority = next_certificate(authorities)) {
    if (X509_verify(certificate.get(), X509_get0_pubkey(authority.get())) == 1) {
      ERR_clear_error();
      return {};
    }
  }
  ERR_clear_error();
  return invalid_argument("certificate: none of these CAs has signed it");
}

Result<SigningRequest> read_signing_request(std::string_view pem) {
  ERR_clear_error();
  if (pem.size() > kMaxPemBytes) return invalid_argument("certificate request: too long");
  OwnBio bio = reader_of(pem);
  OwnRequest raw(PEM_read_bio_X509_REQ(bio.get(), nullptr, no_password, nullptr));
  if (!raw) return openssl_failed(Code::kInvalidArgument, "certificate request");
  auto key = key_of(X509_REQ_get_pubkey(raw.get()));
  if (!key) return fail_with(std::move(key.error()), "certificate request");
  if (X509_REQ_verify(raw.get(), key->raw()) != 1) {
    ERR_clear_error();
    return invalid_argument("certificate request: its signature is not by its key");
  }
  SigningRequest request{.key = std::move(*key)};
  request.subject = read_subject(X509_REQ_get_subject_name(raw.get()));
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(raw.get());
  OwnNames names(static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr)));
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  ERR_clear_error();
  if (!names) return request;
  auto read = read_names(names.get());
  if (!read) return fail_with(std::move(read.error()), "certificate request");
  request.names = std::move(*read);
  return request;
}

Result<std::string> make_signing_request(const PrivateKey& key, const Subject& subject, const AlternativeNames& names) {
  ERR_clear_error();
  OwnRequest request(X509_REQ_new());
  if (!request) return openssl_failed(Code::kInternal, "certificate request");
  if (auto named = write_subject(X509_REQ_get_subject_name(request.get()), subject); !named) {
    return fail_with(std::move(named.error()), "certificate request");
  }
  X509_REQ_set_pubkey(request.get(), key.raw());
  if (!is_empty(names)) {
    auto written = write_names(names);
    if (!written) return fail_with(std::move(written.error()), "certificate request");
    STACK_OF(X509_EXTENSION)* extensions = nullptr;
    X509V3_add1_i2d(&extensions, NID_subject_alt_name, written->get(), 0, X509V3_ADD_APPEND);
    X509_REQ_add_extensions(request.get(), extensions);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
  if (X509_REQ_sign(request.get(), key.raw(), EVP_sha256()) <= 0) {
    return openssl_failed(Code::kInternal, "sign certificate request");
  }
  OwnBio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(out.get(), request.get());
  return text_of(out);
}

}  // namespace gantry::control
