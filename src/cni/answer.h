// SPDX-License-Identifier: Apache-2.0
// What a CNI plugin prints: the result of an ADD, the versions that it speaks, or an error. Strangers' words: bounded,
// and checked before anything is made of them. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/value.h"
#include "base/result.h"
#include "cni/network_config.h"
#include "netns/address.h"

namespace gantry::cni {

inline constexpr std::size_t kMaxAnswerBytes = 1U << 20;

struct AddResult {
  api::Value json;  // as it came, with the version
  // Of the pod's interface, in their order.
  std::vector<netns::IpAddress> addresses;
};
// Of an ADD that was asked for in this version, for the interface of this name.
Result<AddResult> parse_result(std::string_view text, Version version, std::string_view interface);

struct PluginError {
  std::uint64_t code = 0;
  std::string message, details;
};
// Nothing when the text is no such object.
std::optional<PluginError> parse_plugin_error(std::string_view text);

// Of a VERSION; those that are known here.
Result<std::vector<Version>> parse_versions(std::string_view text);

}  // namespace gantry::cni
