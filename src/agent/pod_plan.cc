// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_plan.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "agent/container_spec.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using Role = ContainerRule::Role;
using State = ObservedContainer::State;

Restart restart_of(const std::string& policy, Restart otherwise) {
  if (policy == "Always") return Restart::kAlways;
  if (policy == "OnFailure") return Restart::kOnFailure;
  if (policy == "Never") return Restart::kNever;
  return otherwise;
}

struct Planner {
  const PodRules& rules;
  const ObservedPod& observed;
  const std::function<bool(const std::string&)>& is_stopped;
  const MayStart& may_start;
  TimePoint now;
  PodPlan plan = {};

  const ObservedSandbox* sandbox() const { return observed.sandboxes.empty() ? nullptr : &observed.sandboxes.front(); }

  void find_end();
  void stop_leftovers();
  void stop_finished();
  void stop_changed();
  void stop_failed();
  void plan_sandbox();
  void plan_init_containers();
  void plan_main_containers();
  void plan_ephemeral_containers();
  void plan_removals();

  // True when it runs (as far as a start that is planned now counts for nothing).
  bool keep_running(std::size_t rule, bool restart_any_end);
  void start(std::size_t rule, std::string created_id);
};

// A pod is finished when none of its main containers is to run again, or when an init container failed for good.
void Planner::find_end() {
  if (rules.is_over) {
    plan.finished = true;
    plan.failed = rules.is_over_as_failed;
    return;
  }
  bool all_done = true;
  bool any_failed = false;
  for (const auto& rule : rules.containers) {
    const auto* newest = observed.newest(rule.name);
    bool done = newest != nullptr && newest->is_exited() && rule.is_done(*newest);
    if (rule.role == Role::kInit && done && newest->exit_code != 0) plan.finished = plan.failed = true;
    if (rule.role != Role::kMain) continue;
    all_done &= done;
    any_failed |= done && newest->exit_code != 0;
  }
  if (all_done) {
    plan.finished = true;
    plan.failed |= any_failed;
  }
  // A pod that is to run once does not begin anew when its sandbox was lost under it.
  bool lost = sandbox() != nullptr && !sandbox()->ready && !observed.containers.empty();
  if (lost && rules.restart == Restart::kNever && !plan.finished) plan.finished = plan.failed = true;
}

// What runs in a sandbox that is not the pod's any more, or lost its sandbox.
void Planner::stop_leftovers() {
  const auto* current = sandbox();
  for (const auto& container : observed.containers) {
    bool is_current = current != nullptr && current->ready && container.sandbox_id == current->id;
    if (container.is_running() && (!is_current || container.state == State::kUnknown)) {
      plan.stop_containers.push_back({&container});
    }
  }
  for (const auto& other : observed.sandboxes) {
    if (&other == current && other.ready) continue;
    if (!is_stopped(other.id)) plan.stop_sandboxes.push_back(other.id);
  }
}

// Those whose probes say that they don't work any more. One that is not to run again ends by that.
void Planner::stop_failed() {
  for (const auto& rule : rules.containers) {
    const auto* newest = observed.newest(rule.name);
    if (newest == nullptr || newest->state != State::kRunning || !newest->failed_probe) continue;
    const bool by_startup = *newest->failed_probe == ProbeKind::kStartup;
    std::string why = absl::StrCat(rule.role == Role::kSidecar ? "Init container " : "Container ", rule.name,
                                   " failed ", by_startup ? "startup" : "liveness", " probe");
    if (rule.role == Role::kMain && rule.restart != Restart::kNever) why += ", will be restarted";
    plan.stop_containers.push_back(
        {newest, std::move(why), false, by_startup ? rule.startup_grace : rule.liveness_grace});
  }
}

void Planner::stop_finished() {
  for (const auto& container : observed.containers) {
    if (container.is_running()) plan.stop_containers.push_back({&container});
  }
  for (const auto& any : observed.sandboxes) {
    if (!is_stopped(any.id)) plan.stop_sandboxes.push_back(any.id);
  }
}

// Those that serve while the pod lives; what runs to its end is let run to it.
void Planner::stop_changed() {
  for (const auto& rule : rules.containers) {
    const auto* newest = observed.newest(rule.name);
    if (newest == nullptr || newest->state != State::kRunning || !rule.has_changed(*newest)) continue;
    if (rule.role == Role::kMain) {
      plan.stop_containers.push_back(
          {newest, absl::StrCat("Container ", rule.name, " definition changed, will be restarted"), true});
    } else if (rule.role == Role::kSidecar) {
      plan.stop_containers.push_back({newest, absl::StrCat("Init container ", rule.name, " definition changed"), true});
    }
  }
}

