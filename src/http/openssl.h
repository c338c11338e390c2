// SPDX-License-Identifier: Apache-2.0
// Owners for OpenSSL's objects, its errors as ours, and the small work with both that several files need. For .cc
// files, here, in control/pki and in agent.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/text.h"

namespace gantry::http {

template <auto Free>
struct OpensslDelete {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using OwnBio = std::unique_ptr<BIO, OpensslDelete<BIO_free_all>>;
using OwnBioMethod = std::unique_ptr<BIO_METHOD, OpensslDelete<BIO_meth_free>>;
using OwnCertificate = std::unique_ptr<X509, OpensslDelete<X509_free>>;
using OwnKey = std::unique_ptr<EVP_PKEY, OpensslDelete<EVP_PKEY_free>>;
using OwnNames = std::unique_ptr<GENERAL_NAMES, OpensslDelete<GENERAL_NAMES_free>>;
using OwnNumber = std::unique_ptr<BIGNUM, OpensslDelete<BN_free>>;
using OwnRequest = std::unique_ptr<X509_REQ, OpensslDelete<X509_REQ_free>>;
using OwnSsl = std::unique_ptr<SSL, OpensslDelete<SSL_free>>;

// Empties this thread's error queue; its first error, in words.
inline std::string openssl_error_text() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : cat("error ", code);
}
inline std::unexpected<Error> openssl_failed(Code code, std::string_view what) {
  return fail(code, cat(what, ": ", openssl_error_text()));
}

// More is no key and no certificate.
inline constexpr std::size_t kMaxPemBytes = 1U << 20;

// To be read; `text` must live as long.
inline OwnBio reader_of(std::string_view text) {
  return OwnBio(BIO_new_mem_buf(text.data(), static_cast<int>(std::min(text.size(), kMaxPemBytes))));
}
// What was written to one in memory.
inline std::string text_of(const OwnBio& out) {
  char* bytes = nullptr;
  long size = BIO_get_mem_data(out.get(), &bytes);
  return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : std::string();
}
// Encrypted keys are not asked for their passwords.
inline int no_password(char*, int, int, void*) { return -1; }

// As MBSTRING_UTF8 a common name of more than 64 bytes would be refused (X.520's limit), which names of nodes and
// service accounts do not have. False: see openssl_failed().
inline bool add_name(X509_NAME* name, const char* field, std::string_view value) {
  return X509_NAME_add_entry_by_txt(name, field, V_ASN1_UTF8STRING,
                                    reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1;
}

}  // namespace gantry::http
