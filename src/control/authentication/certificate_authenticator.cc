// SPDX-License-Identifier: Apache-2.0
#include "control/authentication/certificate_authenticator.h"

namespace gantry::control {

Task<Outcome<std::optional<User>>> CertificateAuthenticator::authenticate(Loop&, const http::Request& request) {
  const http::Peer& peer = request.peer;
  if (peer.certificate == nullptr) {
    // With a token beside it, which is another authenticator's, the token counts.
    if (!peer.certificate_error.empty() && request.header("Authorization").empty()) co_return fail(unauthorized());
    co_return std::nullopt;
  }
  if (peer.certificate->common_name.empty()) co_return std::nullopt;
  co_return User{.name = peer.certificate->common_name, .groups = peer.certificate->organizations};
}

}  // namespace gantry::control
