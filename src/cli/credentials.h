// SPDX-License-Identifier: Apache-2.0
// What gantryd's options and the folder of registries say of credentials.
#pragma once

#include "base/result.h"
#include "cli/gantryd_options.h"
#include "images/registry/keyring.h"

namespace gantry::cli {

// Reads the CredentialProviderConfig, YAML or JSON, if there is one. That a program which it names is not there is an
// error now, and not at the first pull.
Result<images::KeyringOptions> keyring_options(const GantrydOptions& options);

}  // namespace gantry::cli
