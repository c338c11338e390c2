// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"
#include "api/kinds/core/kinds.h"
#include "api/kinds/core/pod.h"
#include "api/kinds/core/pod_table.h"
#include "api/kinds/core/pod_update.h"
#include "api/kinds/core/pod_warnings.h"
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

std::vector<std::string> selectable(const core::Pod& pod) {
  const core::PodStatus& status = pod.status();
  return {pod.spec().node_name(),
          pod.spec().restart_policy(),
          pod.spec().scheduler_name(),
          pod.spec().service_account_name(),
          pod.spec().host_network() ? "true" : "false",
          status.phase(),
          status.pod_ips().empty() ? status.pod_ip() : status.pod_ips(0).ip(),
          status.nominated_node_name()};
}

void add_subresources(Kind* kind) {
  constexpr auto kCreate = static_cast<Verbs>(Verb::kCreate);
  constexpr Verbs kConnect = Verb::kCreate | Verb::kGet;
  add_action(kind, "attach", {"", "v1", "PodAttachOptions"}, kConnect);
  add_action(kind, "binding", {"", "v1", "Binding"}, kCreate);
  add_view(kind, "ephemeralcontainers", pod_ephemeral_rules());
  add_action(kind, "eviction", {"policy", "v1", "Eviction"}, kCreate);
  add_action(kind, "exec", {"", "v1", "PodExecOptions"}, kConnect);
  add_action(kind, "log", {}, static_cast<Verbs>(Verb::kGet));
  add_action(kind, "portforward", {"", "v1", "PodPortForwardOptions"}, kConnect);
  add_action(kind, "proxy", {"", "v1", "PodProxyOptions"}, kProxyVerbs);
  add_view(kind, "resize", pod_resize_rules());
  add_status(kind, pod_status_rules());
}

}  // namespace

Kind pod_kind() {
  Kind kind = make_kind<core::Pod>("pods", "pod", {"po"});
  kind.categories = {"all"};
  kind.storage = "pods";
  kind.answers_deleted = true;
  kind.has_generation = true;
  kind.set_defaults = over(&default_pod);
  kind.prepare_create = over(&prepare_pod);
  kind.validate = over(&validate_pod_object);
  kind.warnings = over(&pod_warnings);
  kind.update = pod_update_rules();
  kind.selectable = {"spec.nodeName",    "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
                     "spec.hostNetwork", "status.phase",       "status.podIP",       "status.nominatedNodeName"};
  kind.selectable_values = over(&selectable);
  kind.table = pod_table();
  add_subresources(&kind);
  kind.grace_period = over(&grace_period);
  return kind;
}

}  // namespace gantry::api
