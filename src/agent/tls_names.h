// SPDX-License-Identifier: Apache-2.0
// What Go, and so KubeletConfiguration, calls the ciphers and the groups of TLS, as TlsRules have them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "http/tls.h"

namespace gantry::agent {

// tlsCipherSuites ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"): those of them that are spoken here. Go knows weaker ones,
// which are allowed in vain; with none of TLS 1.2 that is spoken, TLS 1.3 is all that is left. kInvalidArgument: a name
// that Go does not know either.
Status allow_ciphers(const std::vector<std::string>& names, http::TlsRules* rules);
// tlsCurvePreferences, numbers of Go's CurveID. Their order does not count, as with Go. kInvalidArgument: none of them
// is spoken here.
Status allow_groups(const std::vector<std::int64_t>& numbers, http::TlsRules* rules);

}  // namespace gantry::agent
