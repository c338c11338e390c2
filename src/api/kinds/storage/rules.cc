// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/storage/rules.h"

#include <google/protobuf/map.h>

#include "api/names.h"
#include "base/text.h"

namespace gantry::api {

namespace {

constexpr size_t kMaxParameters = 512;
constexpr size_t kMaxParameterBytes = size_t{256} << 10;

}  // namespace

void check_provisioner(std::string_view name, const Check& check) {
  check.name(name, [](std::string_view text) { return check_qualified_name(lowered(text)); });
}

void check_parameters(const google::protobuf::Map<std::string, std::string>& parameters, const Check& check) {
  if (parameters.size() > kMaxParameters) return check.too_long(parameters.size(), kMaxParameters, "entries");
  size_t bytes = 0;
  for (const auto& [key, value] : parameters) {
    if (key.empty()) check.invalid(key, "must not be empty");
    bytes += key.size() + value.size();
  }
  if (bytes > kMaxParameterBytes) check.too_long(bytes, kMaxParameterBytes, "bytes");
}

}  // namespace gantry::api
