// SPDX-License-Identifier: Apache-2.0
// Rules that kinds of storage share. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "api/check.h"

namespace google::protobuf {
template <typename Key, typename T>
class Map;
}  // namespace google::protobuf

namespace gantry::api {

// Who makes volumes: a qualified name in any case, required.
void check_provisioner(std::string_view name, const Check& check);
// What a provisioner is told: at most 512 entries of 256 KiB.
void check_parameters(const google::protobuf::Map<std::string, std::string>& parameters, const Check& check);

}  // namespace gantry::api
