// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_status.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/api_source.h"
#include "agent/container_ends.h"
#include "agent/container_spec.h"
#include "agent/pod_resources.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using Time = k8s::io::apimachinery::pkg::apis::meta::v1::Time;
using State = ObservedContainer::State;

constexpr std::int64_t kNanos = 1'000'000'000;
// What the runtime calls itself in container ids.

void set_time(std::int64_t nanos, Time& time) {
  time.set_seconds(nanos / kNanos);
  time.set_nanos(0);
}

std::string id_of(const ObservedPod& observed, const ObservedContainer& container) {
  return absl::StrCat(observed.runtime, "://", container.id);
}

// Of an init container.
bool is_sidecar(const core::Container& container) { return container.restart_policy() == "Always"; }

void set_terminated(const ObservedPod& observed, const ObservedContainer& container,
                    core::ContainerStateTerminated& out) {
  out.set_exit_code(container.exit_code);
  out.set_reason(!container.reason.empty() ? container.reason : container.exit_code == 0 ? "Completed" : "Error");
  out.set_message(container.message);
  if (container.started_at > 0) set_time(container.started_at, *out.mutable_started_at());
  if (container.finished_at > 0) set_time(container.finished_at, *out.mutable_finished_at());
  out.set_container_id(id_of(observed, container));
}

struct Maker {
  const StatusInputs& in;
  core::PodStatus& status;

  void set_container(const core::Container& spec, bool is_init, core::ContainerStatus& out);
  void set_mounts(const core::Container& spec, core::ContainerStatus& out) const;
  Waiting why_waiting(const std::string& name) const;
  bool is_over() const;
  void set_phase();
  void set_addresses();
  void set_conditions();
  std::string open_gates() const;
  void condition(const char* type, bool holds, std::string reason, std::string message);
};

// The conditions that the pod's spec waits for and others have not set yet, in sentences; empty when there is none.
std::string Maker::open_gates() const {
  std::vector<std::string> open;
  for (const auto& gate : in.pod->spec().readiness_gates()) {
    const auto& conditions = in.pod->status().conditions();
    auto found = std::ranges::find(conditions, gate.condition_type(), [](const auto& one) { return one.type(); });
    if (found == conditions.end()) {
      open.push_back(absl::StrCat("corresponding condition of pod readiness gate \"", gate.condition_type(),
                                  "\" does not exist."));
    } else if (found->status() != "True") {
      open.push_back(absl::StrCat("the status of pod readiness gate \"", gate.condition_type(),
                                  "\" is not \"True\", but ", found->status()));
    }
  }
  return absl::StrJoin(open, ", ");
}

Waiting Maker::why_waiting(const std::string& name) const {
  if (auto own = in.waiting->find(name); own != in.waiting->end()) return own->second;
  if (auto all = in.waiting->find(""); all != in.waiting->end()) return all->second;
  if (in.pod->spec().init_containers_size() > 0 && !in.plan->initialized) return {"PodInitializing", ""};
  return {"ContainerCreating", ""};
}

// As kubelet, from the spec: the CRI knows nothing of volumes' names.
void Maker::set_mounts(const core::Container& spec, core::ContainerStatus& out) const {
  for (const auto& mount : spec.volume_mounts()) {
    auto& made = *out.add_volume_mounts();
    made.set_name(mount.name());
    made.set_mount_path(mount.mount_path());
    made.set_read_only(mount.read_only());
    if (!mount.read_only()) continue;
    const auto recursive = is_recursively_read_only(mount, in.recursive_read_only);
    made.set_recursive_read_only(recursive && *recursive ? "Enabled" : "Disabled");
  }
}

