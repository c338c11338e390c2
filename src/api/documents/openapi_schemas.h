// SPDX-License-Identifier: Apache-2.0
// The part of OpenAPI that tells shapes: from Schema to JSON schema, with Kubernetes' extensions.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "api/documents/openapi.h"
#include "api/schema.h"
#include "api/value.h"

namespace gantry::api {

// Swagger 2.0 knows neither oneOf nor allOf, and keeps definitions elsewhere.
enum class OpenApiDialect { kV2, kV3 };

// Collects the definitions of all types that are asked for, and of those that they refer to.
class OpenApiSchemas {
 public:
  OpenApiSchemas(OpenApiDialect dialect, const Describe& describe) : dialect_(dialect), describe_(describe) {}

  OpenApiDialect dialect() const { return dialect_; }
  // {"$ref": ...}; its definition will be there.
  Value reference(const Schema& schema);
  // What a patch may be: any object.
  Value patch_reference();
  // By name. What is collected is gone afterwards.
  Value take_definitions();

 private:
  void define(const Schema& schema);
  Value definition(const Schema& schema);
  Value properties(const Schema& schema, Value::List* required);
  Value property(const Schema::Field& field);
  Value type(const Schema& schema, bool has_default);
  Value describe_as(Value schema, std::string_view name);
  Value reference_to(const std::string& name) const;

  OpenApiDialect dialect_;
  const Describe& describe_;
  std::set<std::string> known_;
  Value::Object definitions_;
};

// "io.k8s.api.core.v1.Pod": upstream's name for a type in these documents.
std::string openapi_name(std::string_view message_name);

}  // namespace gantry::api
