// SPDX-License-Identifier: Apache-2.0
// The kinds of certificates.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind certificate_signing_request_kind();

}  // namespace gantry::api