void Maker::set_container(const core::Container& spec, bool is_init, core::ContainerStatus& out) {
  out.set_name(spec.name());
  out.set_image(spec.image());
  out.set_image_id("");
  set_mounts(spec, out);
  const auto* newest = in.observed->newest(spec.name());
  if (newest == nullptr || newest->state == State::kCreated) {
    Waiting why = why_waiting(spec.name());
    out.mutable_state()->mutable_waiting()->set_reason(why.reason);
    out.mutable_state()->mutable_waiting()->set_message(why.message);
  }
  out.set_restart_count(newest == nullptr ? 0 : static_cast<std::int32_t>(newest->attempt));
  out.set_started(newest != nullptr && newest->is_running() && newest->is_started);
  // An init container is ready when it has done its part; a sidecar among them, as long as it runs.
  bool runs_to_its_end = is_init && !is_sidecar(spec);
  out.set_ready(out.started() && newest->is_ready && !runs_to_its_end);
  if (newest == nullptr) return;
  out.set_image_id(newest->image_id);
  out.set_container_id(id_of(*in.observed, *newest));
  const ObservedContainer* previous = nullptr;
  for (const auto& other : in.observed->containers) {
    if (&other != newest && other.name == spec.name() && other.is_exited() && previous == nullptr) previous = &other;
  }
  if (newest->is_running()) {
    set_time(newest->started_at, *out.mutable_state()->mutable_running()->mutable_started_at());
  } else if (newest->is_exited()) {
    // One that waits to run again shows why it waits, and its end as the state before.
    auto waits = in.waiting->find(spec.name());
    if (waits != in.waiting->end()) {
      out.mutable_state()->mutable_waiting()->set_reason(waits->second.reason);
      out.mutable_state()->mutable_waiting()->set_message(waits->second.message);
      previous = newest;
    } else {
      set_terminated(*in.observed, *newest, *out.mutable_state()->mutable_terminated());
    }
    if (runs_to_its_end) out.set_ready(newest->exit_code == 0);
  }
  if (previous != nullptr) set_terminated(*in.observed, *previous, *out.mutable_last_state()->mutable_terminated());
}

// Of a pod whose plan is finished. One that has come to its end by itself has ended when its sidecars have, too. An end
// that was decided is said at once, as nothing else makes a later gantryd see it through; and none is taken back.
bool Maker::is_over() const {
  return in.end != nullptr || !has_running(status) || (in.before != nullptr && has_ended(*in.before));
}

void Maker::set_phase() {
  if (in.plan->finished) {
    status.set_phase(!is_over() ? "Running" : in.plan->failed ? "Failed" : "Succeeded");
    return;
  }
  bool any_waits = false;
  for (const auto& container : status.container_statuses()) {
    // In back-off it has run, and is counted with those that ended.
    any_waits |= container.state().has_waiting() && !container.last_state().has_terminated();
  }
  status.set_phase(any_waits || !in.plan->initialized ? "Pending" : "Running");
}

void Maker::set_addresses() {
  status.set_host_ip(std::string(in.host_ip));
  if (!in.host_ip.empty()) status.add_host_ips()->set_ip(std::string(in.host_ip));
  std::vector<std::string> ips;
  if (!in.observed->sandboxes.empty() && in.observed->sandboxes.front().ready) {
    ips = in.observed->sandboxes.front().ips;
    if (in.pod->spec().host_network() && ips.empty() && !in.host_ip.empty()) ips.emplace_back(in.host_ip);
  }
  // One that has ended keeps the addresses that it had.
  if (ips.empty() && in.plan->finished && in.before != nullptr) {
    for (const auto& ip : in.before->pod_ips()) ips.push_back(ip.ip());
  }
  if (!ips.empty()) status.set_pod_ip(ips.front());
  for (const auto& ip : ips) status.add_pod_ips()->set_ip(ip);
}

void Maker::condition(const char* type, bool holds, std::string reason, std::string message) {
  auto& condition = *status.add_conditions();
  condition.set_type(type);
  condition.set_status(holds ? "True" : "False");
  condition.set_reason(std::move(reason));
  condition.set_message(std::move(message));
  condition.mutable_last_transition_time()->set_seconds(in.now);
  if (status.observed_generation() > 0) condition.set_observed_generation(status.observed_generation());
  if (in.before == nullptr) return;
  for (const auto& old : in.before->conditions()) {
    if (old.type() != type || old.status() != condition.status()) continue;
    *condition.mutable_last_transition_time() = old.last_transition_time();
  }
}

void Maker::set_conditions() {
  std::vector<std::string> unready;
  for (int i = 0; i < status.init_container_statuses_size(); ++i) {
    const auto& container = status.init_container_statuses(i);
    if (is_sidecar(in.pod->spec().init_containers(i)) && !container.ready()) unready.push_back(container.name());
  }
  for (const auto& container : status.container_statuses()) {
    if (!container.ready()) unready.push_back(container.name());
  }
  std::vector<std::string> uninitialized;
  for (const auto& container : status.init_container_statuses()) {
    if (!container.ready()) uninitialized.push_back(container.name());
  }
  bool has_sandbox = !in.observed->sandboxes.empty() && in.observed->sandboxes.front().ready;
  condition("PodReadyToStartContainers", has_sandbox, "", "");
  bool completed = in.plan->finished && !in.plan->failed;
  bool initialized = in.plan->initialized || completed || uninitialized.empty();
  condition(
      "Initialized", initialized, initialized ? (completed ? "PodCompleted" : "") : "ContainersNotInitialized",
      initialized ? "" : absl::StrCat("containers with incomplete status: [", absl::StrJoin(uninitialized, " "), "]"));
  bool ready = unready.empty() && has_sandbox && !in.plan->finished;
  std::string reason = ready ? "" : completed ? "PodCompleted" : in.plan->failed ? "PodFailed" : "ContainersNotReady";
  std::string message = ready || in.plan->finished
                            ? ""
                            : absl::StrCat("containers with unready status: [", absl::StrJoin(unready, " "), "]");
  condition("ContainersReady", ready, reason, message);
  if (std::string open = open_gates(); ready && !open.empty()) {
    condition("Ready", false, "ReadinessGatesNotReady", std::move(open));
  } else {
    condition("Ready", ready, reason, message);
  }
  condition("PodScheduled", true, "", "");
  if (in.is_disrupted && in.end != nullptr) {
    condition("DisruptionTarget", true, "TerminationByKubelet", in.end->message);
  }
}