void Planner::start(std::size_t rule, std::string created_id) {
  const auto* last = observed.newest(rules.containers[rule].name);
  bool is_new = created_id.empty();
  TimePoint at = may_start(rules.containers[rule].name, is_new ? last : nullptr);
  if (at > now) {
    plan.again_at = plan.again_at ? std::min(*plan.again_at, at) : at;
    return;
  }
  std::uint32_t attempt = last == nullptr ? 0 : is_new ? last->attempt + 1 : last->attempt;
  const bool takes_place = is_new && last != nullptr && last->is_exited();
  plan.starts.push_back({rule, attempt, std::move(created_id), "", takes_place ? last : nullptr});
}

bool Planner::keep_running(std::size_t rule, bool restart_any_end) {
  const auto& name = rules.containers[rule].name;
  const auto* newest = observed.newest(name, &sandbox()->id);
  if (newest != nullptr && newest->state == State::kRunning) return true;
  if (newest != nullptr && newest->state == State::kCreated) {
    start(rule, rules.containers[rule].has_changed(*newest) ? "" : newest->id);
  } else if (newest == nullptr || restart_any_end || !rules.containers[rule].is_done(*newest)) {
    start(rule, "");
  }
  return false;
}

// One after the other; a sidecar only has to run for the next one to come.
void Planner::plan_init_containers() {
  bool is_past = false;  // a main container has run in this sandbox: init containers are not asked any more
  for (const auto& rule : rules.containers) {
    is_past |= rule.role == Role::kMain && observed.newest(rule.name, &sandbox()->id) != nullptr;
  }
  plan.initialized = true;
  for (std::size_t i = 0; i < rules.containers.size(); ++i) {
    const auto& rule = rules.containers[i];
    if (rule.role == Role::kMain || rule.role == Role::kEphemeral) return;
    bool ready = false;
    if (rule.role == Role::kSidecar) {
      ready = keep_running(i, true) && observed.newest(rule.name, &sandbox()->id)->is_started;
    } else if (is_past) {
      continue;
    } else {
      const auto* newest = observed.newest(rule.name, &sandbox()->id);
      ready = newest != nullptr && newest->is_exited() && newest->exit_code == 0;
      if (!ready) (void)keep_running(i, true);
    }
    if (ready || is_past) continue;
    plan.initialized = false;
    return;
  }
}

void Planner::plan_main_containers() {
  for (std::size_t i = 0; i < rules.containers.size(); ++i) {
    const auto& rule = rules.containers[i];
    if (rule.role != Role::kMain) continue;
    // One that has done its work in an earlier sandbox has done it.
    const auto* newest = observed.newest(rule.name);
    if (newest != nullptr && newest->is_exited() && rule.is_done(*newest)) continue;
    (void)keep_running(i, false);
  }
}

// Whatever the others do. They are run once in a pod's life.
void Planner::plan_ephemeral_containers() {
  for (std::size_t i = 0; i < rules.containers.size(); ++i) {
    const auto& rule = rules.containers[i];
    if (rule.role != Role::kEphemeral) continue;
    const auto* newest = observed.newest(rule.name);
    const bool is_made = newest != nullptr && newest->state == State::kCreated && newest->sandbox_id == sandbox()->id;
    if (newest != nullptr && !is_made) continue;
    const auto planned = plan.starts.size();
    start(i, is_made ? newest->id : "");
    const auto* target = rule.target.empty() ? nullptr : observed.newest(rule.target, &sandbox()->id);
    if (plan.starts.size() > planned && target != nullptr && target->state == State::kRunning) {
      plan.starts.back().target_id = target->id;
    }
  }
}

void Planner::plan_sandbox() {
  const auto* current = sandbox();
  if (current == nullptr || !current->ready) {
    TimePoint at = may_start("", nullptr);
    if (at > now) {
      plan.again_at = at;
    } else {
      plan.run_sandbox = current == nullptr ? 0 : current->attempt + 1;
    }
    return;
  }
  plan_ephemeral_containers();
  plan_init_containers();
  if (plan.initialized) plan_main_containers();
}

// Of each name the newest that has ended stays, for its log; and sandboxes that nothing belongs to any more go.
void Planner::plan_removals() {
  const auto* current = sandbox();
  std::set<std::string> kept;
  std::set<std::string> used;
  for (const auto& container : observed.containers) {
    bool is_known =
        std::ranges::any_of(rules.containers, [&](const auto& rule) { return rule.name == container.name; });
    bool is_changed = std::ranges::any_of(
        rules.containers, [&](const auto& rule) { return rule.name == container.name && rule.has_changed(container); });
    bool is_live = container.is_running() || (container.state == State::kCreated && !is_changed && current != nullptr &&
                                              current->ready && container.sandbox_id == current->id);
    if (is_live || (is_known && container.is_exited() && kept.insert(container.name).second)) {
      used.insert(container.sandbox_id);
    } else {
      plan.remove_containers.push_back(&container);
    }
  }
  for (const auto& other : observed.sandboxes) {
    if (&other != current && !other.ready && !used.contains(other.id)) plan.remove_sandboxes.push_back(other.id);
  }
}

}  // namespace

