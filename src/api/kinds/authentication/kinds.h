// SPDX-License-Identifier: Apache-2.0
// The kinds of authentication.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind self_subject_review_kind();
Kind token_review_kind();

}  // namespace gantry::api
