// SPDX-License-Identifier: Apache-2.0
// The part of OpenAPI that tells paths: what can be done where, with which parameters, and which kind it is about.
#pragma once

#include <string_view>

#include "api/documents/openapi_schemas.h"
#include "api/kind.h"
#include "api/value.h"

namespace gantry::api {

// The paths of one kind and its subresources, appended to `out` by path. The types that they name are asked of
// `schemas`.
void add_paths(const Kind& kind, OpenApiSchemas* schemas, Value::Object* out);

// "CoreV1", "RbacAuthorizationV1": how names of operations begin.
std::string operation_group(const GroupVersionKind& gvk);

}  // namespace gantry::api
