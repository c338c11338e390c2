// SPDX-License-Identifier: Apache-2.0
// Subjects and alternative names between our values and OpenSSL's. For .cc files.
#pragma once

#include "base/result.h"
#include "control/pki/certificate.h"
#include "control/pki/openssl_text.h"

namespace gantry::control {

inline constexpr std::size_t kMaxAlternativeNames = 1000;

Subject read_subject(const X509_NAME* name);
// An address of another length, or a kind of name that AlternativeNames has no place for, is an error.
Result<AlternativeNames> read_names(const GENERAL_NAMES* names);

Status write_subject(X509_NAME* name, const Subject& subject);
Result<OwnNames> write_names(const AlternativeNames& names);
bool is_empty(const AlternativeNames& names);

}  // namespace gantry::control
