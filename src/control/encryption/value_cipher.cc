// SPDX-License-Identifier: Apache-2.0
#include "control/encryption/value_cipher.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/text.h"
#include "control/encryption/secretbox.h"

namespace gantry::control {

namespace {

constexpr std::size_t kGcmNonce = 12;
constexpr std::size_t kGcmTag = 16;
constexpr std::size_t kBlock = 16;
// Values are far below; OpenSSL counts in int.
constexpr std::size_t kMaxBytes = 64U << 20;

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

std::unexpected<Error> damaged() { return fail(Code::kDataLoss, "the value is damaged, or of another key"); }
std::unexpected<Error> broken() { return fail(Code::kInternal, "OpenSSL cannot encrypt"); }

Result<std::string> random_bytes(std::size_t count) {
  std::string out(count, '\0');
  if (RAND_bytes(bytes(out), static_cast<int>(count)) != 1) return broken();
  return out;
}

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;
Context new_context() { return {EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free}; }

class AesGcm final : public ValueCipher {
 public:
  explicit AesGcm(std::string key) : key_(std::move(key)) {}

  Result<std::string> seal(std::string_view plain, std::string_view context) const override {
    if (plain.size() > kMaxBytes) return invalid_argument("the value is too long");
    Result<std::string> nonce = random_bytes(kGcmNonce);
    if (!nonce) return nonce;
    std::string out(plain.size(), '\0');
    std::string tag(kGcmTag, '\0');
    int size = 0;
    const Context c = new_context();
    if (c == nullptr || EVP_EncryptInit_ex(c.get(), cipher(), nullptr, bytes(key_), bytes(*nonce)) != 1 ||
        EVP_EncryptUpdate(c.get(), nullptr, &size, bytes(context), static_cast<int>(context.size())) != 1 ||
        EVP_EncryptUpdate(c.get(), bytes(out), &size, bytes(plain), static_cast<int>(plain.size())) != 1 ||
        EVP_EncryptFinal_ex(c.get(), bytes(out) + size, &size) != 1 ||
        EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_GET_TAG, kGcmTag, tag.data()) != 1) {
      return broken();
    }
    return *nonce + out + tag;
  }

  Result<std::string> open(std::string_view sealed, std::string_view context) const override {
    if (sealed.size() < kGcmNonce + kGcmTag || sealed.size() > kMaxBytes) return damaged();
    const std::string_view body = sealed.substr(kGcmNonce, sealed.size() - kGcmNonce - kGcmTag);
    std::string tag(sealed.substr(sealed.size() - kGcmTag));
    std::string out(body.size(), '\0');
    int size = 0;
    const Context c = new_context();
    if (c == nullptr || EVP_DecryptInit_ex(c.get(), cipher(), nullptr, bytes(key_), bytes(sealed)) != 1 ||
        EVP_DecryptUpdate(c.get(), nullptr, &size, bytes(context), static_cast<int>(context.size())) != 1 ||
        EVP_DecryptUpdate(c.get(), bytes(out), &size, bytes(body), static_cast<int>(body.size())) != 1 ||
        EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_SET_TAG, kGcmTag, tag.data()) != 1 ||
        EVP_DecryptFinal_ex(c.get(), bytes(out) + size, &size) != 1) {
      return damaged();
    }
    return out;
  }

 private:
  const EVP_CIPHER* cipher() const {
    if (key_.size() == 16) return EVP_aes_128_gcm();
    return key_.size() == 24 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
  }
  const std::string key_;
};

class AesCbc final : public ValueCipher {
 public:
  explicit AesCbc(std::string key) : key_(std::move(key)) {}

  Result<std::string> seal(std::string_view plain, std::string_view) const override {
    if (plain.size() > kMaxBytes) return invalid_argument("the value is too long");
    Result<std::string> vector = random_bytes(kBlock);
    if (!vector) return vector;
    std::string out(plain.size() + kBlock, '\0');
    int size = 0;
    int rest = 0;
    const Context c = new_context();
    if (c == nullptr || EVP_EncryptInit_ex(c.get(), cipher(), nullptr, bytes(key_), bytes(*vector)) != 1 ||
        EVP_EncryptUpdate(c.get(), bytes(out), &size, bytes(plain), static_cast<int>(plain.size())) != 1 ||
        EVP_EncryptFinal_ex(c.get(), bytes(out) + size, &rest) != 1) {
      return broken();
    }
    out.resize(static_cast<std::size_t>(size + rest));
    return *vector + out;
  }

  Result<std::string> open(std::string_view sealed, std::string_view) const override {
    if (sealed.size() < 2 * kBlock || sealed.size() % kBlock != 0 || sealed.size() > kMaxBytes) return damaged();
    const std::string_view body = sealed.substr(kBlock);
    std::string out(body.size() + kBlock, '\0');
    int size = 0;
    int rest = 0;
    const Context c = new_context();
    if (c == nullptr || EVP_DecryptInit_ex(c.get(), cipher(), nullptr, bytes(key_), bytes(sealed)) != 1 ||
        EVP_DecryptUpdate(c.get(), bytes(out), &size, bytes(body), static_cast<int>(body.size())) != 1 ||
        EVP_DecryptFinal_ex(c.get(), bytes(out) + size, &rest) != 1) {
      return damaged();
    }
    out.resize(static_cast<std::size_t>(size + rest));
    return out;
  }

 private:
  const EVP_CIPHER* cipher() const {
    if (key_.size() == 16) return EVP_aes_128_cbc();
    return key_.size() == 24 ? EVP_aes_192_cbc() : EVP_aes_256_cbc();
  }
  const std::string key_;
};

class Secretbox final : public ValueCipher {
 public:
  explicit Secretbox(std::string key) : key_(std::move(key)) {}

  Result<std::string> seal(std::string_view plain, std::string_view) const override {
    Result<std::string> nonce = random_bytes(kSecretboxNonce);
    if (!nonce) return nonce;
    Result<std::string> box = seal_secretbox(key_, *nonce, plain);
    if (!box) return box;
    return *nonce + *box;
  }

  Result<std::string> open(std::string_view sealed, std::string_view) const override {
    if (sealed.size() < kSecretboxNonce) return damaged();
    return open_secretbox(key_, sealed.substr(0, kSecretboxNonce), sealed.substr(kSecretboxNonce));
  }

 private:
  const std::string key_;
};

}  // namespace

Result<std::shared_ptr<const ValueCipher>> make_cipher(CipherKind kind, std::string key) {
  const std::size_t size = key.size();
  if (kind == CipherKind::kSecretbox) {
    if (size != kSecretboxKey) return invalid_argument(cat("the key has ", size, " bytes; expected 32"));
    return std::make_shared<Secretbox>(std::move(key));
  }
  if (size != 16 && size != 24 && size != 32) {
    return invalid_argument(cat("the key has ", size, " bytes; expected 16, 24 or 32"));
  }
  if (kind == CipherKind::kAesGcm) return std::make_shared<AesGcm>(std::move(key));
  return std::make_shared<AesCbc>(std::move(key));
}

}  // namespace gantry::control
