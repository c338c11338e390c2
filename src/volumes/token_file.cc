// SPDX-License-Identifier: Apache-2.0
#include "volumes/token_file.h"

#include <optional>
#include <utility>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::volumes {

namespace core = k8s::io::api::core::v1;

namespace {

// The user whom all containers of the pod run as by what its spec says; nothing when they are several, or one of them
// has its image's.
std::optional<uid_t> only_user(const core::Pod& pod) {
  std::optional<std::int64_t> user;
  const auto& all = pod.spec().security_context();
  for (const auto* list : {&pod.spec().init_containers(), &pod.spec().containers()}) {
    for (const auto& container : *list) {
      const auto& own = container.security_context();
      if (!own.has_run_as_user() && !all.has_run_as_user()) return std::nullopt;
      const std::int64_t one = own.has_run_as_user() ? own.run_as_user() : all.run_as_user();
      if (user && *user != one) return std::nullopt;
      user = one;
    }
  }
  if (!user) return std::nullopt;
  return static_cast<uid_t>(*user);
}

}  // namespace

File token_file(const core::Pod& pod, std::string token, mode_t mode) {
  const auto user = only_user(pod);
  const bool has_reader = user || pod.spec().security_context().has_fs_group();
  return {std::move(token), has_reader ? 0600 : mode, user};
}

}  // namespace gantry::volumes
