// SPDX-License-Identifier: Apache-2.0
// OpenSSL's objects as this folder has them. For .cc files.
#pragma once

#include <openssl/pem.h>

#include "http/openssl.h"

namespace gantry::control {

using http::add_name;
using http::kMaxPemBytes;
using http::no_password;
using http::openssl_failed;
using http::OpensslDelete;
using http::OwnBio;
using http::OwnCertificate;
using http::OwnKey;
using http::OwnNames;
using http::OwnNumber;
using http::OwnRequest;
using http::reader_of;
using http::text_of;

using OwnUsages = std::unique_ptr<EXTENDED_KEY_USAGE, OpensslDelete<EXTENDED_KEY_USAGE_free>>;

}  // namespace gantry::control
