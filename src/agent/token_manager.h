// SPDX-License-Identifier: Apache-2.0
// Tokens of pods' service accounts, asked of the API server (TokenRequest) and bound to the pod: they end with it. One
// is used until it has a fifth of its life left, or for a day; then it is asked for anew, and the old one stays in use
// while that fails, to its end. In memory and in the pods' volumes alone; never logged.
//
// Loop thread, the client's. The client outlives the loop's last turn.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/client/client.h"
#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class Pod;
class ServiceAccountTokenProjection;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

// Seconds since 1970.
struct TokenTimes {
  std::int64_t issued = 0, expires = 0;
};
// What a token says of itself. It may live longer than it should be used (kubernetes.io.warnafter): that counts then.
// Nothing when it is none that can be read. Pure.
std::optional<TokenTimes> times_of_token(std::string_view token);

// No token is larger.
inline constexpr std::size_t kMaxToken = 64 << 10;

struct ServiceAccountToken {
  std::string text;
  std::int64_t refresh_at = 0;  // ask again then; seconds since 1970
};

class TokenManager {
 public:
  // `now` is the time in seconds since 1970.
  TokenManager(api::Client& client, std::function<std::int64_t()> now);
  ~TokenManager();
  TokenManager(const TokenManager&) = delete;
  TokenManager& operator=(const TokenManager&) = delete;

  // What the pod was given before this gantryd was; ignored when there is a newer one, or when it can't be read.
  void adopt(const k8s::io::api::core::v1::Pod& pod,
             const k8s::io::api::core::v1::ServiceAccountTokenProjection& source, std::string token);
  Task<Result<ServiceAccountToken>> get(std::shared_ptr<const k8s::io::api::core::v1::Pod> pod,
                                        const k8s::io::api::core::v1::ServiceAccountTokenProjection& source);
  void forget(const std::string& pod_uid);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
