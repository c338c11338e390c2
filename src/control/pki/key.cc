// SPDX-License-Identifier: Apache-2.0
#include "control/pki/key.h"

#include <openssl/rsa.h>

#include <array>

#include "control/pki/openssl_text.h"
#include "http/base64url.h"

namespace gantry::control {
namespace {

constexpr int kLeastRsaBits = 2048;
constexpr std::size_t kMaxKeys = 64;

std::shared_ptr<EVP_PKEY> share(EVP_PKEY* key) { return std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free); }

Status check_kind(EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) return {};
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) return invalid_argument("key: neither an ECDSA nor an RSA one");
  if (EVP_PKEY_get_bits(key) >= kLeastRsaBits) return {};
  return invalid_argument(cat("key: an RSA key of ", EVP_PKEY_get_bits(key), " bits; at least ", kLeastRsaBits));
}

std::array<unsigned char, SHA256_DIGEST_LENGTH> sha256(std::string_view bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

// The public key in one block of PEM; null when it holds none.
std::shared_ptr<EVP_PKEY> public_key_of(std::string_view kind, const unsigned char* bytes, long size) {
  if (kind == PEM_STRING_PUBLIC) return share(d2i_PUBKEY(nullptr, &bytes, size));
  if (kind == PEM_STRING_RSA_PUBLIC) return share(d2i_PublicKey(EVP_PKEY_RSA, nullptr, &bytes, size));
  if (kind == PEM_STRING_X509) {
    OwnCertificate certificate(d2i_X509(nullptr, &bytes, size));
    return certificate ? share(X509_get_pubkey(certificate.get())) : nullptr;
  }
  if (kind == PEM_STRING_PKCS8INF || kind == PEM_STRING_ECPRIVATEKEY || kind == PEM_STRING_RSA) {
    return share(d2i_AutoPrivateKey(nullptr, &bytes, size));
  }
  return nullptr;
}

}  // namespace

Result<std::vector<PublicKey>> PublicKey::read_all(std::string_view pem) {
  ERR_clear_error();
  OwnBio bio = reader_of(pem);
  std::vector<PublicKey> all;
  char *name = nullptr, *header = nullptr;
  unsigned char* bytes = nullptr;
  long size = 0;
  while (PEM_read_bio(bio.get(), &name, &header, &bytes, &size) == 1) {
    std::string kind(name);
    auto key = public_key_of(kind, bytes, size);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(bytes, static_cast<std::size_t>(size));
    if (!key && kind == "EC PARAMETERS") continue;  // as openssl ecparam writes it before a key
    if (!key) return openssl_failed(Code::kInvalidArgument, cat("read key from PEM block ", quoted(kind)));
    if (auto checked = check_kind(key.get()); !checked) return std::unexpected(std::move(checked.error()));
    if (all.size() == kMaxKeys) return invalid_argument(cat("keys: more than ", kMaxKeys));
    all.emplace_back(std::move(key));
  }
  ERR_clear_error();
  if (all.empty()) return invalid_argument("keys: no PEM block in it");
  return all;
}

std::string PublicKey::pem() const {
  OwnBio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(out.get(), key_.get());
  return text_of(out);
}

std::string PublicKey::der() const {
  unsigned char* bytes = nullptr;
  int size = i2d_PUBKEY(key_.get(), &bytes);
  std::string der;
  if (size > 0) der.assign(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

std::string PublicKey::id() const {
  auto digest = sha256(der());
  return http::base64url({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string PublicKey::pin() const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string pin = "sha256:";
  for (unsigned char byte : sha256(der())) {
    pin += kDigits[byte >> 4];
    pin += kDigits[byte & 15];
  }
  return pin;
}

bool PublicKey::operator==(const PublicKey& other) const { return EVP_PKEY_eq(key_.get(), other.key_.get()) == 1; }

Result<PrivateKey> PrivateKey::generate() {
  ERR_clear_error();
  auto key = share(EVP_EC_gen("P-256"));
  if (!key) return openssl_failed(Code::kInternal, "make key");
  return PrivateKey(std::move(key));
}

Result<PrivateKey> PrivateKey::read(std::string_view pem) {
  ERR_clear_error();
  OwnBio bio = reader_of(pem);
  auto key = share(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key) return openssl_failed(Code::kInvalidArgument, "read private key");
  if (auto checked = check_kind(key.get()); !checked) return std::unexpected(std::move(checked.error()));
  return PrivateKey(std::move(key));
}

std::string PrivateKey::pem() const {
  OwnBio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(out.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(out);
}

}  // namespace gantry::control
