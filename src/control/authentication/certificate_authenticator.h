// SPDX-License-Identifier: Apache-2.0
// Who asks, by the client certificate of the connection: its common name is the user, its organizations are the groups.
// TLS has verified it (http/tls.h). One that is no good is refused, so that its owner learns of it. Any thread.
#pragma once

#include "control/server/access.h"

namespace gantry::control {

class CertificateAuthenticator : public Authenticator {
 public:
  Task<Outcome<std::optional<User>>> authenticate(Loop& here, const http::Request& request) override;
};

}  // namespace gantry::control
