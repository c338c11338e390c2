// SPDX-License-Identifier: Apache-2.0
// How strict a namespace is with its pods: what its labels pod-security.kubernetes.io/... say, as the Pod Security
// Standards have it. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "api/problem.h"

namespace google::protobuf {
template <typename Key, typename T>
class Map;
}

namespace gantry::control {

// From the least strict.
enum class PodSecurityLevel { kPrivileged, kBaseline, kRestricted };

// The rules of which release: "latest" or "v1.30".
struct PodSecurityVersion {
  static constexpr int kLatest = 1 << 20;
  int minor = kLatest;
  friend auto operator<=>(const PodSecurityVersion&, const PodSecurityVersion&) = default;
};

struct PodSecurityStandard {
  PodSecurityLevel level = PodSecurityLevel::kPrivileged;
  PodSecurityVersion version;

  // "restricted:latest"
  std::string to_string() const;
  friend bool operator==(const PodSecurityStandard&, const PodSecurityStandard&) = default;
};

struct PodSecurityPolicy {
  PodSecurityStandard enforce;
  PodSecurityStandard audit;
  PodSecurityStandard warn;

  bool allows_everything() const;
  friend bool operator==(const PodSecurityPolicy&, const PodSecurityPolicy&) = default;
};

// There is always a policy: a label that cannot be read enforces the strictest, and neither audits nor warns. What is
// wrong is added to `problems`.
PodSecurityPolicy pod_security_policy(const google::protobuf::Map<std::string, std::string>& labels,
                                      api::FieldProblems* problems);

}  // namespace gantry::control
