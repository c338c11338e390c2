// SPDX-License-Identifier: Apache-2.0
// Whether a pod may use an image that is on the node already without showing credentials for it:
// imagePullCredentialsVerificationPolicy and preloadedImagesVerificationAllowlist. Values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::agent {

enum class VerificationPolicy : std::uint8_t {
  kNever,           // NeverVerify: every pod may use every image
  kNotOfPreloaded,  // NeverVerifyPreloadedImages: and what others than the agent have brought
  kNotOfListed,     // NeverVerifyAllowlistedImages: and what is in the list, whoever has brought it
  kAlways,          // AlwaysVerify
};

// By the names that kubelet has for them.
std::string_view to_string(VerificationPolicy policy);
Result<VerificationPolicy> parse_verification(std::string_view name);

struct PullVerification {
  VerificationPolicy policy = VerificationPolicy::kNotOfPreloaded;
  // Names without tag and digest: "registry.example/team/app", or all beneath a path: "registry.example/team/*".
  std::vector<std::string> listed;

  // `name` is an image's, whole, without tag and digest; `pulled_here`: the agent has pulled it, or has begun to.
  bool asks_for(std::string_view name, bool pulled_here) const;
};

// kInvalidArgument: it is no entry of the list.
Status check_listed(std::string_view pattern);

}  // namespace gantry::agent
