// SPDX-License-Identifier: Apache-2.0
// What a certificate may be used for, in the words of Kubernetes' CertificateSigningRequest. For .cc files.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "control/pki/openssl_text.h"

namespace gantry::control {

std::vector<std::string> read_usages(X509* certificate);

// As OpenSSL's configuration writes them: "digitalSignature,keyEncipherment"; "" when there is none of that sort.
struct UsageTexts {
  std::string key, extended;
};
Result<UsageTexts> usage_texts(const std::vector<std::string>& usages);

}  // namespace gantry::control
