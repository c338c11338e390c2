// SPDX-License-Identifier: Apache-2.0
// Owners for OpenSSL's objects, and its errors as ours. For .cc files, here and in control/pki.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

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

}  // namespace gantry::http
