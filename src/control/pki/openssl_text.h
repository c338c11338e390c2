// SPDX-License-Identifier: Apache-2.0
// Small work with OpenSSL's objects that several files of this folder need. For .cc files.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string>
#include <string_view>

#include "http/openssl.h"

namespace gantry::control {

using http::openssl_failed;
using http::OpensslDelete;
using http::OwnBio;
using http::OwnCertificate;
using http::OwnKey;

using OwnRequest = std::unique_ptr<X509_REQ, OpensslDelete<X509_REQ_free>>;
using OwnNames = std::unique_ptr<GENERAL_NAMES, OpensslDelete<GENERAL_NAMES_free>>;
using OwnUsages = std::unique_ptr<EXTENDED_KEY_USAGE, OpensslDelete<EXTENDED_KEY_USAGE_free>>;
using OwnNumber = std::unique_ptr<BIGNUM, OpensslDelete<BN_free>>;

// More is no key and no certificate.
inline constexpr std::size_t kMaxPemBytes = 1U << 20;

// To be read; `text` must live as long.
inline OwnBio reader_of(std::string_view text) {
  return OwnBio(BIO_new_mem_buf(text.data(), static_cast<int>(std::min(text.size(), kMaxPemBytes))));
}
inline std::string text_of(const OwnBio& out) {
  char* bytes = nullptr;
  long size = BIO_get_mem_data(out.get(), &bytes);
  return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : std::string();
}
// Encrypted keys are not asked for their passwords.
inline int no_password(char*, int, int, void*) { return 0; }

inline void add_name(X509_NAME* name, const char* field, std::string_view value) {
  X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                             static_cast<int>(value.size()), -1, 0);
}

}  // namespace gantry::control
