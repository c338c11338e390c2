// SPDX-License-Identifier: Apache-2.0
#include "images/digest.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace gantry::images {
namespace {

constexpr std::size_t kHexSize = 64;

// What came from outside, made fit for an error message.
std::string shown(std::string_view text) {
  std::string out = "\"";
  for (char c : text.substr(0, 100)) out += (c >= ' ' && c < 0x7f && c != '"') ? c : '?';
  return out + (text.size() > 100 ? "...\"" : "\"");
}

}  // namespace

bool is_hex(std::string_view text) {
  if (text.empty() || text.size() > kHexSize) return false;
  for (char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

Result<Digest> Digest::parse(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (!text.starts_with(kPrefix)) {
    return invalid_argument("digest " + shown(text) + ": expected \"sha256:\" and 64 lower-case hex digits");
  }
  return from_hex(text.substr(kPrefix.size()));
}

Result<Digest> Digest::from_hex(std::string_view hex) {
  if (hex.size() != kHexSize || !is_hex(hex)) {
    return invalid_argument("digest " + shown(hex) + ": expected 64 lower-case hex digits after \"sha256:\"");
  }
  return Digest(std::string(hex));
}

struct Hasher::Impl {
  EVP_MD_CTX* context = nullptr;
  ~Impl() { EVP_MD_CTX_free(context); }
};

// OpenSSL fails here for want of memory or of a sha256 at all; no caller could go on.
Hasher::Hasher() : impl_(std::make_unique<Impl>()) {
  impl_->context = EVP_MD_CTX_new();
  if (impl_->context == nullptr || EVP_DigestInit_ex(impl_->context, EVP_sha256(), nullptr) != 1) std::abort();
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::string_view bytes) {
  if (EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()) != 1) std::abort();
}

Digest Hasher::finish() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_DigestFinal_ex(impl_->context, raw, &size) != 1 || size != kHexSize / 2) std::abort();
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(kHexSize);
  for (unsigned i = 0; i < size; ++i) {
    hex += kDigits[raw[i] >> 4];
    hex += kDigits[raw[i] & 15];
  }
  return Digest(std::move(hex));
}

Digest digest_of(std::string_view bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

}  // namespace gantry::images
