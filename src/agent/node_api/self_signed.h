// SPDX-License-Identifier: Apache-2.0
// A certificate that vouches for itself, for a node that has none of its cluster's yet: clients that check it refuse
// it, as they do kubelet's own. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/tls.h"

namespace gantry::agent {

// For a year, with a key that is made for it (P-256) and stays in memory. `host` is a DNS name, `addresses` are
// numeric; client_ca_pem is left empty.
Result<http::TlsServerOptions> make_self_signed(std::string_view host, const std::vector<std::string>& addresses);

}  // namespace gantry::agent
