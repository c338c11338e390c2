// SPDX-License-Identifier: Apache-2.0
// Asymmetric keys: ECDSA on P-256, which is what is made here, and RSA of 2048 bits and more, which clusters that
// kubeadm made have. Values that share what they hold and don't change: any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace gantry::control {

class PublicKey {
 public:
  explicit PublicKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}

  // All keys of a PEM text: public keys, certificates (theirs) and private keys (their public halves). At least one.
  static Result<std::vector<PublicKey>> read_all(std::string_view pem);

  std::string pem() const;  // "-----BEGIN PUBLIC KEY-----"
  std::string der() const;  // SubjectPublicKeyInfo
  // What tokens name their key by ("kid"), as upstream computes it: base64url of the DER's SHA-256.
  std::string id() const;
  // "sha256:HEX" of the DER: what kubeadm and its users pin a CA by.
  std::string pin() const;
  bool operator==(const PublicKey& other) const;

  evp_pkey_st* raw() const { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

class PrivateKey {
 public:
  explicit PrivateKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}

  // A new one, ECDSA on P-256.
  static Result<PrivateKey> generate();
  // The first private key of a PEM text, in any of the usual forms; not an encrypted one.
  static Result<PrivateKey> read(std::string_view pem);

  std::string pem() const;  // "-----BEGIN PRIVATE KEY-----" (PKCS #8): a secret
  PublicKey public_key() const { return PublicKey(key_); }

  evp_pkey_st* raw() const { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace gantry::control
