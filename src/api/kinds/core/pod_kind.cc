// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/pod.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::string_view kSucceeded = "Succeeded";
constexpr std::string_view kFailed = "Failed";

// A pod that no node has, or whose containers have all ended, needs no time to end.
int64_t grace_period(const core::Pod& pod, std::optional<int64_t> requested) {
  if (pod.spec().node_name().empty()) return 0;
  if (pod.status().phase() == kSucceeded || pod.status().phase() == kFailed) return 0;
  if (requested) return *requested < 0 ? 1 : *requested;
  if (!pod.spec().has_termination_grace_period_seconds()) return 30;
  const int64_t wanted = pod.spec().termination_grace_period_seconds();
  return wanted < 0 ? 1 : wanted;
}

}  // namespace

Kind pod_kind() {
  Kind kind = make_kind<core::Pod>("pods", "pod", {"po"});
  kind.categories = {"all"};
  kind.storage = "pods";
  kind.has_generation = true;
  kind.has_status = true;
  kind.set_defaults = over(&default_pod);
  kind.validate = over(&validate_pod);
  kind.grace_period = over(&grace_period);
  return kind;
}

}  // namespace gantry::api
