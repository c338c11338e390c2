// SPDX-License-Identifier: Apache-2.0
#include "control/pki/authority.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "control/pki/names.h"
#include "control/pki/openssl_text.h"
#include "control/pki/usages.h"

namespace gantry::control {
namespace {

constexpr auto kClocksBehind = std::chrono::hours(1);
constexpr int kSerialBits = 127;

Status add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, OpensslDelete<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return openssl_failed(Code::kInternal, cat("certificate extension ", OBJ_nid2sn(kind)));
  }
  return {};
}

Status set_serial(X509* certificate) {
  OwnNumber number(BN_new());
  if (!number || BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return openssl_failed(Code::kInternal, "certificate's number");
  }
  return {};
}

void set_times(X509* certificate, CertificateTime from, CertificateTime until) {
  ASN1_TIME_set(X509_getm_notBefore(certificate), std::chrono::system_clock::to_time_t(from));
  ASN1_TIME_set(X509_getm_notAfter(certificate), std::chrono::system_clock::to_time_t(until));
}

// Everything but the signature. `issuer` is null for an authority's own.
Status fill(X509* certificate, X509* issuer, EVP_PKEY* key, const CertificateOrder& order) {
  auto texts = usage_texts(order.usages);
  if (!texts) return std::unexpected(std::move(texts.error()));
  X509_set_version(certificate, X509_VERSION_3);
  if (auto set = set_serial(certificate); !set) return set;
  set_times(certificate, order.not_before, order.not_after);
  if (auto named = write_subject(X509_get_subject_name(certificate), order.subject); !named) return named;
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer != nullptr ? issuer : certificate));
  X509_set_pubkey(certificate, key);
  const bool is_ca = issuer == nullptr;
  if (is_ca) issuer = certificate;
  std::vector<std::pair<int, std::string>> extensions = {
      {NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE"}};
  if (!texts->key.empty()) extensions.emplace_back(NID_key_usage, "critical," + texts->key);
  if (!texts->extended.empty()) extensions.emplace_back(NID_ext_key_usage, texts->extended);
  extensions.emplace_back(NID_subject_key_identifier, "hash");
  if (!is_ca) extensions.emplace_back(NID_authority_key_identifier, "keyid");
  for (const auto& [kind, value] : extensions) {
    if (auto added = add_extension(certificate, issuer, kind, value); !added) return added;
  }
  if (is_empty(order.names)) return {};
  auto names = write_names(order.names);
  if (!names) return std::unexpected(std::move(names.error()));
  // RFC 5280, 4.2.1.6: without a subject these are critical.
  const bool critical = order.subject.common_name.empty() && order.subject.organizations.empty();
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names->get(), critical ? 1 : 0, X509V3_ADD_APPEND) != 1) {
    return openssl_failed(Code::kInternal, "alternative names");
  }
  return {};
}

Result<std::string> sign(X509* certificate, EVP_PKEY* key) {
  if (X509_sign(certificate, key, EVP_sha256()) <= 0) return openssl_failed(Code::kInternal, "sign certificate");
  OwnBio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), certificate);
  return text_of(out);
}

std::string time_text(CertificateTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  std::array<char, 40> text{};
  ::gmtime_r(&seconds, &parts);
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

OwnCertificate parse(const std::string& pem) {
  OwnBio bio = reader_of(pem);
  return OwnCertificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
}

}  // namespace

CertificateOrder order_for(std::chrono::seconds life) {
  auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return {.not_before = now - kClocksBehind, .not_after = now + life};
}

std::vector<std::string> serving_usages() { return {"digital signature", "key encipherment", "server auth"}; }
std::vector<std::string> client_usages() { return {"digital signature", "key encipherment", "client auth"}; }

Result<Authority> Authority::make(std::string_view common_name, std::chrono::seconds life) {
  auto key = PrivateKey::generate();
  if (!key) return std::unexpected(std::move(key.error()));
  return make(std::move(*key), common_name, life);
}

