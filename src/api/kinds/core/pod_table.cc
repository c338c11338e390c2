// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/pod_table.h"

#include <set>

#include "api/kind_parts.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;
namespace meta_v1 = k8s::io::apimachinery::pkg::apis::meta::v1;

// What is said of a pod, as one goes through its containers' statuses.
struct Summary {
  std::string reason;
  int64_t restarts = 0;
  meta_v1::Time last_restart;
  int64_t ready = 0;
};

void count_restarts(const core::ContainerStatus& status, Summary* summary) {
  summary->restarts += status.restart_count();
  if (!status.last_state().has_terminated()) return;
  const meta_v1::Time& ended = status.last_state().terminated().finished_at();
  if (ended.seconds() > summary->last_restart.seconds()) summary->last_restart = ended;
}

std::string ending_text(const core::ContainerStateTerminated& ending) {
  if (!ending.reason().empty()) return ending.reason();
  return ending.signal() != 0 ? cat("Signal:", ending.signal()) : cat("ExitCode:", ending.exit_code());
}

bool has_condition(const core::PodStatus& status, std::string_view type) {
  for (const core::PodCondition& condition : status.conditions()) {
    if (condition.type() == type) return condition.status() == "True";
  }
  return false;
}

// Init containers that run beside the others.
std::set<std::string_view> sidecars(const core::PodSpec& spec) {
  std::set<std::string_view> names;
  for (const core::Container& container : spec.init_containers()) {
    if (container.restart_policy() == "Always") names.insert(container.name());
  }
  return names;
}

// True while init containers hold the pod up; the reason says which. `sidecar` gets the restarts of sidecars alone.
bool is_initializing(const core::Pod& pod, Summary* summary, Summary* sidecar) {
  const std::set<std::string_view> always = sidecars(pod.spec());
  for (int i = 0; i < pod.status().init_container_statuses_size(); ++i) {
    const core::ContainerStatus& status = pod.status().init_container_statuses(i);
    const core::ContainerState& state = status.state();
    const bool is_sidecar = always.contains(status.name());
    count_restarts(status, summary);
    if (is_sidecar) count_restarts(status, sidecar);
    if (state.has_terminated() && state.terminated().exit_code() == 0) continue;
    if (is_sidecar && status.started()) {
      if (status.ready()) ++summary->ready;
      continue;
    }
    if (state.has_terminated()) {
      summary->reason = cat("Init:", ending_text(state.terminated()));
    } else if (!state.waiting().reason().empty() && state.waiting().reason() != "PodInitializing") {
      summary->reason = cat("Init:", state.waiting().reason());
    } else {
      summary->reason = cat("Init:", i, "/", pod.spec().init_containers_size());
    }
    return true;
  }
  return false;
}

// The first container that has something to say has the last word, hence backwards.
void summarize_containers(const core::PodStatus& pod, Summary* summary) {
  bool running = false;
  std::string failure;
  for (int i = pod.container_statuses_size() - 1; i >= 0; --i) {
    const core::ContainerStatus& status = pod.container_statuses(i);
    const core::ContainerState& state = status.state();
    count_restarts(status, summary);
    if (!state.waiting().reason().empty()) {
      summary->reason = state.waiting().reason();
    } else if (state.has_terminated()) {
      summary->reason = ending_text(state.terminated());
      if (state.terminated().exit_code() != 0) failure = summary->reason;
    } else if (status.ready() && state.has_running()) {
      running = true;
      ++summary->ready;
    }
  }
  if (summary->reason != "Completed") return;
  if (running && has_condition(pod, "Ready")) {
    summary->reason = "Running";
  } else if (!failure.empty()) {
    summary->reason = failure;
  } else if (running) {
    summary->reason = "NotReady";
  }
}

Summary summarize(const core::Pod& pod) {
  const core::PodStatus& status = pod.status();
  Summary summary;
  summary.reason = status.reason().empty() ? status.phase() : status.reason();
  for (const core::PodCondition& condition : status.conditions()) {
    if (condition.type() == "PodScheduled" && condition.reason() == "SchedulingGated") {
      summary.reason = "SchedulingGated";
    }
  }
  Summary sidecar;
  if (!is_initializing(pod, &summary, &sidecar) || has_condition(status, "Initialized")) {
    summary.restarts = sidecar.restarts;
    summary.last_restart = sidecar.last_restart;
    summarize_containers(status, &summary);
  }
  if (pod.metadata().has_deletion_timestamp()) {
    const bool ended = status.phase() == "Succeeded" || status.phase() == "Failed";
    if (status.reason() == "NodeLost") {
      summary.reason = "Unknown";
    } else if (!ended) {
      summary.reason = "Terminating";
    }
  }
  return summary;
}

std::string gates_text(const core::Pod& pod) {
  if (pod.spec().readiness_gates().empty()) return std::string(kNone);
  int64_t open = 0;
  for (const core::PodReadinessGate& gate : pod.spec().readiness_gates()) {
    if (has_condition(pod.status(), gate.condition_type())) ++open;
  }
  return cat(open, "/", pod.spec().readiness_gates_size());
}

std::vector<Value> row(const core::Pod& pod, int64_t now) {
  const Summary summary = summarize(pod);
  const int64_t containers = pod.spec().containers_size() + static_cast<int64_t>(sidecars(pod.spec()).size());
  std::string restarts = cat(summary.restarts);
  if (summary.restarts != 0 && summary.last_restart.seconds() != 0) {
    restarts += cat(" (", since(summary.last_restart, now), " ago)");
  }
  const std::string& address = pod.status().pod_ips().empty() ? "" : pod.status().pod_ips(0).ip();
  return {pod.metadata().name(),
          cat(summary.ready, "/", containers),
          summary.reason,
          restarts,
          age(pod.metadata(), now),
          or_none(address),
          or_none(pod.spec().node_name()),
          or_none(pod.status().nominated_node_name()),
          gates_text(pod)};
}

}  // namespace

TableRules pod_table() {
  return {{name_column(), column("Ready", "string", "How many of its containers are ready."),
           column("Status", "string", "What it does, or why it does not."),
           column("Restarts", "string", "How often its containers were started again, and when last."), age_column(),
           wide_column("IP", "string", "Its address."), wide_column("Node", "string", "The node that it is on."),
           wide_column("Nominated Node", "string", "The node on which others make place for it."),
           wide_column("Readiness Gates", "string", "How many of the conditions that it waits for hold.")},
          over(&row)};
}

}  // namespace gantry::api
