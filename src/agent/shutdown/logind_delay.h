// SPDX-License-Identifier: Apache-2.0
// How long logind is to wait for who holds its lock, in the file where kubelet says it: 99-kubelet.conf.
#pragma once

#include <string>

#include "base/loop.h"
#include "base/result.h"

namespace gantry::agent {

// `folder` is made when it is not there. Logind knows it when it has read its configuration again. Blocking.
Status write_logind_delay(const std::string& folder, Duration delay);

}  // namespace gantry::agent