bool ContainerRule::is_done(const ObservedContainer& container) const {
  if (role == Role::kSidecar || container.is_replaced) return false;
  if (role == Role::kInit && container.exit_code == 0) return true;
  for (const RestartCodes& rule : restart_codes) {
    const bool has_code = std::ranges::find(rule.codes, container.exit_code) != rule.codes.end();
    if (has_code == rule.is_in) return false;
  }
  switch (restart) {
    case Restart::kAlways:
      return false;
    case Restart::kOnFailure:
      // Whatever it says when it is ended for its probe: it failed.
      return container.exit_code == 0 && !container.failed_probe;
    case Restart::kNever:
      return true;
  }
  return false;
}

bool ContainerRule::has_changed(const ObservedContainer& container) const {
  return !hash.empty() && !container.hash.empty() && hash != container.hash;
}

Duration bounded_grace(std::int64_t seconds) {
  constexpr std::int64_t kLongest = std::int64_t{10} * 365 * 24 * 3600;
  return std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, kLongest));
}

namespace {

std::optional<Duration> grace_of(const core::Probe& probe) {
  if (!probe.has_termination_grace_period_seconds()) return std::nullopt;
  return bounded_grace(probe.termination_grace_period_seconds());
}

// They count beside a policy of the container's own. What else than a restart they may say was refused.
std::vector<RestartCodes> restart_codes_of(const core::Container& container) {
  std::vector<RestartCodes> rules;
  if (!container.has_restart_policy()) return rules;
  for (const auto& rule : container.restart_policy_rules()) {
    if (!rule.has_exit_codes()) continue;
    const auto& codes = rule.exit_codes();
    rules.push_back({codes.operator_() == "In", {codes.values().begin(), codes.values().end()}});
  }
  return rules;
}

ContainerRule rule_of(const core::Container& container, ContainerRule::Role role, Restart restart) {
  return {.name = container.name(),
          .role = role,
          .restart = restart_of(container.restart_policy(), restart),
          .hash = container_hash(container),
          .startup_grace = grace_of(container.startup_probe()),
          .liveness_grace = grace_of(container.liveness_probe()),
          .restart_codes = restart_codes_of(container)};
}

}  // namespace

PodRules rules_of(const core::Pod& pod) {
  PodRules rules;
  rules.restart = restart_of(pod.spec().restart_policy(), Restart::kAlways);
  for (const auto& container : pod.spec().init_containers()) {
    bool is_sidecar = container.restart_policy() == "Always";
    rules.containers.push_back(rule_of(container, is_sidecar ? Role::kSidecar : Role::kInit, rules.restart));
  }
  for (const auto& container : pod.spec().containers()) {
    rules.containers.push_back(rule_of(container, Role::kMain, rules.restart));
  }
  for (const auto& container : pod.spec().ephemeral_containers()) {
    rules.containers.push_back({container.ephemeral_container_common().name(), Role::kEphemeral, Restart::kNever, "",
                                container.target_container_name()});
  }
  // The pod's end is that of all of them.
  const auto may_run_again = [](const ContainerRule& rule) {
    return rule.role != Role::kEphemeral && (rule.restart != Restart::kNever || !rule.restart_codes.empty());
  };
  if (rules.restart == Restart::kNever && std::ranges::any_of(rules.containers, may_run_again)) {
    rules.restart = Restart::kOnFailure;
  }
  return rules;
}

PodPlan plan_pod(const PodRules& rules, const ObservedPod& observed,
                 const std::function<bool(const std::string& sandbox_id)>& is_stopped, const MayStart& may_start,
                 TimePoint now) {
  Planner planner{rules, observed, is_stopped, may_start, now};
  planner.plan.initialized = std::ranges::none_of(
      rules.containers, [](const auto& rule) { return rule.role == Role::kInit || rule.role == Role::kSidecar; });
  planner.find_end();
  planner.plan.finished ? planner.stop_finished() : planner.stop_leftovers();
  if (!planner.plan.finished && planner.plan.stop_containers.empty()) planner.stop_changed();
  if (!planner.plan.finished && planner.plan.stop_containers.empty()) planner.stop_failed();
  if (planner.plan.stop_containers.empty() && planner.plan.stop_sandboxes.empty()) {
    if (!planner.plan.finished) planner.plan_sandbox();
    planner.plan_removals();
  }
  return std::move(planner.plan);
}

}  // namespace gantry::agent