Result<Authority> Authority::make(PrivateKey key, std::string_view common_name, std::chrono::seconds life) {
  ERR_clear_error();
  OwnCertificate certificate(X509_new());
  if (!certificate) return openssl_failed(Code::kInternal, "make CA");
  CertificateOrder order = order_for(life);
  order.subject.common_name = common_name;
  order.usages = {"digital signature", "key encipherment", "cert sign"};
  if (auto filled = fill(certificate.get(), nullptr, key.raw(), order); !filled) {
    return fail_with(std::move(filled.error()), "make CA");
  }
  auto pem = sign(certificate.get(), key.raw());
  if (!pem) return fail_with(std::move(pem.error()), "make CA");
  return read(*pem, key.pem());
}

Result<Authority> Authority::read(std::string_view certificates_pem, std::string_view key_pem) {
  auto key = PrivateKey::read(key_pem);
  if (!key) return fail_with(std::move(key.error()), "CA");
  auto certificates = split_certificates(certificates_pem);
  if (!certificates) return fail_with(std::move(certificates.error()), "CA");
  for (std::string& each : *certificates) {
    auto certificate = read_certificate(each);
    if (!certificate) return fail_with(std::move(certificate.error()), "CA");
    if (!(certificate->key == key->public_key())) continue;
    if (!certificate->is_ca) return invalid_argument("CA: its certificate is not one of an authority");
    return Authority(std::move(each), std::move(*certificate), std::move(*key));
  }
  return invalid_argument("CA: its certificate has another key than this");
}

Status Authority::check_time(CertificateTime now) const {
  if (certificate_.not_after <= now) {
    return fail(Code::kFailedPrecondition, cat("CA: its certificate has ended at ", time_text(certificate_.not_after)));
  }
  if (certificate_.not_before > now) {
    return fail(Code::kFailedPrecondition, cat("CA: its certificate begins at ", time_text(certificate_.not_before)));
  }
  return {};
}

Result<std::string> Authority::issue(const PublicKey& key, const CertificateOrder& order) const {
  ERR_clear_error();
  OwnCertificate issuer = parse(certificate_pem_), certificate(X509_new());
  if (!issuer || !certificate) return openssl_failed(Code::kInternal, "issue certificate");
  CertificateOrder bounded = order;
  bounded.not_after = std::min(order.not_after, certificate_.not_after);
  if (bounded.not_after <= bounded.not_before) return invalid_argument("issue certificate: it ends before it begins");
  if (auto filled = fill(certificate.get(), issuer.get(), key.raw(), bounded); !filled) {
    return fail_with(std::move(filled.error()), "issue certificate");
  }
  return sign(certificate.get(), key_.raw());
}

Result<std::string> Authority::vouch_for(const Authority& other) const {
  ERR_clear_error();
  OwnCertificate issuer = parse(certificate_pem_), certificate = parse(other.certificate_pem_);
  if (!issuer || !certificate) return openssl_failed(Code::kInternal, "vouch for a CA");
  if (X509_get_pathlen(issuer.get()) == 0) {
    return fail(Code::kFailedPrecondition, "CA: its certificate says that it signs no other CA (pathlen:0)");
  }
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get()));
  if (auto set = set_serial(certificate.get()); !set) return std::unexpected(std::move(set.error()));
  set_times(certificate.get(), std::max(certificate_.not_before, other.certificate_.not_before),
            std::min(certificate_.not_after, other.certificate_.not_after));
  for (int at = 0; (at = X509_get_ext_by_NID(certificate.get(), NID_authority_key_identifier, -1)) >= 0;) {
    X509_EXTENSION_free(X509_delete_ext(certificate.get(), at));
  }
  if (auto added = add_extension(certificate.get(), issuer.get(), NID_authority_key_identifier, "keyid"); !added) {
    return fail_with(std::move(added.error()), "vouch for a CA");
  }
  return sign(certificate.get(), key_.raw());
}

}  // namespace gantry::control