std::string describe(const core::ContainerState& state) {
  if (state.has_running()) return "running";
  if (state.has_terminated()) return absl::StrCat("terminated(", state.terminated().reason(), ")");
  return absl::StrCat("waiting(", state.waiting().reason(), ")");
}

}  // namespace

std::shared_ptr<core::PodStatus> make_status(const StatusInputs& inputs) {
  auto status = std::make_shared<core::PodStatus>();
  Maker maker{inputs, *status};
  if (const auto generation = inputs.pod->metadata().generation(); generation > 0) {
    status->set_observed_generation(generation);
  }
  for (const auto& spec : inputs.pod->spec().init_containers()) {
    maker.set_container(spec, true, *status->add_init_container_statuses());
  }
  for (const auto& spec : inputs.pod->spec().containers()) {
    maker.set_container(spec, false, *status->add_container_statuses());
  }
  for (const auto& spec : inputs.pod->spec().ephemeral_containers()) {
    auto& out = *status->add_ephemeral_container_statuses();
    maker.set_container(as_container(spec), false, out);
    // The pod is as ready as it is without them.
    out.set_ready(false);
    out.clear_started();
  }
  if (inputs.plan->finished) mark_unknown_ends(*status);
  limit_messages(*status);
  maker.set_phase();
  if (inputs.end != nullptr) {
    status->set_reason(inputs.end->reason);
    status->set_message(inputs.end->message);
  }
  maker.set_addresses();
  maker.set_conditions();
  status->set_qos_class(std::string(to_string(qos_of(*inputs.pod))));
  // When the node took the pod: of one that was adopted, its first sandbox's time.
  if (inputs.before != nullptr && inputs.before->has_start_time()) {
    *status->mutable_start_time() = inputs.before->start_time();
  } else if (!inputs.observed->sandboxes.empty()) {
    set_time(inputs.observed->sandboxes.back().created_at, *status->mutable_start_time());
  } else {
    status->mutable_start_time()->set_seconds(inputs.now);
  }
  return status;
}

std::shared_ptr<core::PodStatus> make_rejected_status(const core::Pod& pod, const Waiting& why, std::int64_t now) {
  auto status = std::make_shared<core::PodStatus>();
  status->set_phase("Failed");
  status->set_reason(why.reason);
  status->set_message("Pod was rejected: " + why.message);
  status->set_qos_class(std::string(to_string(qos_of(pod))));
  status->mutable_start_time()->set_seconds(now);
  if (pod.status().has_start_time()) *status->mutable_start_time() = pod.status().start_time();
  if (pod.metadata().generation() > 0) status->set_observed_generation(pod.metadata().generation());
  return status;
}

std::string_view bare_id(std::string_view container_id) {
  auto scheme = container_id.find("://");
  return scheme == std::string_view::npos ? container_id : container_id.substr(scheme + 3);
}

std::string describe(const core::PodStatus& status) {
  int ready = 0;
  int restarts = 0;
  std::vector<std::string> parts;
  auto add = [&](const core::ContainerStatus& container) {
    restarts += container.restart_count();
    parts.push_back(absl::StrCat(container.name(), "=", describe(container.state())));
  };
  for (const auto& container : status.init_container_statuses()) add(container);
  for (const auto& container : status.container_statuses()) {
    add(container);
    ready += container.ready() ? 1 : 0;
  }
  return absl::StrCat(status.phase(), " ", ready, "/", status.container_statuses_size(),
                      status.pod_ip().empty() ? "" : absl::StrCat(" ip=", status.pod_ip()), " ",
                      absl::StrJoin(parts, " "), restarts == 0 ? "" : absl::StrCat(" restarts=", restarts));
}

}  // namespace gantry::agent
