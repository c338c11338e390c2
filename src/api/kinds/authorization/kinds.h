// SPDX-License-Identifier: Apache-2.0
// The kinds of authorization.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind local_subject_access_review_kind();
Kind self_subject_access_review_kind();
Kind self_subject_rules_review_kind();
Kind subject_access_review_kind();

}  // namespace gantry::api
