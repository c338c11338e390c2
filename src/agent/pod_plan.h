// SPDX-License-Identifier: Apache-2.0
// The next step of a pod: what it should be against what it is. A pure function, so that the rules of restarts, init
// containers and lost sandboxes can be read, and tested, without a runtime.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/backoff.h"
#include "agent/observed_pod.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

// A grace period that a pod names, in seconds: from none to ten years, which can still be added to a time.
Duration bounded_grace(std::int64_t seconds);

enum class Restart : std::uint8_t { kAlways, kOnFailure, kNever };

// What is said of some exit codes, before the policy: the container is to run again.
struct RestartCodes {
  bool is_in = true;  // the end had one of these codes, or none of them
  std::vector<std::int32_t> codes;
};

struct ContainerRule {
  enum class Role : std::uint8_t { kInit, kSidecar, kMain, kEphemeral };

  std::string name;
  Role role = Role::kMain;
  Restart restart = Restart::kAlways;  // its own, or the pod's; of an init container on its failure
  std::string hash = {};               // container_hash() of its spec; empty: whatever runs is that
  std::string target = {};             // the container whose processes it sees, of an ephemeral one; may be empty
  // What it has when a probe of its own ends it; not given: the pod's.
  std::optional<Duration> startup_grace = std::nullopt;
  std::optional<Duration> liveness_grace = std::nullopt;
  std::vector<RestartCodes> restart_codes = {};

  // It ended so that it is not to run again.
  bool is_done(const ObservedContainer& container) const;
  // It was made of another spec. One that says nothing of its spec is taken for this one's.
  bool has_changed(const ObservedContainer& container) const;
};

// What of a pod's spec decides about steps.
struct PodRules {
  Restart restart = Restart::kAlways;
  // It comes to its end whatever its containers do: its time is over, or the API server has it as one that has ended.
  bool is_over = false;
  bool is_over_as_failed = false;
  std::vector<ContainerRule> containers;  // init containers (sidecars among them) in their order, then the main ones
                                          // and the ephemeral ones
};
PodRules rules_of(const k8s::io::api::core::v1::Pod& pod);

struct PodPlan {
  struct Stop {
    const ObservedContainer* container = nullptr;
    std::string why = {};                // as its event says it; empty: it is just stopped
    bool replaced = false;               // another takes its place, whatever the pod's restart policy
    std::optional<Duration> grace = {};  // in the place of the pod's
  };
  struct Start {
    std::size_t rule = 0;  // index in PodRules::containers
    std::uint32_t attempt = 0;
    std::string created_id;                   // it exists and only has to be started
    std::string target_id;                    // of the rule's target; empty: it has none, or that does not run
    const ObservedContainer* last = nullptr;  // what it takes the place of
  };

  // The pod has come to its end and is not started again; what is left of it is stopped.
  bool finished = false;
  bool failed = false;
  // All init containers have done their part.
  bool initialized = false;

  // Done in this order; when there is something to stop, nothing else is in the plan.
  std::vector<Stop> stop_containers;
  std::vector<std::string> stop_sandboxes;
  std::optional<std::uint32_t> run_sandbox;  // the attempt
  std::vector<Start> starts;
  std::vector<const ObservedContainer*> remove_containers;
  std::vector<std::string> remove_sandboxes;

  // When a start that is held back may be made; look again then.
  std::optional<TimePoint> again_at;
};

// When the container of that name may be started, after `last` ended (null: it has not run before).
using MayStart = std::function<TimePoint(const std::string& name, const ObservedContainer* last)>;

// `observed` outlives the plan. `is_stopped` says which sandboxes were stopped by us already.
PodPlan plan_pod(const PodRules& rules, const ObservedPod& observed,
                 const std::function<bool(const std::string& sandbox_id)>& is_stopped, const MayStart& may_start,
                 TimePoint now);

}  // namespace gantry::agent
